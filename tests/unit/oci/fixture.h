/* fixture.h - a node in a temporary folder, in a mount namespace of the test's own, and a Pod with its objects. */
#pragma once

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "../api/fixture.h"
#include "base/file.h"
#include "base/mount.h"
#include "base/process.h"
#include "base/str.h"
#include "store/store.h"

#define POD_UID "0b7e7e2e-0000-4000-8000-000000000001"

struct fixture {
        char folder[64];
        struct store *store;
        struct api_arena *arena;
        V1Pod *pod;
};

/* Tests mount: they do it where nobody else sees it. crun refuses a hybrid of cgroup v1 and v2 unless the latter is
 * covered, as husk-keeper covers it. */
__attribute__((constructor)) static void own_mount_namespace(void) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
                perror("unshare");
                _exit(77); /* skipped: not root */
        }
        if (file_exists("/sys/fs/cgroup/unified"))
                (void)mount("none", "/sys/fs/cgroup/unified", "tmpfs", 0, NULL); /* crun makes folders in it */
}

/* The spec is given without its braces; '@' in it stands for the fixture's folder. */
static inline struct fixture fixture_new(const char *spec, const char *more_meta) {
        struct fixture f = { .folder = "/tmp/husk-test-XXXXXX", .arena = api_arena_new() };
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_free_ char *root = NULL, *run = NULL;

        assert_non_null(mkdtemp(f.folder));
        assert_int_equal(chmod(f.folder, 0755), 0);
        root = path_join(f.folder, "root");
        run = path_join(f.folder, "run");
        assert_ok(store_open(root, run, &f.store));
        strbuf_addf(&text, "{'metadata': {'name': 'web', 'namespace': 'default', 'uid': '" POD_UID "'%s}, 'spec': {",
                    more_meta ? more_meta : "");
        for (const char *p = spec; *p; p++)
                if (*p == '@')
                        strbuf_adds(&text, f.folder);
                else
                        strbuf_addc(&text, *p);
        strbuf_adds(&text, "}}");
        f.pod = fixture_object(f.arena, &v1_pod__descriptor, strbuf_str(&text));
        return f;
}

static inline void fixture_release(struct fixture *f) {
        assert_ok(unmount_below(f->folder));
        assert_ok(remove_tree(f->folder));
        store_free(f->store);
        api_arena_free(f->arena);
}
#define _cleanup_fixture_ _cleanup_(fixture_release)

/* Creates an object in the store, or replaces it. */
static inline void fixture_put(struct fixture *f, const char *kind, const char *name, const char *content) {
        _cleanup_free_ char *text = xasprintf("{'apiVersion': 'v1', 'kind': '%s', 'metadata': {'name': '%s', "
                                              "'namespace': 'default'}, %s}",
                                              kind, name, content);
        json_t *json = fixture_json(text), *old = NULL;
        struct error *err = store_get(f->store, api_kind_of(kind), "default", name, &old);

        if (err) {
                error_free(err);
                assert_ok(store_create(f->store, api_kind_of(kind), json));
        } else
                assert_ok(store_update(f->store, api_kind_of(kind), json));
        json_decref(old);
        json_decref(json);
}

static inline char *fixture_path(const struct fixture *f, const char *path) {
        return path_join(f->folder, path);
}

static inline void fixture_write(const struct fixture *f, const char *path, const char *text) {
        _cleanup_free_ char *full = fixture_path(f, path), *parent = xstrdup(full);

        *strrchr(parent, '/') = '\0';
        assert_ok(mkdir_parents(parent, 0755));
        assert_ok(file_replace(full, text, strlen(text), 0644, 0));
}
