#include "test.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-image/registries.h"

static struct registries *configured(const char *text) {
        struct registries *r = registries_new();
        assert_ok(registries_add_text(r, "registries.conf", text, strlen(text)));
        return r;
}

/* "host/path host/path(!) …", for each source; "!": insecure, "#": for digests only. */
static const char *sources_text(const struct registries *r, const char *name) {
        static struct strbuf out;
        _cleanup_image_sources_ struct image_sources sources = { 0 };

        strbuf_truncate(&out, 0);
        struct error *err = registries_sources(r, name, &sources);
        if (err) {
                strbuf_adds(&out, error_message(err));
                error_free(err);
                return strbuf_str(&out);
        }
        for (size_t i = 0; i < sources.n; i++) {
                strbuf_adds(&out, i ? " | " : "");
                for (size_t k = 0; k < sources.list[i].n_endpoints; k++) {
                        const struct registry_endpoint *e = &sources.list[i].endpoints[k];
                        strbuf_addf(&out, "%s%s%s/%s%s%s", k ? " " : "", e->host, e->api ? e->api : "", e->path,
                                    e->insecure ? "!" : "", e->digests_only ? "#" : "");
                }
        }
        return strbuf_str(&out);
}

#define DIGEST "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

TEST(without_configuration_names_are_kubernetes) {
        _cleanup_registries_ struct registries *r = registries_new();

        assert_string_equal(sources_text(r, "redis"), "registry-1.docker.io/library/redis");
        assert_string_equal(sources_text(r, "quay.io/team/app:1"), "quay.io/team/app");
        assert_string_equal(sources_text(r, "127.0.0.1:5000/app"), "127.0.0.1:5000/app!");
        assert_true(strstr(sources_text(r, "UPPER/app:1:2"), "invalid image reference"));
}

TEST(mirrors_come_first_and_locations_replace_prefixes) {
        _cleanup_registries_ struct registries *r = configured("[[registry]]\n"
                                                               "prefix = 'docker.io'\n"
                                                               "location = 'registry-1.docker.io'\n"
                                                               "[[registry.mirror]]\n"
                                                               "location = 'mirror.lan:5000/hub/'\n"
                                                               "insecure = true\n"
                                                               "[[registry.mirror]]\n"
                                                               "location = 'digests.lan'\n"
                                                               "pull-from-mirror = 'digest-only'\n"
                                                               "[[registry.mirror]]\n"
                                                               "location = 'tags.lan'\n"
                                                               "pull-from-mirror = 'tag-only'\n"
                                                               "[[registry]]\n"
                                                               "prefix = 'quay.io/team'\n"
                                                               "location = 'internal.lan/copies/team'\n");

        assert_string_equal(sources_text(r, "redis:7"), "mirror.lan:5000/hub/library/redis! tags.lan/library/redis "
                                                        "registry-1.docker.io/library/redis");
        assert_string_equal(sources_text(r, "redis" DIGEST),
                            "mirror.lan:5000/hub/library/redis! "
                            "digests.lan/library/redis registry-1.docker.io/library/redis");
        assert_string_equal(sources_text(r, "quay.io/team/app"), "internal.lan/copies/team/app");
        assert_string_equal(sources_text(r, "quay.io/teams/app"), "quay.io/teams/app");
}

TEST(the_longest_prefix_speaks_and_later_files_win) {
        _cleanup_registries_ struct registries *r = configured("[[registry]]\nlocation = 'a.example'\nblocked = true\n"
                                                               "[[registry]]\nprefix = '*.b.example'\ninsecure = true\n"
                                                               "[[registry]]\nlocation = 'a.example/ok'\n");
        static const char more[] = "[[registry]]\nprefix = 'a.example/ok'\nlocation = 'c.example/x'\n";

        _cleanup_registries_ struct registries *slash =
                configured("[[registry]]\nprefix = 'reg.example/'\nblocked = true\n");
        assert_string_equal(sources_text(slash, "reg.example/app"),
                            "registry \"reg.example\" is blocked by registries.conf");
        assert_string_equal(sources_text(r, "a.example/app"), "registry \"a.example\" is blocked by registries.conf");
        assert_string_equal(sources_text(r, "a.example/ok/app"), "a.example/ok/app");
        assert_string_equal(sources_text(r, "a.example/ok:1"), "a.example/ok");
        assert_string_equal(sources_text(r, "a.example:5000/app"), "a.example:5000/app");
        assert_string_equal(sources_text(r, "x.b.example/app"), "x.b.example/app!");
        assert_string_equal(sources_text(r, "x.b.example:5000/app"), "x.b.example:5000/app!");
        assert_string_equal(sources_text(r, "b.example/app"), "b.example/app");
        assert_ok(registries_add_text(r, "drop-in.conf", more, strlen(more)));
        assert_string_equal(sources_text(r, "a.example/ok/app"), "c.example/x/app");
}

TEST(short_names_by_alias_search_list_or_docker_io) {
        _cleanup_registries_ struct registries *r = configured("unqualified-search-registries = ['one.example']\n"
                                                               "[aliases]\n'redis' = 'quay.io/cache/redis'\n"
                                                               "'team/app' = 'quay.io/t/a'\n");
        static const char two[] = "unqualified-search-registries = ['one.example', 'two.example']\n";
        static const char permissive[] = "short-name-mode = 'permissive'\n";

        assert_string_equal(sources_text(r, "redis:7"), "quay.io/cache/redis");
        assert_string_equal(sources_text(r, "team/app" DIGEST), "quay.io/t/a");
        assert_string_equal(sources_text(r, "other"), "one.example/other");
        assert_string_equal(sources_text(r, "docker.io/library/other"), "registry-1.docker.io/library/other");
        assert_ok(registries_add_text(r, "two.conf", two, strlen(two)));
        assert_true(strstr(sources_text(r, "other"), "could be an image of any of one.example, two.example"));
        assert_ok(registries_add_text(r, "mode.conf", permissive, strlen(permissive)));
        assert_string_equal(sources_text(r, "other"), "one.example/other | two.example/other");
        static const char blocked[] = "[[registry]]\nlocation = 'one.example'\nblocked = true\n";
        assert_ok(registries_add_text(r, "blocked.conf", blocked, strlen(blocked)));
        assert_string_equal(sources_text(r, "other"), "two.example/other");
}

TEST(mistakes_name_file_and_place) {
        static const struct {
                const char *text, *words;
        } rows[] = {
                { "[[registry]]\n", "c: a [[registry]] has neither prefix nor location" },
                { "[[registry]]\nlocation = 1\n", "c: location has to be a string" },
                { "[[registry]]\nlocation = 'a'\nblocked = 'no'\n",
                  "c: registry \"a\": blocked has to be true or false" },
                { "[[registry]]\nlocation = 'https://a'\n", "c: location \"https://a\": leave out the scheme" },
                { "[[registry]]\nlocation = 'a'\n[[registry.mirror]]\ninsecure = true\n",
                  "c: registry \"a\": a mirror has no location" },
                { "[registries.search]\nregistries = []\n",
                  "c: [registries.…] is version 1 of this file, which nobody reads any more; write "
                  "unqualified-search-registries and [[registry]]" },
                { "short-name-mode = 'x'\n",
                  "c: short-name-mode has to be \"enforcing\", \"permissive\" or \"disabled\"" },
                { "a = \n", "c: line 1: a value is missing" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_registries_ struct registries *r = registries_new();
                _cleanup_error_ struct error *err = registries_add_text(r, "c", rows[i].text, strlen(rows[i].text));
                assert_non_null(err);
                assert_string_equal(error_message(err), rows[i].words);
        }
}

TEST(hosts_toml_of_a_registry_and_of_all) {
        char folder[] = "/tmp/husk-test-registries-XXXXXX";
        static const char text[] = "server = 'https://origin.example'\n"
                                   "[host.'https://mirror.example:5000']\n"
                                   "  [host.'https://mirror.example:5000'.header]\n  x-team = 'edge'\n"
                                   "[host.'http://path.example/prefix']\ncapabilities = ['pull']\n"
                                   "[host.'https://api.example/own']\noverride_path = true\nskip_verify = true\n"
                                   "[host.'https://push.example']\ncapabilities = ['push']\n";
        static const char all[] = "[host.'https://all.example']\n";

        assert_non_null(mkdtemp(folder));
        _cleanup_free_ char *one = xasprintf("%s/registry.example", folder), *file = path_join(one, "hosts.toml"),
                            *any = xasprintf("%s/_default", folder), *any_file = path_join(any, "hosts.toml");
        assert_ok(mkdir_parents(one, 0755));
        assert_ok(mkdir_parents(any, 0755));
        assert_ok(file_replace(file, text, strlen(text), 0644, 0));
        assert_ok(file_replace(any_file, all, strlen(all), 0644, 0));
        char *certs[] = { folder, NULL };
        setenv("CONTAINERS_REGISTRIES_CONF", "/nonexistent", 1);
        _cleanup_registries_ struct registries *r = NULL;
        assert_ok(registries_read(certs, NULL, &r));

        assert_string_equal(sources_text(r, "registry.example/app"),
                            "mirror.example:5000/v2/app path.example/prefix/v2/app!# api.example/own/app! "
                            "origin.example/v2/app");
        _cleanup_free_ char *port = xasprintf("%s/registry.example_5000_", folder),
                            *port_file = path_join(port, "hosts.toml");
        assert_ok(mkdir_parents(port, 0755));
        assert_ok(file_replace(port_file, "[host.'https://port.example']\n", 30, 0644, 0));
        assert_string_equal(sources_text(r, "registry.example:5000/app"),
                            "port.example/v2/app registry.example:5000/v2/app");
        assert_string_equal(sources_text(r, "other.example/app"), "all.example/v2/app other.example/v2/app");
        _cleanup_image_sources_ struct image_sources sources = { 0 };
        assert_ok(registries_sources(r, "registry.example/app", &sources));
        assert_string_equal(sources.list[0].endpoints[0].headers[0], "x-team: edge");
        assert_string_equal(sources.list[0].endpoints[0].namespace_, "registry.example");
        assert_true(sources.list[0].endpoints[1].http_only);
        assert_true(sources.list[0].endpoints[2].insecure && !sources.list[0].endpoints[2].http_too);
        assert_ok(remove_tree(folder));
}
