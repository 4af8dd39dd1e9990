/* delete.c - `husk delete`, and the deletion of an object for other verbs (delete.h). */
#include "husk/delete.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "server/field.h"
#include "husk/output.h"
#include "husk/selection.h"
#include "server/dependents.h"
#include "server/object.h"
#include "server/supervisor.h"
#include "store/claim.h"
#include "store/owner.h"
#include "husk/submit.h"
#include "husk/watch.h"
#include "husk/verbs.h"

/* ---- one pod ---- */

static struct error *pod_begin(struct store *store, const json_t *pod, int64_t grace) {
        const char *uid = field_text_or(pod, "metadata.uid", "");

        for (;;) {
                _cleanup_json_ json_t *now = NULL;
                struct error *err = store_get(store, api_kind_of("Pod"), object_namespace(pod), object_name(pod), &now);
                /* Gone, or another one of that name by now: done. */
                if (error_is(err, ERROR_NOT_FOUND) || (!err && !streq_ptr(field_text(now, "metadata.uid"), uid)))
                        return error_free(err);
                if (!err)
                        err = pod_mark_deleted(store, now, grace);
                if (error_is(err, ERROR_CONFLICT)) {
                        error_free(err);
                        continue;
                }
                if (error_is(err, ERROR_NOT_FOUND))
                        return error_free(err);
                return err ? err : pod_cleanup_if_alone(store, uid);
        }
}

static struct error *pod_wait(struct store *store, const json_t *pod, int64_t timeout_ns) {
        const char *uid = field_text_or(pod, "metadata.uid", "");
        _cleanup_free_ char *folders = path_join(store->root, "pods");
        _cleanup_watch_ struct watch watch = WATCH_INIT;
        struct error *err;

        err = watch_open(timeout_ns > 0 ? timeout_ns : -1, &watch);
        if (err)
                return err;
        for (;;) {
                watch_add(&watch, folders);
                watch_add_pod(&watch, store, uid);
                if (pod_is_gone(store, uid))
                        return NULL;
                _cleanup_close_ int keeper = supervisor_open(store, uid);
                if (keeper < 0 && !pod_is_held(store, uid)) {
                        err = pod_cleanup_if_alone(store, uid);
                        if (err || pod_is_gone(store, uid))
                                return err;
                        continue; /* a supervisor has come after all: it is who must be waited for */
                }
                if (watch_wait(&watch, keeper) == WATCH_TIMEOUT)
                        return error_new(ERROR_TIMEOUT, "timed out waiting for the condition on pods/%s",
                                         object_name(pod));
        }
}

/* The pod's claims go with it, and what it owned. Whoever removed the pod has seen to that, or was killed just before.
 */
static void sweep(struct store *store) {
        _cleanup_error_ struct error *err = claims_sweep(store);

        error_keep_first(&err, dependents_collect(store));
        if (err)
                fprintf(stderr, "Warning: %s\n", error_message(err));
}

/* ---- an object that may stay: a claim for the pods that use it, any for its finalizers ---- */

static struct error *object_wait(struct store *store, const struct api_kind *kind, const json_t *object,
                                 int64_t timeout_ns) {
        _cleanup_free_ char *folder = store_objects_folder(store, kind, object_namespace(object));
        _cleanup_watch_ struct watch watch = WATCH_INIT;
        struct error *err = watch_open(timeout_ns > 0 ? timeout_ns : -1, &watch);

        while (!err) {
                _cleanup_json_ json_t *now = NULL;
                watch_add(&watch, folder);
                err = store_get(store, kind, object_namespace(object), object_name(object), &now);
                /* Gone, or another one of that name by now: done. */
                if (error_is(err, ERROR_NOT_FOUND) ||
                    (!err && !streq_ptr(field_text(now, "metadata.uid"), field_text(object, "metadata.uid"))))
                        return error_free(err);
                if (!err && watch_wait(&watch, -1) == WATCH_TIMEOUT)
                        err = error_new(ERROR_TIMEOUT, "timed out waiting for the condition on %s/%s", kind->plural,
                                        object_name(object));
        }
        return err;
}

/* ---- a namespace with all that is in it ---- */

/* Gone already: with its owner just now. */
static struct error *not_found_is_fine(struct error *err) {
        return error_is(err, ERROR_NOT_FOUND) ? error_free(err) : err;
}

static struct error *namespace_empty(struct cli *cli, struct store *store, const char *ns,
                                     const struct delete_options *options) {
        size_t n_kinds;
        const struct api_kind *kinds = api_kinds(&n_kinds);
        const struct delete_options one = { .grace = options->grace, .wait = true, .timeout_ns = options->timeout_ns };

        for (size_t k = 0; k < n_kinds; k++) {
                _cleanup_json_ json_t *objects = NULL;
                struct error *err;
                json_t *object;
                size_t i;

                if (!kinds[k].namespaced || streq(kinds[k].kind, "Event"))
                        continue;
                err = store_list(store, &kinds[k], ns, &objects);
                if (err)
                        return err;
                json_array_foreach(objects, i, object) {
                        err = not_found_is_fine(delete_begin(cli, &kinds[k], object, &one));
                        if (err)
                                return err;
                }
                json_array_foreach(objects, i, object) {
                        err = delete_wait(cli, &kinds[k], object, &one);
                        if (err)
                                return err;
                }
        }
        return NULL;
}

static struct error *namespace_delete(struct cli *cli, struct store *store, const json_t *object,
                                      const struct delete_options *options) {
        const char *name = object_name(object);
        struct error *err;

        if (streq(name, "default"))
                return error_new(ERROR_FORBIDDEN, "namespaces \"%s\" is forbidden: this namespace may not be deleted",
                                 name);
        err = namespace_empty(cli, store, name, options);
        if (!err)
                err = store_delete(store, api_kind_of("Namespace"), NULL, name);
        if (!err)
                sweep(store);
        return err;
}

/* ---- any object ---- */

struct error *cascade_parse(const char *text, enum cascade *ret) {
        static const struct {
                const char *text;
                enum cascade cascade;
                const char *instead; /* of a boolean */
        } words[] = { { "background", CASCADE_BACKGROUND, NULL },
                      { "orphan", CASCADE_ORPHAN, NULL },
                      { "foreground", CASCADE_FOREGROUND, NULL },
                      { "true", CASCADE_BACKGROUND, "background" },
                      { "false", CASCADE_ORPHAN, "orphan" } };

        *ret = CASCADE_BACKGROUND;
        for (size_t i = 0; text && i < ARRAY_SIZE(words); i++) {
                if (!streq(words[i].text, text))
                        continue;
                if (words[i].instead)
                        fprintf(stderr,
                                "warning: --cascade=%s is deprecated (boolean value) and can be replaced with "
                                "--cascade=%s.\n",
                                text, words[i].instead);
                *ret = words[i].cascade;
                return NULL;
        }
        return text ? usage_error("invalid cascade value (%s). Must be \"background\", \"foreground\", or \"orphan\"",
                                  text)
                    : NULL;
}

static bool blocks(const json_t *dependent, const char *owner) {
        const json_t *reference;
        size_t i;

        json_array_foreach(field_at(dependent, "metadata.ownerReferences"), i, reference) {
                if (streq_ptr(field_text(reference, "uid"), owner) &&
                    json_is_true(json_object_get(reference, "blockOwnerDeletion")))
                        return true;
        }
        return false;
}

static void leave_out(json_t *objects, const json_t *seen) {
        for (size_t i = json_array_size(objects); i > 0; i--)
                if (json_object_get(seen, field_text_or(json_array_get(objects, i - 1), "metadata.uid", "")))
                        json_array_remove(objects, i - 1);
}

/* Those that belong to it first. Which of them are waited for, they say themselves (blockOwnerDeletion). What is being
 * deleted already is left out: owners may own one another. */
static struct error *dependents_delete(struct cli *cli, struct store *store, const json_t *owner,
                                       const struct delete_options *options) {
        _cleanup_json_ json_t *dependents = NULL, *seen = options->seen ? json_incref(options->seen) : json_object();
        struct delete_options own_grace = *options;
        const char *uid = field_text_or(owner, "metadata.uid", "");
        json_t *object;
        size_t i;

        json_object_set_new(seen, uid, json_true());
        struct error *err = owner_dependents(store, owner, true, &dependents);
        leave_out(dependents, seen);
        own_grace.grace = -1;
        own_grace.seen = seen;
        json_array_foreach(dependents, i, object) {
                if (!err)
                        err = not_found_is_fine(
                                delete_begin(cli, api_kind_of(field_text_or(object, "kind", "")), object, &own_grace));
        }
        json_array_foreach(dependents, i, object) {
                if (!err && blocks(object, uid))
                        err = delete_wait(cli, api_kind_of(field_text_or(object, "kind", "")), object, &own_grace);
        }
        return err;
}

struct error *delete_begin(struct cli *cli, const struct api_kind *kind, const json_t *object,
                           const struct delete_options *options) {
        struct store *store;
        struct error *err = cli_store(cli, &store);

        if (!err && options->cascade == CASCADE_ORPHAN)
                err = dependents_orphan(store, object);
        else if (!err && options->cascade == CASCADE_FOREGROUND)
                err = dependents_delete(cli, store, object, options);
        if (err)
                return err;
        if (streq(kind->kind, "Pod"))
                return pod_begin(store, object, options->grace);
        if (streq(kind->kind, "Namespace"))
                return namespace_delete(cli, store, object, options);
        if (streq(kind->kind, "Node"))
                return error_new(ERROR_FORBIDDEN, "nodes \"%s\" is forbidden: it is the machine husk runs on",
                                 object_name(object));
        return object_delete(store, kind, object);
}

struct error *delete_wait(struct cli *cli, const struct api_kind *kind, const json_t *object,
                          const struct delete_options *options) {
        struct store *store;
        struct error *err = cli_store(cli, &store);

        if (err)
                return err;
        if (!streq(kind->kind, "Pod"))
                return object_wait(store, kind, object, options->timeout_ns);
        err = pod_wait(store, object, options->timeout_ns);
        if (!err)
                sweep(store);
        return err;
}

struct error *delete_object(struct cli *cli, const struct api_kind *kind, const json_t *object,
                            const struct delete_options *options) {
        struct error *err = delete_begin(cli, kind, object, options);

        return err || !options->wait ? err : delete_wait(cli, kind, object, options);
}

/* ---- the verb ---- */

static struct selection selection;
static struct delete_options options = DELETE_OPTIONS_INIT;
static bool force, now, interactive;
static const char *output_text, *dry_run_text, *cascade_text;

const struct flag delete_flags[] = {
        FLAGS_FILENAME(selection),
        FLAG_SELECTOR(selection),
        FLAG_FIELD_SELECTOR(selection),
        FLAG_ALL(selection),
        FLAG_ALL_NAMESPACES(selection),
        FLAG_IGNORE_NOT_FOUND(selection),
        { "grace-period", 0, FLAG_NUMBER, &options.grace, "SECONDS", NULL,
          "Time the pod gets to end; negative: its own terminationGracePeriodSeconds; 0 only with --force" },
        { "force", 0, FLAG_BOOL, &force, NULL, NULL, "Kill at once, without any grace" },
        { "now", 0, FLAG_BOOL, &now, NULL, NULL, "The same as --grace-period=1" },
        { "wait", 0, FLAG_BOOL, &options.wait, NULL, NULL, "Return when the objects are gone" },
        { "timeout", 0, FLAG_DURATION, &options.timeout_ns, NULL, NULL, "Longest time to wait (0: for ever)" },
        { "interactive", 'i', FLAG_BOOL, &interactive, NULL, NULL, "Show what is meant and ask first" },
        { "raw", 0, FLAG_REFUSED, NULL, "URI", NULL, "there is no server to send it to" },
        FLAG_CASCADE(cascade_text),
        FLAG_DRY_RUN(dry_run_text),
        { "output", 'o', FLAG_TEXT, &output_text, "name", NULL, "Print type/name only" },
        { 0 },
};

static struct error *options_check(void) {
        if (now && options.grace >= 0)
                return usage_error("--now and --grace-period cannot be specified together");
        if (now)
                options.grace = 1;
        if (options.grace == 0 && !force)
                /* As kubectl: zero seconds without --force is a wish for haste, not for violence. */
                options.grace = 1;
        if (force && options.grace < 0)
                options.grace = 0;
        if (force && options.grace > 0)
                return usage_error("--force and --grace-period greater than 0 cannot be specified together");
        if (output_text && !streq(output_text, "name"))
                return usage_error("unexpected -o output mode: %s. We only support '-o name'", output_text);
        return cascade_parse(cascade_text, &options.cascade);
}

/* -i: what is meant, and the question kubectl asks. */
static bool user_agrees(const json_t *objects) {
        char answer[16] = "";
        json_t *object;
        size_t i;

        printf("You are about to delete the following %zu resource(s):\n", json_array_size(objects));
        json_array_foreach(objects, i, object) {
                _cleanup_free_ char *name = output_name(object);
                puts(name);
        }
        printf("Do you want to continue? (y/N): ");
        fflush(stdout);
        if (fgets(answer, sizeof(answer), stdin) && (streq(answer, "y\n") || streq(answer, "Y\n")))
                return true;
        puts("deletion is cancelled");
        return false;
}

static void print_deleted(const struct api_kind *kind, const json_t *object, enum dry_run dry_run) {
        if (output_text)
                printf("%s/%s\n", kind->singular, object_name(object));
        else
                printf("%s \"%s\" %sdeleted%s%s%s%s\n", kind->singular, object_name(object), force ? "force " : "",
                       kind->namespaced ? " from " : "", kind->namespaced ? object_namespace(object) : "",
                       kind->namespaced ? " namespace" : "", dry_run_suffix(dry_run));
        fflush(stdout);
}

/* Asks for every deletion first, so that many pods end side by side, then waits for each. */
static struct error *delete_all(struct cli *cli, const json_t *objects, enum dry_run dry_run) {
        _cleanup_json_ json_t *begun = json_array();
        json_t *object;
        size_t i;

        json_array_foreach(objects, i, object) {
                const struct api_kind *kind = api_kind_of(field_text_or(object, "kind", ""));
                struct error *err = dry_run ? NULL : delete_begin(cli, kind, object, &options);
                /* It may have gone with its owner just now. */
                if ((selection.ignore_not_found || field_at(object, "metadata.ownerReferences")) &&
                    error_is(err, ERROR_NOT_FOUND))
                        err = error_free(err);
                if (err) {
                        cli_report(cli, err);
                        continue;
                }
                print_deleted(kind, object, dry_run);
                json_array_append(begun, object);
        }
        if (!options.wait || dry_run)
                return NULL;
        json_array_foreach(begun, i, object)
                cli_report(cli, delete_wait(cli, api_kind_of(field_text_or(object, "kind", "")), object, &options));
        return NULL;
}

struct error *delete_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        enum dry_run dry_run;
        struct error *err;

        err = options_check();
        if (!err)
                err = dry_run_parse(dry_run_text, &dry_run);
        if (!err)
                err = selection_parse(cli, &selection, arguments->words, arguments->n_words, NULL, &requests);
        if (err)
                return err;
        for (size_t i = 0; i < requests.n; i++)
                if (!requests.items[i].name && !selection.all && !selection.labels && !selection.fields)
                        return usage_error("resource(s) were provided, but no name was specified");
        _cleanup_json_ json_t *objects = requests_load(cli, &requests, &selection);
        if (json_array_size(objects) == 0 && cli->status == 0 && !selection.ignore_not_found)
                puts("No resources found");
        if (interactive && json_array_size(objects) && !user_agrees(objects))
                return NULL;
        return delete_all(cli, objects, dry_run);
}
