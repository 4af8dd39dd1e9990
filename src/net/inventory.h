/* inventory.h - inside src/net: who has which number, by the names of the leases alone.
 *
 * The names in <run>/net/pods are the truth. To list them takes longer the more pods there are (with 500, half of what
 * their next one's network may take), so they also stand one a line in <run>/net/inventory, which is read at once. Its
 * first line says of which state of the folder it is, by the folder's time of change and size, and says nothing while
 * the folder is being changed: whoever dies in between, or changes the folder without knowing of the inventory, makes
 * it void, and the next who asks lists the folder and writes it anew. Whoever reads or writes holds the lock. */
#pragma once

#include "net/lease.h"

/* Number and uid of every lease. */
struct lease_list {
        struct lease_name {
                uint32_t number;
                char *uid; /* in `text` */
        } * names;
        size_t n;
        char *text;
};
void lease_list_release(struct lease_list *list);
#define _cleanup_lease_list_ _cleanup_(lease_list_release)
struct error *lease_list_read(const struct store *store, struct lease_list *ret) _must_check_;
/* The same for who holds no lock: looks at the folder, and changes nothing. */
struct error *lease_list_peek(const struct store *store, struct lease_list *ret) _must_check_;
/* Writes the inventory: `list`, and `added` (NULL: none), are what is in the folder now. Need not be called after a
 * change, and cannot fail: without, the next lease_list_read() takes longer. */
void lease_list_save(const struct store *store, const struct lease_list *list, const struct lease *added);
const struct lease_name *lease_list_find(const struct lease_list *list, const char *pod_uid); /* NULL: none */
/* Lowest free number after the one given out last, wrapping around; 0 if there is none: an address rests before it is
 * used again, because neighbours and connection tracking remember it. */
uint32_t lease_list_free_number(const struct store *store, const struct lease_list *list, uint32_t last);
/* Number given out last, 1 if none was; and remembers it. */
uint32_t lease_number_last(const struct store *store);
void lease_number_used(const struct store *store, uint32_t number);

/* Around each change of the folder. `same_names`: none came and none went, the inventory is as good as it was. */
struct inventory {
        int fd, folder_fd;
        bool valid;
};
void inventory_begin(const struct store *store, struct inventory *ret);
void inventory_end(struct inventory *inventory, bool same_names);
