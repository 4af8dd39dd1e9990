/* cp.c - `husk cp`: files and folders into and out of containers.
 *
 * No program in the image is needed: husk reads and writes in the container's own view of its file system, held inside
 * its root and with the ids of the container's user (copy.h). */
#include <fcntl.h>
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "husk/container.h"
#include "husk/copy.h"
#include "husk/selection.h"
#include "husk/verbs.h"

static const char *container;
static bool no_preserve;

const struct flag cp_flags[] = {
        { "container", 'c', FLAG_TEXT, &container, "NAME", NULL,
          "The container (default: see the annotation kubectl.kubernetes.io/default-container, else the first)" },
        { "no-preserve", 0, FLAG_BOOL, &no_preserve, NULL, NULL, "Do not keep permissions and times" },
        { "retries", 0, FLAG_ACCEPTED, NULL, "N", NULL, "nothing can be cut off on the way" },
        { 0 },
};

/* "[[NAMESPACE/]POD:]PATH" */
struct place {
        char *ns, *pod; /* NULL: on this machine, or: the namespace of -n */
        const char *path;
};

static void place_release(struct place *place) {
        free(place->ns);
        free(place->pod);
}

static struct error *place_parse(const char *text, struct place *ret) {
        const char *colon = strchr(text, ':'), *slash = strchr(text, '/');

        ret->path = text;
        /* A slash or dot in front makes it a path of this machine, colon or not. */
        if (*text == '/' || *text == '.' || !colon)
                return *text ? NULL : usage_error("filepath can not be empty");
        if (colon == text || !colon[1])
                return usage_error("filespec must match the canonical format: [[namespace/]pod:]file/path, not %s",
                                   text);
        ret->path = colon + 1;
        if (slash && slash < colon) {
                ret->ns = xstrndup(text, slash - text);
                ret->pod = xstrndup(slash + 1, colon - slash - 1);
        } else {
                ret->pod = xstrndup(text, colon - text);
        }
        return NULL;
}

/* ---- who the container's user is, seen from here ---- */

static struct error *set_identity(const struct running *running, struct copy_side *side) {
        const json_t *user = field_at(running->config, "process.user");
        const json_t *groups = field_at(user, "additionalGids");
        uint64_t uid, gid, group;
        json_t *value;
        size_t i;

        if (!running_map_id(running, "uid_map", field_number(user, "uid", 0), &uid) ||
            !running_map_id(running, "gid_map", field_number(user, "gid", 0), &gid))
                return error_new(ERROR_INTERNAL, "container %s: its user is not mapped", running->id);
        side->uid = uid;
        side->gid = gid;
        side->groups = xcalloc(json_array_size(groups) + 1, sizeof(*side->groups));
        json_array_foreach(groups, i, value) if (running_map_id(running, "gid_map", json_integer_value(value), &group))
                side->groups[side->n_groups++] = group;
        return NULL;
}

static struct error *open_container(struct cli *cli, const struct place *place, struct copy_side *ret, char **ret_cwd) {
        _cleanup_running_ struct running running = RUNNING_INIT;
        _cleanup_json_ json_t *pod = NULL;
        struct store *store;
        const char *name;
        struct error *err;

        if (place->ns)
                cli->ns = place->ns;
        err = cli_store(cli, &store);
        if (!err)
                err = pod_load(cli, place->pod, &pod);
        if (!err)
                err = container_choose(pod, container, false, &name);
        if (!err)
                err = container_open(store, pod, name, &running);
        if (!err)
                err = set_identity(&running, ret);
        if (err)
                return err;
        _cleanup_free_ char *root = xasprintf("/proc/%d/root", running.pid);
        ret->remote = true;
        ret->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (ret->root < 0)
                return error_errno(errno, "open %s", root);
        *ret_cwd = xstrdup(field_text_or(running.config, "process.cwd", "/"));
        return NULL;
}

static struct error *open_here(struct copy_side *ret, char **ret_cwd) {
        ret->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        *ret_cwd = getcwd(NULL, 0);
        if (ret->root < 0 || !*ret_cwd)
                return error_errno(errno, "open the current folder");
        return NULL;
}

static void print_warning(const char *text) {
        fprintf(stderr, "warning: %s\n", text);
}

static struct error *copy_between(struct cli *cli, const struct place places[2]) {
        _cleanup_copy_side_ struct copy_side from = COPY_SIDE_INIT, to = COPY_SIDE_INIT;
        struct copy_side *const sides[] = { &from, &to };
        const struct copy_options options = { .preserve = !no_preserve, .warn = print_warning };
        _cleanup_strv_ char **paths = NULL;

        for (int i = 0; i < 2; i++) {
                _cleanup_free_ char *cwd = NULL;
                struct error *err =
                        places[i].pod ? open_container(cli, &places[i], sides[i], &cwd) : open_here(sides[i], &cwd);
                if (err)
                        return err;
                bool absolute = places[i].path[0] == '/';
                paths = strv_add_take(paths, absolute ? xstrdup(places[i].path) : path_join(cwd, places[i].path));
        }
        return copy_tree(&from, paths[0], &to, paths[1], &options);
}

struct error *cp_run(struct cli *cli, struct arguments *arguments) {
        struct place places[2] = { 0 };
        struct error *err;

        if (arguments->n_words != 2)
                return usage_error("source and destination are required");
        err = place_parse(arguments->words[0], &places[0]);
        if (!err)
                err = place_parse(arguments->words[1], &places[1]);
        if (!err && !places[0].pod == !places[1].pod)
                err = usage_error("one of src or dest must be a local file specification, and the other one in a pod");
        if (!err)
                err = copy_between(cli, places);
        place_release(&places[0]);
        place_release(&places[1]);
        return err;
}
