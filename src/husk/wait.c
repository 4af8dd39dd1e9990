/* wait.c - `husk wait`: until objects are as somebody needs them. */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "api/jsonpath.h"
#include "base/clock.h"
#include "server/field.h"
#include "husk/output.h"
#include "husk/selection.h"
#include "husk/watch.h"
#include "husk/verbs.h"

#define WEEK_NS (7 * 24 * 3600 * NSEC_PER_SEC)

static struct selection selection;
static const char *wanted_text, *output_text, *template_text;
static int64_t timeout_ns = 30 * NSEC_PER_SEC;

const struct flag wait_flags[] = {
        { "for", 0, FLAG_TEXT, &wanted_text, "WHAT", NULL,
          "create, delete, condition=TYPE[=STATUS], or jsonpath={PATH}[=VALUE]" },
        { "timeout", 0, FLAG_DURATION, &timeout_ns, NULL, NULL,
          "Longest time to wait (0: look once; negative: a week)" },
        FLAGS_FILENAME(selection),
        FLAG_SELECTOR(selection),
        FLAG_FIELD_SELECTOR(selection),
        FLAG_ALL(selection),
        FLAG_ALL_NAMESPACES(selection),
        FLAG_OUTPUT(output_text),
        FLAG_TEMPLATE(template_text),
        FLAG_MISSING_KEYS,
        FLAG_MANAGED_FIELDS,
        { "local", 0, FLAG_REFUSED, NULL, NULL, NULL, "what a file says does not change by waiting" },
        { 0 },
};

/* What --for says. */
struct wanted {
        enum { WANT_CREATE, WANT_DELETE, WANT_CONDITION, WANT_JSONPATH } what;
        char *name;  /* of the condition */
        char *value; /* NULL: any (of a path) */
        struct jsonpath *path;
};

static void wanted_release(struct wanted *w) {
        free(w->name);
        free(w->value);
        jsonpath_free(w->path);
}

/* "Ready", "Ready=False": names and values regardless of case, as kubectl compares them. */
static void condition_parse(const char *text, struct wanted *ret) {
        const char *equals = strchr(text, '=');

        ret->what = WANT_CONDITION;
        ret->name = equals ? xstrndup(text, equals - text) : xstrdup(text);
        ret->value = xstrdup(equals ? equals + 1 : "True");
}

/* Where "=VALUE" begins: after the closing brace, or for a bare path at the last lone "=" outside brackets. NULL: there
 * is no value. */
static const char *path_end(const char *text) {
        const char *found = NULL;
        int depth = 0;

        for (const char *c = text; *c; c++) {
                depth += (*c == '{' || *c == '[' || *c == '(') - (*c == '}' || *c == ']' || *c == ')');
                if (*c == '=' && depth <= 0) {
                        found = c;
                        break;
                }
        }
        return found;
}

static struct error *path_parse(const char *text, struct wanted *ret) {
        const char *equals = path_end(text);
        _cleanup_free_ char *path = equals ? xstrndup(text, equals - text) : xstrdup(text);

        ret->what = WANT_JSONPATH;
        if (equals && !equals[1])
                return usage_error("jsonpath wait value cannot be empty");
        ret->value = equals ? xstrdup(equals + 1) : NULL;
        /* Quotes that a manifest or a script left around the value. */
        size_t len = equals ? strlen(ret->value) : 0;
        if (len >= 2 && ret->value[0] == '"' && ret->value[len - 1] == '"') {
                memmove(ret->value, ret->value + 1, len - 2);
                ret->value[len - 2] = '\0';
        }
        _cleanup_free_ char *full = jsonpath_relax(path);
        return jsonpath_parse(full, &ret->path);
}

static struct error *wanted_parse(const char *text, struct wanted *ret) {
        if (str_empty(text))
                return usage_error("--for is needed: create, delete, condition=TYPE or jsonpath={PATH}=VALUE");
        if (strcasecmp(text, "create") == 0)
                ret->what = WANT_CREATE;
        else if (strcasecmp(text, "delete") == 0)
                ret->what = WANT_DELETE;
        else if (str_starts_with(text, "condition="))
                condition_parse(text + strlen("condition="), ret);
        else if (str_starts_with(text, "jsonpath="))
                return path_parse(text + strlen("jsonpath="), ret);
        else
                return usage_error("unrecognized condition: \"%s\"", text);
        return NULL;
}

static bool condition_is_met(const struct wanted *w, const json_t *object) {
        json_t *condition;
        size_t i;

        json_array_foreach(field_at(object, "status.conditions"), i, condition) {
                if (strcasecmp(field_text_or(condition, "type", ""), w->name) != 0)
                        continue;
                /* A condition that was written for an older spec says nothing about this one. */
                int64_t observed = field_number(condition, "observedGeneration", 0);
                if (observed && observed < field_number(object, "metadata.generation", 0))
                        return false;
                return strcasecmp(field_text_or(condition, "status", ""), w->value) == 0;
        }
        return false;
}

static struct error *path_is_met(const struct wanted *w, const json_t *object, bool *ret) {
        _cleanup_json_ json_t *values = NULL;
        struct error *err = jsonpath_find(w->path, object, &values);

        *ret = false;
        if (err || json_array_size(values) == 0)
                return err;
        if (!w->value) {
                *ret = true;
                return NULL;
        }
        if (json_array_size(values) > 1)
                return usage_error("given jsonpath expression matches more than one value");
        _cleanup_free_ char *text = jsonpath_value_text(json_array_get(values, 0));
        *ret = streq(text, w->value);
        return NULL;
}

static struct error *is_met(const struct wanted *w, const json_t *object, bool *ret) {
        *ret = false;
        switch (w->what) {
        case WANT_CREATE:
                *ret = object != NULL;
                return NULL;
        case WANT_DELETE:
                *ret = object == NULL;
                return NULL;
        case WANT_CONDITION:
                *ret = object && condition_is_met(w, object);
                return NULL;
        case WANT_JSONPATH:
                return object ? path_is_met(w, object, ret) : NULL;
        }
        return NULL;
}

/* ---- waiting for one object ---- */

struct subject {
        const struct api_kind *kind;
        char *ns, *name, *uid; /* uid NULL: whatever has that name */
};

/* The object as it is now; another one of the same name is not it. */
static struct error *subject_load(struct cli *cli, const struct subject *s, json_t **ret) {
        _cleanup_json_ json_t *array = json_array();
        struct selection none = { .ignore_not_found = true };
        struct request request = { s->kind, s->ns, s->name };
        struct error *err = request_load(cli, &request, &none, array);

        json_t *object = json_array_get(array, 0);
        if (object && s->uid && !streq_ptr(field_text(object, "metadata.uid"), s->uid))
                object = NULL;
        *ret = err ? NULL : json_incref(object);
        return err;
}

static struct error *wait_for_one(struct cli *cli, struct watch *watch, const struct wanted *w, const struct subject *s,
                                  const struct output *output) {
        for (;;) {
                _cleanup_json_ json_t *object = NULL;
                struct request request = { s->kind, s->ns, s->name };
                bool met;
                struct error *err = watch_add_request(watch, cli, &request);

                if (!err)
                        err = subject_load(cli, s, &object);
                if (!err)
                        err = is_met(w, object, &met);
                if (err)
                        return err;
                if (met && (object || output->format == OUTPUT_TABLE)) {
                        if (object)
                                return output_result(output, object, "condition met");
                        printf("%s/%s condition met\n", s->kind->singular, s->name);
                        return NULL;
                }
                if (met)
                        return NULL;
                if (!object && w->what != WANT_CREATE)
                        return error_new(ERROR_NOT_FOUND, "%s \"%s\" not found", s->kind->plural, s->name);
                if (watch_wait(watch, -1) == WATCH_TIMEOUT)
                        return usage_error("timed out waiting for the condition on %s/%s", s->kind->plural, s->name);
        }
}

/* ---- all of them ---- */

static struct error *wait_for_objects(struct cli *cli, struct watch *watch, const struct wanted *w,
                                      const json_t *objects, const struct output *output) {
        json_t *object;
        size_t i;

        json_array_foreach(objects, i, object) {
                struct subject s = {
                        .kind = api_kind_of(field_text_or(object, "kind", "")),
                        .ns = (char *)object_namespace(object),
                        .name = (char *)object_name(object),
                        .uid = (char *)field_text(object, "metadata.uid"),
                };
                cli_report(cli, wait_for_one(cli, watch, w, &s, output));
        }
        return NULL;
}

/* A named object may be missing: that is what `delete` wants, and what `create` waits for. */
static struct error *wait_for_request(struct cli *cli, struct watch *watch, const struct wanted *w,
                                      const struct request *request, const struct output *output) {
        for (;;) {
                _cleanup_json_ json_t *objects = json_array();
                struct error *err = watch_add_request(watch, cli, request);

                selection.ignore_not_found = w->what == WANT_DELETE || w->what == WANT_CREATE;
                if (!err)
                        err = request_load(cli, request, &selection, objects);
                if (err)
                        return err;
                if (json_array_size(objects) > 0)
                        return wait_for_objects(cli, watch, w, objects, output);
                if (w->what == WANT_DELETE)
                        return NULL;
                if (w->what != WANT_CREATE)
                        return usage_error("no matching resources found");
                if (watch_wait(watch, -1) == WATCH_TIMEOUT)
                        return usage_error("timed out waiting for the condition on %s%s%s", request->kind->plural,
                                           request->name ? "/" : "", request->name ? request->name : "");
        }
}

struct error *wait_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_(wanted_release) struct wanted wanted = { 0 };
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        _cleanup_output_ struct output output = OUTPUT_INIT;
        _cleanup_watch_ struct watch watch = WATCH_INIT;
        struct error *err;

        err = wanted_parse(wanted_text, &wanted);
        if (!err)
                err = output_parse(output_text, template_text, &output);
        if (!err)
                err = selection_parse(cli, &selection, arguments->words, arguments->n_words, NULL, &requests);
        if (!err)
                err = watch_open(timeout_ns < 0 ? WEEK_NS : timeout_ns, &watch);
        for (size_t i = 0; !err && i < requests.n; i++)
                cli_report(cli, wait_for_request(cli, &watch, &wanted, &requests.items[i], &output));
        return err;
}
