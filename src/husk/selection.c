#include "husk/selection.h"

#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "husk/columns.h"
#include "server/field.h"

#define EVENTS_SIZE_MAX (4U << 20)

static void requests_add(struct requests *r, const struct api_kind *kind, const char *ns, const char *name) {
        r->items = xreallocarray(r->items, r->n + 1, sizeof(*r->items));
        r->items[r->n++] = (struct request){ kind, xstrdup(kind->namespaced ? ns : NULL), xstrdup(name) };
}

void requests_release(struct requests *r) {
        for (size_t i = 0; i < r->n; i++) {
                free(r->items[i].ns);
                free(r->items[i].name);
        }
        free(r->items);
        *r = (struct requests)REQUESTS_INIT;
}

struct error *kind_parse(const char *word, const struct api_kind **ret) {
        const char *names[64];
        size_t n = 0, n_kinds;
        const struct api_kind *kinds = api_kinds(&n_kinds);

        *ret = api_kind_lookup(streq(word, "all") ? "pods" : word);
        if (*ret)
                return NULL;
        for (size_t i = 0; i < n_kinds && n < ARRAY_SIZE(names) - 1; i++)
                names[n++] = kinds[i].plural;
        names[n] = NULL;
        const char *kind, *advice = api_kind_advice(word, &kind);
        if (advice)
                return usage_error("husk has no %ss: %s", kind, advice);
        const char *nearest = nearest_name(word, names);
        if (nearest)
                return usage_error("husk has no resource type \"%s\"; did you mean \"%s\"?", word, nearest);
        return usage_error("husk has no resource type \"%s\"; `husk api-resources` lists them", word);
}

/* ---- files ---- */

struct error *selection_read_files(const struct selection *selection, struct manifest **ret) {
        _cleanup_(manifest_freep) struct manifest *manifest = manifest_new();

        for (size_t i = 0; selection->filenames && selection->filenames[i]; i++) {
                const char *path = selection->filenames[i];
                if (str_starts_with(path, "http://") || str_starts_with(path, "https://"))
                        return usage_error(
                                "husk does not read manifests from the network: curl -fsSL %s | husk %s -f -", path,
                                cli_invocation.verb ? cli_invocation.verb->name : "apply");
                if (!streq(path, "-") && !file_exists(path))
                        return usage_error("the path \"%s\" does not exist", path);
                struct error *err = manifest_add_path(manifest, path, selection->recursive);
                if (err)
                        return err;
        }
        if (manifest_mistakes(manifest)) {
                _cleanup_free_ char *text = manifest_explain(manifest);
                fputs(text, stderr);
                return usage_error("nothing was changed");
        }
        if (manifest->n == 0)
                return usage_error("no objects passed to %s", cli_invocation.verb ? cli_invocation.verb->name : "husk");
        *ret = TAKE_PTR(manifest);
        return NULL;
}

struct error *selection_load_local(const struct selection *selection, json_t *array) {
        _cleanup_(manifest_freep) struct manifest *manifest = NULL;
        struct error *err;

        if (!selection->filenames)
                return usage_error("--local needs the objects of a file: -f FILE");
        err = selection_read_files(selection, &manifest);
        for (size_t i = 0; !err && i < manifest->n; i++)
                json_array_append(array, manifest->documents[i]->json);
        return err;
}

struct error *namespace_of_document(struct cli *cli, const struct api_kind *kind, const json_t *object,
                                    const char **ret) {
        const char *own = object_namespace(object);

        if (!kind->namespaced) {
                *ret = NULL;
                return NULL;
        }
        if (own && cli->ns && !streq(own, cli->ns))
                return usage_error("the namespace from the provided object \"%s\" does not match the namespace \"%s\"; "
                                   "pass '--namespace=%s' to perform this operation",
                                   own, cli->ns, own);
        *ret = !str_empty(own) ? own : cli_namespace(cli);
        return NULL;
}

static struct error *requests_from_files(struct cli *cli, struct selection *selection, struct requests *ret) {
        _cleanup_(manifest_freep) struct manifest *manifest = NULL;
        struct error *err = selection_read_files(selection, &manifest);

        if (err)
                return err;
        for (size_t i = 0; i < manifest->n; i++) {
                const json_t *object = manifest->documents[i]->json;
                const struct api_kind *kind;
                const char *ns;

                err = kind_parse(field_text_or(object, "kind", ""), &kind);
                if (!err)
                        err = namespace_of_document(cli, kind, object, &ns);
                if (!err && str_empty(object_name(object)))
                        err = usage_error("resource name may not be empty");
                if (err)
                        return error_context(err, "%s", manifest->documents[i]->file->name);
                requests_add(ret, kind, ns, object_name(object));
        }
        return NULL;
}

/* ---- words ---- */

/* "TYPE/NAME", or with a fallback kind "NAME". */
static struct error *requests_add_word(struct cli *cli, const char *word, const struct api_kind *fallback,
                                       struct requests *ret) {
        const struct api_kind *kind = fallback;
        const char *slash = strchr(word, '/');
        _cleanup_free_ char *type = slash ? xstrndup(word, slash - word) : NULL;
        struct error *err;

        if (!slash && !fallback)
                return usage_error("there is no need to specify a resource type as a separate argument when passing "
                                   "arguments in resource/name form (e.g. 'husk get pod/web')");
        if (slash) {
                err = kind_parse(type, &kind);
                if (err)
                        return err;
                if (!slash[1] || strchr(slash + 1, '/'))
                        return usage_error("arguments in resource/name form must have a single resource and name: %s",
                                           word);
        }
        requests_add(ret, kind, cli_namespace(cli), slash ? slash + 1 : word);
        return NULL;
}

/* "TYPE[,TYPE…] [NAME…]" */
static struct error *requests_from_type(struct cli *cli, const struct selection *selection, char *const *words,
                                        size_t n_words, struct requests *ret) {
        _cleanup_strv_ char **types = strv_split(words[0], ',');
        const char *ns = selection->all_namespaces ? NULL : cli_namespace(cli);

        for (size_t i = 0; types[i]; i++) {
                const struct api_kind *kind;
                struct error *err = kind_parse(types[i], &kind);
                if (err)
                        return err;
                if (n_words == 1)
                        requests_add(ret, kind, ns, NULL);
                else if (selection->all_namespaces)
                        return usage_error("a resource cannot be retrieved by name across all namespaces");
                for (size_t n = 1; n < n_words; n++)
                        requests_add(ret, kind, ns, words[n]);
        }
        return NULL;
}

static struct error *requests_from_words(struct cli *cli, const struct selection *selection, char *const *words,
                                         size_t n_words, const struct api_kind *fallback, struct requests *ret) {
        if (n_words && !fallback && !strchr(words[0], '/'))
                return requests_from_type(cli, selection, words, n_words, ret);
        for (size_t i = 0; i < n_words; i++) {
                struct error *err = requests_add_word(cli, words[i], fallback, ret);
                if (err)
                        return err;
        }
        return NULL;
}

static struct error *selectors_parse(struct selection *selection, const struct requests *requests) {
        struct error *err = NULL;

        if (selection->selector)
                err = label_selector_parse(selection->selector, &selection->labels);
        if (!err && selection->field_selector)
                err = field_selector_parse(selection->field_selector, &selection->fields);
        if (err || (!selection->labels && !selection->fields && !selection->all))
                return err;
        for (size_t i = 0; i < requests->n; i++) {
                if (requests->items[i].name)
                        return usage_error("name cannot be provided when a selector is specified");
                if (selection->fields)
                        err = field_selector_check(selection->fields, requests->items[i].kind);
                if (err)
                        return err;
        }
        return NULL;
}

struct error *selection_parse(struct cli *cli, struct selection *selection, char *const *words, size_t n_words,
                              const struct api_kind *fallback, struct requests *ret) {
        struct error *err;

        if (selection->filenames && n_words)
                return usage_error("when paths, URLs, or stdin is provided as resource input, you may not specify "
                                   "resource arguments as well");
        if (selection->filenames)
                return requests_from_files(cli, selection, ret);
        if (n_words == 0 && !(fallback && (selection->selector || selection->all)))
                return usage_error("you must specify the type of resource, e.g. `husk %s pods`", cli->verb->name);
        if (n_words == 0)
                requests_add(ret, fallback, selection->all_namespaces ? NULL : cli_namespace(cli), NULL);
        err = requests_from_words(cli, selection, words, n_words, fallback, ret);
        if (err)
                return err;
        return selectors_parse(selection, ret);
}

/* ---- loading ---- */

static bool selection_matches(const struct selection *selection, const json_t *object) {
        if (selection->labels && !label_selector_matches(selection->labels, field_at(object, "metadata.labels")))
                return false;
        return !selection->fields || field_selector_matches(selection->fields, object);
}

static struct error *list_objects(struct cli *cli, const struct request *request, json_t **ret) {
        struct store *store;
        struct error *err = cli_store(cli, &store);

        if (err)
                return err;
        if (!streq(request->kind->kind, "Event"))
                return store_list(store, request->kind, request->ns, ret);
        *ret = json_array();
        return events_load(cli, request->ns, *ret);
}

static struct error *load_named(struct cli *cli, const struct request *request, json_t **ret) {
        struct store *store;
        struct error *err = cli_store(cli, &store);

        if (err)
                return err;
        if (!streq(request->kind->kind, "Event"))
                return store_get(store, request->kind, request->ns, request->name, ret);
        _cleanup_json_ json_t *events = json_array();
        json_t *event;
        size_t i;
        err = events_load(cli, request->ns, events);
        if (err)
                return err;
        json_array_foreach(events, i, event) if (streq(object_name(event), request->name)) {
                *ret = json_incref(event);
                return NULL;
        }
        return error_new(ERROR_NOT_FOUND, "events \"%s\" not found", request->name);
}

struct error *request_load(struct cli *cli, const struct request *request, const struct selection *selection,
                           json_t *array) {
        _cleanup_json_ json_t *loaded = NULL;
        struct error *err;
        json_t *object;
        size_t i;

        if (request->name) {
                err = load_named(cli, request, &loaded);
                if (selection->ignore_not_found && error_is(err, ERROR_NOT_FOUND))
                        err = error_free(err);
                else if (!err)
                        json_array_append(array, loaded);
                return err;
        }
        err = list_objects(cli, request, &loaded);
        if (err)
                return err;
        json_array_foreach(loaded, i, object) if (selection_matches(selection, object))
                json_array_append(array, object);
        return NULL;
}

json_t *requests_load(struct cli *cli, const struct requests *requests, const struct selection *selection) {
        json_t *array = json_array();

        for (size_t i = 0; i < requests->n; i++)
                cli_report(cli, request_load(cli, &requests->items[i], selection, array));
        return array;
}

struct error *pod_load(struct cli *cli, const char *word, json_t **ret) {
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        const struct api_kind *pods = api_kind_of("Pod");
        struct store *store;
        struct error *err;

        err = requests_add_word(cli, word, pods, &requests);
        if (err)
                return err;
        if (requests.items[0].kind != pods)
                return usage_error("%s is no pod", word);
        err = cli_store(cli, &store);
        if (err)
                return err;
        return store_get(store, pods, requests.items[0].ns, requests.items[0].name, ret);
}

/* ---- events ---- */

static struct error *events_add_pod(struct store *store, const char *uid, const char *ns, json_t *array) {
        _cleanup_free_ char *folder = store_pod_run_folder(store, uid);
        _cleanup_free_ char *path = path_join(folder, "events.json");
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *events = NULL;
        size_t len, i;
        json_t *event;

        struct error *err = file_read(path, EVENTS_SIZE_MAX, &text, &len);
        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return NULL;
        }
        if (err)
                return err;
        events = json_loadb(text, len, 0, NULL);
        if (!json_is_array(events))
                return error_new(ERROR_INTERNAL, "%s: not a list of events", path);
        json_array_foreach(events, i, event) if (!ns || streq_ptr(object_namespace(event), ns))
                json_array_append(array, event);
        return NULL;
}

struct event_order {
        const char *seen;
        size_t index;
        json_t *event;
};

static int event_compare(const void *a, const void *b) {
        const struct event_order *x = a, *y = b;
        int order = strcmp(x->seen, y->seen);
        return order ? order : x->index < y->index ? -1 : 1;
}

/* RFC 3339 in UTC: the order of the texts is the order of the times. */
static void events_sort(json_t *array, size_t from) {
        size_t n = json_array_size(array) - from;
        _cleanup_free_ struct event_order *order = xcalloc(n + 1, sizeof(*order));

        for (size_t i = 0; i < n; i++) {
                json_t *event = json_array_get(array, from + i);
                const char *seen = event_last_seen(event);
                order[i] = (struct event_order){ seen ? seen : "", i, json_incref(event) };
        }
        qsort(order, n, sizeof(*order), event_compare);
        for (size_t i = 0; i < n; i++)
                json_array_set_new(array, from + i, order[i].event);
}

struct error *events_load(struct cli *cli, const char *ns, json_t *array) {
        _cleanup_strv_ char **uids = NULL;
        size_t from = json_array_size(array);
        struct store *store;
        struct error *err;

        err = cli_store(cli, &store);
        if (err)
                return err;
        err = store_pod_uids(store, &uids);
        if (err)
                return err;
        for (size_t i = 0; uids && uids[i]; i++) {
                err = events_add_pod(store, uids[i], ns, array);
                if (err)
                        return err;
        }
        /* Those about other things than pods are objects like any. */
        _cleanup_json_ json_t *stored = NULL;
        err = store_list(store, api_kind_of("Event"), ns, &stored);
        if (err)
                return err;
        json_array_extend(array, stored);
        events_sort(array, from);
        return NULL;
}
