#include "husk/submit.h"

#include "base/str.h"
#include "server/field.h"
#include "server/object.h"

#define CONFLICT_RETRIES 20 /* a status may change often */

struct error *submit_create(struct cli *cli, const struct api_kind *kind, json_t *object) {
        struct store *store;
        struct error *err = cli_store(cli, &store);

        return err ? err : object_create(store, kind, object);
}

struct error *submit_mistakes(const struct api_kind *kind, const char *name, const struct diagnostics *diags) {
        _cleanup_strbuf_ struct strbuf lines = STRBUF_INIT;

        if (diags->n <= 1)
                return submit_refusal(kind, name, diags);
        for (size_t i = 0; i < diags->n; i++) {
                _cleanup_free_ char *message = diagnostic_message(&diags->items[i]);
                strbuf_addf(&lines, "\n* %s", message);
        }
        return error_new(ERROR_INVALID, "The %s \"%s\" is invalid: %s", kind->kind, name, strbuf_str(&lines));
}

struct error *submit_create_dry(struct cli *cli, const struct api_kind *kind, const json_t *object) {
        _cleanup_json_ json_t *there = NULL;
        struct store *store;
        struct error *err = cli_store(cli, &store);

        if (!err)
                err = store_get(store, kind, field_text(object, "metadata.namespace"), object_name(object), &there);
        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return NULL;
        }
        return err ? err
                   : error_new(ERROR_ALREADY_EXISTS, "%s \"%s\" already exists", kind->plural, object_name(object));
}

/* Only the status (or nothing at all) has changed since `live` was read: then `object`, made from it, may take the
 * newer version's place. */
static struct error *take_newer_version(struct store *store, const struct api_kind *kind, json_t *object,
                                        const json_t *live, bool *ret_taken) {
        _cleanup_json_ json_t *now = NULL;
        struct error *err;

        *ret_taken = false;
        err = store_get(store, kind, field_text(live, "metadata.namespace"), object_name(live), &now);
        if (err || !submit_is_unchanged(kind, now, live))
                return err;
        json_object_set_new(json_object_get(object, "metadata"), "resourceVersion",
                            json_string(field_text_or(now, "metadata.resourceVersion", "")));
        *ret_taken = true;
        return NULL;
}

struct error *submit_update(struct cli *cli, const struct api_kind *kind, json_t *object, const json_t *live) {
        const char *version = field_text_or(live, "metadata.resourceVersion", "");
        /* Else it names another version than the one it is compared with: it was made from that. */
        bool made_from_live = streq(field_text_or(object, "metadata.resourceVersion", version), version);
        struct store *store;
        bool again = true;
        struct error *err = cli_store(cli, &store);

        for (int attempt = 0; !err && again; attempt++) {
                err = object_update(store, kind, object);
                again = error_is(err, ERROR_CONFLICT) && made_from_live && attempt < CONFLICT_RETRIES;
                if (!again)
                        break;
                _cleanup_error_ struct error *problem = take_newer_version(store, kind, object, live, &again);
                if (!problem && again)
                        err = error_free(err);
        }
        return err;
}

/* One attempt of submit_modify(). */
static struct error *modify_once(struct cli *cli, struct store *store, const struct api_kind *kind, const json_t *live,
                                 const char *subresource, bool dry_run, submit_change change, void *arg, json_t **ret,
                                 bool *ret_changed) {
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        _cleanup_json_ json_t *object = json_deep_copy(live);
        _cleanup_json_ json_t *checked = NULL;
        struct error *err;

        err = change(object, arg);
        if (err)
                return err;
        submit_check_update(kind, object, live, subresource, &diags, &checked);
        err = submit_mistakes(kind, object_name(live), &diags);
        if (err)
                return err;
        *ret_changed = !submit_is_unchanged(kind, checked, live);
        if (*ret_changed && !dry_run)
                err = object_update(store, kind, checked);
        if (err)
                return err;
        /* A pod's status is not part of what was stored; who prints the object wants it. */
        if (!json_object_get(checked, "status") && json_object_get(live, "status"))
                json_object_set(checked, "status", json_object_get(live, "status"));
        *ret = json_incref(checked);
        return NULL;
}

struct error *submit_modify(struct cli *cli, const struct api_kind *kind, const char *ns, const char *name,
                            const char *subresource, bool dry_run, submit_change change, void *arg, json_t **ret,
                            bool *ret_changed) {
        struct store *store;
        bool changed;
        struct error *err = cli_store(cli, &store);

        for (int attempt = 0; !err; attempt++) {
                _cleanup_json_ json_t *live = NULL;
                err = store_get(store, kind, ns, name, &live);
                if (err)
                        break;
                err = modify_once(cli, store, kind, live, subresource, dry_run, change, arg, ret,
                                  ret_changed ? ret_changed : &changed);
                if (!err)
                        return NULL;
                if (error_is(err, ERROR_CONFLICT) && attempt < CONFLICT_RETRIES)
                        err = error_free(err);
        }
        return err;
}

struct error *dry_run_parse(const char *text, enum dry_run *ret) {
        if (!text || streq(text, "none"))
                *ret = DRY_RUN_NONE;
        else if (streq(text, "client"))
                *ret = DRY_RUN_CLIENT;
        else if (streq(text, "server"))
                *ret = DRY_RUN_SERVER;
        else
                return usage_error("Invalid dry-run value (%s). Must be \"none\", \"server\", or \"client\".", text);
        return NULL;
}

const char *dry_run_suffix(enum dry_run dry_run) {
        static const char *const suffixes[] = {
                [DRY_RUN_NONE] = "",
                [DRY_RUN_CLIENT] = " (dry run)",
                [DRY_RUN_SERVER] = " (server dry run)",
        };
        return suffixes[dry_run];
}
