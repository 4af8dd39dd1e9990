#include "net/inventory.h"

#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "test.h"

struct node {
        char folder[32];
        struct store store;
};

static void node_make(struct node *node) {
        strcpy(node->folder, "/tmp/husk-test-net-XXXXXX");
        assert_non_null(mkdtemp(node->folder));
        node->store = (struct store){ .root = node->folder, .run = node->folder };
}

static struct lease lease_of(uint32_t number, const char *uid) {
        return (struct lease){ .number = number, .uid = (char *)uid, .pod_name = (char *)"default/web" };
}

/* As those who attach pods do: written, then saved. */
static void give(const struct node *node, uint32_t number, const char *uid) {
        _cleanup_lease_list_ struct lease_list list = { 0 };
        struct lease lease = lease_of(number, uid);

        assert_ok(lease_list_read(&node->store, &list));
        assert_ok(lease_write(&node->store, &lease));
        lease_list_save(&node->store, &list, &lease);
}

/* "2-a 7-b", in no order but this. */
static const char *names(const struct node *node) {
        static char text[256];
        _cleanup_lease_list_ struct lease_list list = { 0 };

        assert_ok(lease_list_read(&node->store, &list));
        *text = '\0';
        for (uint32_t number = 0; number < 100; number++)
                for (size_t i = 0; i < list.n; i++)
                        if (list.names[i].number == number)
                                sprintf(text + strlen(text), "%s%u-%s", *text ? " " : "", number, list.names[i].uid);
        return text;
}

/* Is the next list read from the inventory? It then holds what only the inventory says. */
static bool inventory_is_believed(const struct node *node) {
        _cleanup_free_ char *path = path_join(node->folder, "net/inventory"), *text = NULL, *more = NULL;
        size_t len;

        assert_ok(file_read(path, 65536, &text, &len));
        more = xasprintf("%s99-ghost\n", text);
        assert_ok(file_replace(path, more, strlen(more), 0600, 0));
        bool believed = strstr(names(node), "99-ghost");
        if (believed)
                assert_ok(file_replace(path, text, len, 0600, 0));
        return believed;
}

TEST(the_inventory_spares_the_look_into_the_folder) {
        struct node node;

        node_make(&node);
        assert_string_equal(names(&node), "");
        give(&node, 2, "a");
        assert_true(inventory_is_believed(&node));
        give(&node, 7, "b-with-dashes");
        assert_true(inventory_is_believed(&node));
        assert_string_equal(names(&node), "2-a 7-b-with-dashes");

        struct lease again = lease_of(7, "b-with-dashes");
        again.attached = true; /* the same names as before */
        assert_ok(lease_write(&node.store, &again));
        assert_true(inventory_is_believed(&node));
        assert_ok(remove_tree(node.folder));
}

TEST(whoever_dies_between_lease_and_inventory_makes_it_void) {
        struct lease_name a = { 2, (char *)"a" };
        struct lease b = lease_of(3, "b");
        struct inventory inventory;
        struct node node;

        node_make(&node);
        give(&node, 2, "a");
        assert_ok(lease_write(&node.store, &b)); /* and never saved */
        assert_false(inventory_is_believed(&node));
        assert_string_equal(names(&node), "2-a 3-b");
        assert_true(inventory_is_believed(&node)); /* written anew by who had to look */
        assert_ok(lease_remove(&node.store, &a));
        assert_false(inventory_is_believed(&node));
        assert_string_equal(names(&node), "3-b");
        inventory_begin(&node.store, &inventory); /* before anything is changed */
        assert_false(inventory_is_believed(&node));
        inventory_end(&inventory, false);
        assert_string_equal(names(&node), "3-b");
        assert_ok(remove_tree(node.folder));
}

TEST(leases_that_come_and_go_without_the_inventory_are_seen) {
        struct node node;

        node_make(&node);
        give(&node, 2, "a");
        _cleanup_free_ char *pods = path_join(node.folder, "net/pods"), *mine = path_join(pods, "5-c"),
                            *first = path_join(pods, "2-a"), *inventory = path_join(node.folder, "net/inventory");
        usleep(20000); /* a clock may have ticks */
        assert_ok(file_replace(mine, "", 0, 0600, 0));
        assert_string_equal(names(&node), "2-a 5-c");
        usleep(20000);
        assert_int_equal(unlink(first), 0);
        assert_string_equal(names(&node), "5-c");
        assert_ok(remove_tree(pods));
        assert_string_equal(names(&node), "");
        assert_ok(mkdir_parents(pods, 0700)); /* another folder of that name */
        assert_ok(file_replace(first, "", 0, 0600, 0));
        assert_string_equal(names(&node), "2-a");
        assert_int_equal(truncate(inventory, 10), 0);
        assert_string_equal(names(&node), "2-a");
        assert_int_equal(unlink(inventory), 0);
        assert_string_equal(names(&node), "2-a");
        assert_ok(remove_tree(node.folder));
}

TEST(numbers_go_round_and_skip_what_is_taken) {
        char folder[] = "/tmp/husk-test-net-XXXXXX";
        assert_non_null(mkdtemp(folder));
        struct store store = { .root = folder, .run = folder };
        _cleanup_free_ char *net = path_join(folder, "net");
        struct lease_name taken[] = { { 2, NULL }, { 3, NULL }, { 5, NULL } };
        struct lease_list none = { NULL, 0, NULL }, some = { taken, 3, NULL };

        assert_ok(mkdir_parents(net, 0700));
        assert_int_equal(lease_list_free_number(&store, &none, 6), 2);
        assert_int_equal(lease_list_free_number(&store, &some, 6), 4);
        lease_number_used(&store, 4);
        assert_int_equal(lease_list_free_number(&store, &some, 6), 6);
        lease_number_used(&store, 6);
        assert_int_equal(lease_list_free_number(&store, &none, 6), 2);
        assert_int_equal(lease_list_free_number(&store, &some, 6), 4);
        assert_int_equal(lease_list_free_number(&store, &some, 3), 0);
        assert_ok(remove_tree(folder));
}
