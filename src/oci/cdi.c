#include "oci/cdi.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/str.h"

static const char *text_of(const json_t *object, const char *key, const char *otherwise) {
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : otherwise;
}

/* The list at spec.<first>[.<second>][.<third>], made if it is not there. */
static json_t *list_at(json_t *spec, const char *const *path) {
        json_t *at = spec;

        for (; *path; path++) {
                json_t *next = json_object_get(at, *path);
                if (!next) {
                        next = path[1] ? json_object() : json_array();
                        json_object_set_new(at, *path, next);
                }
                at = next;
        }
        return at;
}
#define LIST_AT(spec, ...) list_at(spec, (const char *const[]){ __VA_ARGS__, NULL })

/* ---- environment and groups ---- */

static void set_variable(json_t *env, const char *assignment) {
        size_t len = strcspn(assignment, "=") + 1, i;
        json_t *entry;

        json_array_foreach(env, i, entry) {
                const char *text = json_string_value(entry);
                if (text && strncmp(text, assignment, len) == 0) {
                        json_array_set_new(env, i, json_string(assignment));
                        return;
                }
        }
        json_array_append_new(env, json_string(assignment));
}

static void apply_environment(const json_t *edits, json_t *spec) {
        json_t *list = LIST_AT(spec, "process", "env"), *entry;
        size_t i;

        json_array_foreach(json_object_get(edits, "env"), i, entry) set_variable(list, json_string_value(entry));
}

static void apply_groups(const json_t *edits, json_t *spec) {
        json_t *list = LIST_AT(spec, "process", "user", "additionalGids"), *entry;
        size_t i;

        json_array_foreach(json_object_get(edits, "additionalGids"), i, entry)
                json_array_append_new(list, json_integer(json_integer_value(entry)));
}

/* ---- device nodes ---- */

/* What the specification leaves out is looked up on the host. */
struct node {
        const char *path, *host_path, *type;
        json_int_t major, minor;
};

static struct error *node_read(const json_t *json, struct node *ret) {
        const json_t *major_ = json_object_get(json, "major"), *minor_ = json_object_get(json, "minor");
        struct stat st;

        ret->path = text_of(json, "path", "");
        ret->host_path = text_of(json, "hostPath", ret->path);
        ret->type = text_of(json, "type", NULL);
        if (ret->type && (streq(ret->type, "p") || (major_ && minor_))) {
                ret->major = json_integer_value(major_);
                ret->minor = json_integer_value(minor_);
                return NULL;
        }
        if (stat(ret->host_path, &st) < 0)
                return error_errno(errno, "device %s", ret->host_path);
        if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
                return error_new(ERROR_INVALID, "device %s: it is no device", ret->host_path);
        ret->type = S_ISBLK(st.st_mode) ? "b" : "c";
        ret->major = major_ ? json_integer_value(major_) : (json_int_t)major(st.st_rdev);
        ret->minor = minor_ ? json_integer_value(minor_) : (json_int_t)minor(st.st_rdev);
        return NULL;
}

static void add_node(const json_t *json, const struct node *node, json_t *spec) {
        static const char *const copied[] = { "fileMode", "uid", "gid" };
        json_t *device = json_pack("{s:s, s:s, s:I, s:I}", "path", node->path, "type", node->type, "major", node->major,
                                   "minor", node->minor);

        for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
                if (json_object_get(json, copied[i]))
                        json_object_set(device, copied[i], json_object_get(json, copied[i]));
        json_array_append_new(LIST_AT(spec, "linux", "devices"), device);
}

static struct error *apply_node(const json_t *json, bool userns, json_t *spec) {
        struct node node = { 0 };
        struct error *err = node_read(json, &node);

        if (err)
                return err;
        if (userns)
                json_array_append_new(LIST_AT(spec, "mounts"),
                                      json_pack("{s:s, s:s, s:s, s:[s,s,s]}", "destination", node.path, "type", "bind",
                                                "source", node.host_path, "options", "bind", "nosuid", "noexec"));
        else
                add_node(json, &node, spec);
        if (!streq(node.type, "p"))
                json_array_append_new(LIST_AT(spec, "linux", "resources", "devices"),
                                      json_pack("{s:b, s:s, s:I, s:I, s:s}", "allow", 1, "type",
                                                streq(node.type, "u") ? "c" : node.type, "major", node.major, "minor",
                                                node.minor, "access", text_of(json, "permissions", "rwm")));
        return NULL;
}

/* ---- mounts and hooks ---- */

static bool has_option(const json_t *options, const char *wanted) {
        json_t *option;
        size_t i;

        json_array_foreach(options, i, option) if (streq_ptr(json_string_value(option), wanted)) return true;
        return false;
}

static void apply_mount(const json_t *json, json_t *spec) {
        const char *type = text_of(json, "type", "bind");
        const json_t *given = json_object_get(json, "options");
        json_t *options = given ? json_deep_copy(given) : json_array();

        if (streq(type, "bind") && !has_option(options, "bind") && !has_option(options, "rbind"))
                json_array_append_new(options, json_string("rbind"));
        json_array_append_new(LIST_AT(spec, "mounts"),
                              json_pack("{s:s, s:s, s:s, s:o}", "destination", text_of(json, "containerPath", ""),
                                        "type", type, "source", text_of(json, "hostPath", ""), "options", options));
}

static void apply_hook(const json_t *json, json_t *spec) {
        static const char *const copied[] = { "path", "args", "env", "timeout" };
        json_t *hook = json_object();

        for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
                if (json_object_get(json, copied[i]))
                        json_object_set(hook, copied[i], json_object_get(json, copied[i]));
        json_array_append_new(LIST_AT(spec, "hooks", text_of(json, "hookName", "")), hook);
}

struct error *cdi_apply(const json_t *edits, bool userns, json_t *spec) {
        json_t *entry;
        size_t i;

        apply_environment(edits, spec);
        apply_groups(edits, spec);
        json_array_foreach(json_object_get(edits, "deviceNodes"), i, entry) {
                struct error *err = apply_node(entry, userns, spec);
                if (err)
                        return err;
        }
        json_array_foreach(json_object_get(edits, "mounts"), i, entry) apply_mount(entry, spec);
        json_array_foreach(json_object_get(edits, "hooks"), i, entry) apply_hook(entry, spec);
        return NULL;
}
