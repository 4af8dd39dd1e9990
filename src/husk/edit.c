/* edit.c - `husk edit`: an object in the caller's editor, and back.
 *
 * The object is written to a file that only the caller can read; what the editor leaves there is checked as if it had
 * been replaced. With a mistake the editor opens again, the mistakes above the text; nothing is lost: a file that could
 * not be stored stays, and its name is told. */
#include <stdio.h>
#include <stdlib.h>

#include "api/manifest.h"
#include "api/patch.h"
#include "api/yaml.h"
#include "base/file.h"
#include "base/str.h"
#include "husk/output.h"
#include "husk/scratch.h"
#include "husk/selection.h"
#include "husk/submit.h"
#include "husk/verbs.h"
#include "server/field.h"

#define TEXT_SIZE_MAX (16U << 20)

static struct selection selection;
static const char *format = "yaml", *subresource;

const struct flag edit_flags[] = {
        { "output", 'o', FLAG_TEXT, &format, "yaml|json", NULL, "Edit it in this format (default yaml)" },
        { "subresource", 0, FLAG_TEXT, &subresource, "NAME", NULL,
          "Edit this part of a pod: resize, ephemeralcontainers" },
        FLAGS_FILENAME(selection),
        { "output-patch", 0, FLAG_REFUSED, NULL, NULL, NULL, "`husk diff` shows what differs" },
        { "template", 0, FLAG_REFUSED, NULL, "TEXT", NULL, "what is edited is yaml or json" },
        FLAG_MISSING_KEYS,
        FLAG_MANAGED_FIELDS,
        FLAG_FIELD_MANAGER,
        { "save-config", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "a later apply merges without it" },
        { "validate", 0, FLAG_ACCEPTED, NULL, NULL, "strict", "what no such object has is refused" },
        { "windows-line-endings", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "an editor may write either" },
        { 0 },
};

static const char head[] =
        "# Please edit the object below. Lines beginning with a '#' will be ignored,\n"
        "# and an empty file will abort the edit. If an error occurs while saving this file will be\n"
        "# reopened with the relevant failures.\n"
        "#\n";

/* One object on its way through the editor. */
struct editing {
        const struct api_kind *kind;
        const json_t *live;
        char *folder, *path;
        const char *name; /* of the file */
        char *written;    /* what the editor was given */
};

static void editing_release(struct editing *e) {
        free(e->folder);
        free(e->path);
        free(e->written);
}

static char *object_text(const json_t *object) {
        if (!streq(format, "json"))
                return yaml_format(object);
        char *text = json_dumps(object, JSON_INDENT(4) | JSON_SORT_KEYS);
        char *line = xasprintf("%s\n", text);
        free(text);
        return line;
}

/* `remarks` (lines, may be empty) stand between the head and the text. */
static struct error *write_text(struct editing *e, const char *remarks, const char *text) {
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

        strbuf_adds(&b, head);
        for (const char *line = remarks; *line;) {
                size_t len = strcspn(line, "\n");
                strbuf_addf(&b, "# %.*s\n", (int)len, line);
                line += len + (line[len] == '\n');
        }
        strbuf_adds(&b, text);
        free(e->written);
        e->written = strbuf_take(&b);
        return scratch_write(e->folder, e->name, e->written);
}

static struct error *run_editor(const struct editing *e) {
        const char *editor = getenv("KUBE_EDITOR"), *arguments[] = { e->path, NULL };
        int status;

        if (str_empty(editor))
                editor = getenv("EDITOR");
        if (str_empty(editor))
                editor = "vi";
        struct error *err = scratch_run(editor, arguments, &status);
        if (!err && status)
                err = usage_error("the editor \"%s\" ended with status %d (EDITOR or KUBE_EDITOR names another)",
                                  editor, status);
        return err;
}

/* The text without the comments at its head. */
static const char *skip_remarks(const char *text) {
        while (*text == '#')
                text += strcspn(text, "\n") + (text[strcspn(text, "\n")] == '\n');
        return text;
}

/* The file's one object as it may be stored; NULL and *ret_remarks if there are mistakes in it. */
static json_t *check_text(const struct editing *e, const char *text, char **ret_remarks) {
        _cleanup_(manifest_freep) struct manifest *manifest = manifest_new();
        json_t *checked = NULL;

        *ret_remarks = NULL;
        manifest_add_text(manifest, e->name, text, strlen(text));
        if (manifest->n == 1 && manifest->documents[0]->json) {
                struct manifest_document *document = manifest->documents[0];
                if (streq_ptr(field_text(document->json, "metadata.name"), object_name(e->live)))
                        submit_check_update(e->kind, document->json, e->live, subresource, &document->diags, &checked);
                else
                        *ret_remarks = xstrdup("metadata.name may not be changed; `husk apply` makes another object");
        } else if (manifest->n != 1) {
                *ret_remarks = xstrdup("expected one object");
        }
        if (!checked && !*ret_remarks)
                *ret_remarks = manifest_explain(manifest);
        return checked;
}

/* Lets the caller edit until there is something to store (*ret), or nothing (NULL). */
static struct error *edit_until_valid(struct editing *e, json_t **ret) {
        _cleanup_free_ char *first = object_text(e->live);
        struct error *err = write_text(e, "", first);

        *ret = NULL;
        while (!err) {
                _cleanup_free_ char *text = NULL, *remarks = NULL;
                err = run_editor(e);
                if (!err)
                        err = file_read(e->path, TEXT_SIZE_MAX, &text, NULL);
                if (err)
                        return err;
                const char *body = skip_remarks(text);
                if (streq(text, e->written) || streq(body, first)) {
                        if (!streq(body, first))
                                return usage_error(
                                        "edit cancelled, the mistakes are still there; your changes are in %s",
                                        e->path);
                        fprintf(stderr, "Edit cancelled, no changes made.\n");
                        return NULL;
                }
                if (!*(body + strspn(body, " \t\r\n"))) {
                        fprintf(stderr, "Edit cancelled, saved file was empty.\n");
                        return NULL;
                }
                *ret = check_text(e, body, &remarks);
                if (*ret)
                        return NULL;
                err = write_text(e, remarks, body);
        }
        return err;
}

/* What was edited, and what it was before. */
struct edited {
        const struct api_kind *kind;
        json_t *before, *after;
};

/* Leaves in both only what differs: lists as a whole, for they are merged by their keys. */
static void keep_differences(json_t *before, json_t *after) {
        const char *key;
        json_t *was;
        void *next;

        json_object_foreach_safe(before, next, key, was) {
                json_t *is = json_object_get(after, key);
                if (is && json_equal(was, is)) {
                        json_object_del(after, key);
                        json_object_del(before, key);
                } else if (json_is_object(was) && json_is_object(is)) {
                        keep_differences(was, is);
                }
        }
}

/* Does to the object, as it is now, what the caller did to the one that was shown. */
static struct error *change_as_edited(json_t *object, void *arg) {
        const struct edited *e = arg;
        _cleanup_json_ json_t *result = patch_three_way(api_type_of(e->kind->descriptor), e->before, e->after, object);

        json_object_clear(object);
        json_object_update(object, result);
        return NULL;
}

/* Without what says which version it was, and what it is doing. */
static json_t *without_status(const json_t *object) {
        json_t *copy = json_deep_copy(object), *metadata = json_object_get(copy, "metadata");

        json_object_del(copy, "status");
        json_object_del(metadata, "resourceVersion");
        json_object_del(metadata, "generation");
        return copy;
}

static struct error *store_edited(struct cli *cli, const struct editing *e, json_t *object) {
        if (submit_is_unchanged(e->kind, object, e->live)) {
                fprintf(stderr, "Edit cancelled, no changes made.\n");
                return NULL;
        }
        _cleanup_json_ json_t *before = without_status(e->live), *after = without_status(object), *stored = NULL;
        struct edited edited = { e->kind, before, after };
        keep_differences(before, after);
        struct error *err = submit_modify(cli, e->kind, object_namespace(e->live), object_name(e->live), subresource,
                                          false, change_as_edited, &edited, &stored, NULL);
        if (err)
                return error_context(err, "your changes are in %s", e->path);
        printf("%s/%s edited\n", e->kind->singular, object_name(object));
        return NULL;
}

static struct error *edit_one(struct cli *cli, const json_t *live) {
        _cleanup_(editing_release) struct editing e = {
                .kind = api_kind_of(field_text_or(live, "kind", "")),
                .live = live,
                .name = streq(format, "json") ? "object.json" : "object.yaml",
        };
        _cleanup_json_ json_t *object = NULL;
        struct error *err = scratch_folder("husk-edit", &e.folder);

        if (err)
                return err;
        e.path = path_join(e.folder, e.name);
        err = edit_until_valid(&e, &object);
        if (!err && object)
                err = store_edited(cli, &e, object);
        if (!err) {
                struct error *removal = remove_tree(e.folder);
                error_free(removal);
        }
        return err;
}

struct error *edit_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        struct error *err;
        json_t *object;
        size_t i;

        if (!streq(format, "yaml") && !streq(format, "json"))
                return usage_error("the edit mode doesn't support output the format \"%s\"; yaml and json are", format);
        if (subresource && (!submit_subresource_is_known(subresource) || streq(subresource, "status")))
                return usage_error("invalid subresource value: \"%s\". Must be one of [ephemeralcontainers resize]",
                                   subresource);
        err = selection_parse(cli, &selection, arguments->words, arguments->n_words, NULL, &requests);
        if (err)
                return err;
        _cleanup_json_ json_t *objects = requests_load(cli, &requests, &selection);
        json_array_foreach(objects, i, object) {
                err = edit_one(cli, object);
                if (err)
                        return err;
        }
        return NULL;
}
