#include "fixture.h"

/* "db-0 db-1", "" where there is the name but nobody has it, "no name", "other". */
static const char *found(const char *name) {
        static char text[256];
        const struct zone_pod *pods[ARRAY_SIZE(fixture_pods)];
        size_t n;
        enum zone_result result = zone_find(fixture_zone(), name, pods, &n);

        if (result != ZONE_NAME)
                return result == ZONE_OTHER ? "other" : "no name";
        *text = '\0';
        for (size_t i = 0; i < n; i++)
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "", pods[i]->name);
        return text;
}

TEST(a_subdomain_is_its_ready_pods) {
        assert_string_equal(found("db.shop.svc.cluster.local"), "db-0 db-1");
        assert_string_equal(found("slow.test.svc.cluster.local"), "");
}

TEST(a_hostname_in_a_subdomain_is_that_pod_when_it_is_ready) {
        assert_string_equal(found("one.db.shop.svc.cluster.local"), "db-0");
        assert_string_equal(found("three.db.shop.svc.cluster.local"), "no name");
        assert_string_equal(found("db-0.db.shop.svc.cluster.local"), "no name"); /* it has a hostname of its own */
        assert_string_equal(found("ended.db.shop.svc.cluster.local"), "no name");
        assert_string_equal(found("one.db.test.svc.cluster.local"), "no name");
}

TEST(a_pods_name_is_the_pod_ready_or_not_but_a_subdomain_goes_before) {
        assert_string_equal(found("web.shop.svc.cluster.local"), "web");
        assert_string_equal(found("db-2.shop.svc.cluster.local"), "db-2");
        assert_string_equal(found("dotted.name.shop.svc.cluster.local"), "dotted.name");
        assert_string_equal(found("db.test.svc.cluster.local"), "db");
        assert_string_equal(found("ended.shop.svc.cluster.local"), "no name");
        assert_string_equal(found("one.shop.svc.cluster.local"), "no name");
        assert_string_equal(found("agent.shop.svc.cluster.local"), "agent");
}

TEST(addresses_are_spelled_with_dashes) {
        assert_string_equal(found("10-85-0-5.shop.pod.cluster.local"), "web");
        assert_string_equal(found("fd00--5.shop.pod.cluster.local"), "web");
        assert_string_equal(found("10-85-0-5.test.pod.cluster.local"), "no name");
        assert_string_equal(found("10-85-0-2.db.shop.svc.cluster.local"), "db-0");
        assert_string_equal(found("10-85-0-4.db.shop.svc.cluster.local"), "no name");
}

TEST(what_stands_between_names_is_a_name_without_addresses) {
        assert_string_equal(found("cluster.local"), "");
        assert_string_equal(found("svc.cluster.local"), "");
        assert_string_equal(found("pod.cluster.local"), "");
        assert_string_equal(found("shop.svc.cluster.local"), "");
        assert_string_equal(found("nowhere.svc.cluster.local"), "no name");
        assert_string_equal(found("shop.cluster.local"), "no name");
}

TEST(other_domains_are_others_matter) {
        assert_string_equal(found("example.org"), "other");
        assert_string_equal(found(""), "other");
        assert_string_equal(found("xcluster.local"), "other");
        assert_string_equal(found("db.shop.svc.cluster.local.example.org"), "other");
        assert_string_equal(found("local"), "other");
}

static void assert_reverse(const char *name, const char *wanted) {
        _cleanup_free_ char *got = zone_find_reverse(fixture_zone(), name);
        assert_string_equal(got ? got : "none", wanted);
}

TEST(an_address_has_the_pods_best_name) {
        assert_reverse("2.0.85.10.in-addr.arpa", "one.db.shop.svc.cluster.local");
        assert_reverse("5.0.85.10.in-addr.arpa", "web.shop.svc.cluster.local");
        assert_reverse("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
                       "one.db.shop.svc.cluster.local");
        assert_reverse("9.0.85.10.in-addr.arpa", "none");
        assert_reverse("2.2.0.192.in-addr.arpa", "none"); /* the node's */
        assert_reverse("1.2.3.in-addr.arpa", "none");
        assert_reverse("2.0.85.10.4.in-addr.arpa", "none");
        assert_reverse("in-addr.arpa", "none");
        assert_reverse("x.ip6.arpa", "none");
}
