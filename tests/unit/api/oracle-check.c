/* oracle-check - holds decoding, defaults and validation against recorded answers of a real Kubernetes apiserver.
 *
 *     HUSK_ORACLE=FOLDER build/oracle-check [SHOW]
 *
 * FOLDER has base.json ({"pod": a rich Pod}) and cases.jsonl.gz: one mutation of that Pod a line, `op` (["set", path,
 * value] or ["remove", path]), `accepted`, and either `stored` or `code` with `causes` (field, reason). Prints up to
 * SHOW disagreements (40), then the counts, and what one pod costs; exit status 1 if there were any. The recordings are
 * large and not in the repository: without HUSK_ORACLE the check is skipped (77). */
#include <stdio.h>

#include "api/defaults.h"
#include "api/validate.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/str.h"

#define MAX_BYTES (256 << 20)

/* What admission of a cluster adds; husk has no such things. */
static const char *const cluster_fields[] = {
        "priority",           "preemptionPolicy", "serviceAccount",
        "serviceAccountName", "nodeName",         "automountServiceAccountToken"
};

static void die(struct error *err) {
        if (!err)
                return;
        fprintf(stderr, "oracle-check: %s\n", error_message(err));
        exit(2);
}

static json_t *step(json_t *at, json_t *key) {
        return json_is_integer(key) ? json_array_get(at, (size_t)json_integer_value(key))
                                    : json_object_get(at, json_string_value(key));
}

static json_t *mutate(const json_t *base, json_t *op) {
        json_t *pod = json_deep_copy(base), *at = pod, *path = json_array_get(op, 1), *last;
        size_t n = json_array_size(path);
        bool set = streq(json_string_value(json_array_get(op, 0)), "set");

        for (size_t i = 0; i + 1 < n; i++)
                at = step(at, json_array_get(path, i));
        last = json_array_get(path, n - 1);
        if (json_is_array(at)) {
                if (set)
                        json_array_set(at, (size_t)json_integer_value(last), json_array_get(op, 2));
                else
                        json_array_remove(at, (size_t)json_integer_value(last));
        } else if (set)
                json_object_set(at, json_string_value(last), json_array_get(op, 2));
        else
                json_object_del(at, json_string_value(last));
        return pod;
}

/* Removes what only a cluster adds. */
static void strip(json_t *spec) {
        json_t *tolerations = json_object_get(spec, "tolerations");

        for (size_t i = 0; i < ARRAY_SIZE(cluster_fields); i++)
                json_object_del(spec, cluster_fields[i]);
        for (size_t i = json_array_size(tolerations); i-- > 0;) {
                const char *key = json_string_value(json_object_get(json_array_get(tolerations, i), "key"));

                if (key && (streq(key, "node.kubernetes.io/not-ready") || streq(key, "node.kubernetes.io/unreachable")))
                        json_array_remove(tolerations, i);
        }
        if (tolerations && json_array_size(tolerations) == 0)
                json_object_del(spec, "tolerations");
}

/* The first place where two values differ, or NULL. */
static char *difference(json_t *want, json_t *have, const char *path) {
        const char *key;
        json_t *value;

        if (json_is_object(want) && json_is_object(have)) {
                json_object_foreach(have, key, value) if (!json_object_get(want, key)) return xasprintf(
                        "%s.%s is not Kubernetes'", path, key);
                json_object_foreach(want, key, value) {
                        _cleanup_free_ char *below = xasprintf("%s.%s", path, key);
                        json_t *other = json_object_get(have, key);
                        char *d;

                        if (!other)
                                return xasprintf("%s is missing", below);
                        d = difference(value, other, below);
                        if (d)
                                return d;
                }
                return NULL;
        }
        if (json_is_array(want) && json_is_array(have) && json_array_size(want) == json_array_size(have)) {
                for (size_t i = 0; i < json_array_size(want); i++) {
                        _cleanup_free_ char *below = xasprintf("%s[%zu]", path, i);
                        char *d = difference(json_array_get(want, i), json_array_get(have, i), below);

                        if (d)
                                return d;
                }
                return NULL;
        }
        if (json_equal(want, have))
                return NULL;
        {
                _cleanup_free_ char *w = json_dumps(want, JSON_ENCODE_ANY), *h = json_dumps(have, JSON_ENCODE_ANY);

                return xasprintf("%s: Kubernetes %s, here %s", path, w, h);
        }
}

static bool has_cause(const struct diagnostics *diags, const char *field, const char *reason) {
        for (size_t i = 0; i < diags->n; i++)
                if (streq(diags->items[i].path, field) && streq(diagnostic_cause_string(diags->items[i].cause), reason))
                        return true;
        return false;
}

static bool wants_cause(json_t *causes, const struct diagnostic *d) {
        size_t i;
        json_t *cause;

        json_array_foreach(causes, i, cause) if (streq(json_string_value(json_object_get(cause, "field")), d->path) &&
                                                 streq(json_string_value(json_object_get(cause, "reason")),
                                                       diagnostic_cause_string(d->cause))) return true;
        return false;
}

/* Both must name the same fields for the same reasons. */
static char *compare_causes(json_t *causes, const struct diagnostics *diags) {
        size_t i;
        json_t *cause;

        json_array_foreach(causes, i, cause) {
                const char *field = json_string_value(json_object_get(cause, "field"));
                const char *reason = json_string_value(json_object_get(cause, "reason"));

                if (!has_cause(diags, field, reason))
                        return xasprintf("refused without %s of %s", reason, field);
        }
        for (i = 0; i < diags->n; i++)
                if (!wants_cause(causes, &diags->items[i]))
                        return xasprintf("Kubernetes does not complain of %s (%s)", diags->items[i].path,
                                         diagnostic_cause_string(diags->items[i].cause));
        if (json_array_size(causes) != diags->n)
                return xasprintf("%zu causes, Kubernetes has %zu", diags->n, json_array_size(causes));
        return NULL;
}

static bool is_decode_fault(const struct diagnostic *d) {
        return d->cause == DIAGNOSTIC_DECODE || d->cause == DIAGNOSTIC_UNKNOWN_FIELD;
}

/* NULL if husk and Kubernetes agree on this case. */
static char *check(const json_t *base, json_t *expected) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        json_t *json = mutate(base, json_object_get(expected, "op")), *encoded, *want;
        V1Pod *pod = api_decode(json, &v1_pod__descriptor, arena, &diags);
        int code = (int)json_integer_value(json_object_get(expected, "code"));
        char *d;

        json_decref(json);
        if (diags.n == 0) {
                /* kubectl fills the namespace in before it sends anything. */
                if (str_empty(pod->metadata->namespace_))
                        pod->metadata->namespace_ = api_arena_strdup(arena, "default");
                api_set_pod_defaults(pod, arena);
                api_validate_pod(pod, &diags);
        }
        if (!json_is_true(json_object_get(expected, "accepted"))) {
                if (diags.n == 0)
                        return xasprintf("accepted, Kubernetes refuses it with %d", code);
                if (code == 400 && !is_decode_fault(&diags.items[0]))
                        return xasprintf("decoded, Kubernetes cannot: %s", diags.items[0].path);
                return code == 422 ? compare_causes(json_object_get(expected, "causes"), &diags) : NULL;
        }
        if (diags.n > 0) {
                _cleanup_free_ char *message = diagnostic_message(&diags.items[0]);

                return xasprintf("refused, Kubernetes accepts it: %s", message);
        }
        encoded = api_encode(&pod->base);
        want = json_deep_copy(json_object_get(json_object_get(expected, "stored"), "spec"));
        strip(want);
        strip(json_object_get(encoded, "spec"));
        d = difference(want, json_object_get(encoded, "spec"), "spec");
        json_decref(want);
        json_decref(encoded);
        return d;
}

static double microseconds_since(int64_t start, size_t n) {
        return (double)(clock_monotonic_ns() - start) / 1000.0 / (double)n;
}

/* What the base pod costs, step by step; the budget for defaults and validation of a large pod is 300 µs. */
static void measure(const json_t *base) {
        enum { ROUNDS = 1000 };
        double decode = 0, defaults = 0, validate = 0;

        for (size_t i = 0; i < ROUNDS; i++) {
                _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
                _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
                int64_t start = clock_monotonic_ns();
                V1Pod *pod = api_decode(base, &v1_pod__descriptor, arena, &diags);

                decode += microseconds_since(start, 1);
                start = clock_monotonic_ns();
                api_set_pod_defaults(pod, arena);
                defaults += microseconds_since(start, 1);
                start = clock_monotonic_ns();
                api_validate_pod(pod, &diags);
                validate += microseconds_since(start, 1);
        }
        printf("one pod: decode %.0f µs, defaults %.0f µs, validation %.0f µs\n", decode / ROUNDS, defaults / ROUNDS,
               validate / ROUNDS);
}

static char *read_cases(const char *folder) {
        _cleanup_free_ char *path = path_join(folder, "cases.jsonl.gz");
        char *argv[] = { "gzip", "-dc", path, NULL }, *out = NULL;
        int status;

        die(process_run(argv, &(struct process_options){ .output_max = MAX_BYTES }, &status, &out, NULL));
        if (status != 0) {
                fprintf(stderr, "oracle-check: cannot unpack %s\n", path);
                exit(2);
        }
        return out;
}

int main(int argc, char **argv) {
        const char *folder = getenv("HUSK_ORACLE");
        size_t show = argc > 1 ? strtoul(argv[1], NULL, 10) : 40, passed = 0, failed = 0;
        _cleanup_free_ char *base_path = NULL, *base_text = NULL, *cases = NULL;
        json_t *base;

        if (!folder) {
                fprintf(stderr, "oracle-check: skipped: HUSK_ORACLE names no folder with recorded answers\n");
                return 77;
        }
        base_path = path_join(folder, "base.json");
        die(file_read(base_path, MAX_BYTES, &base_text, NULL));
        base = json_loads(base_text, 0, NULL);
        cases = read_cases(folder);
        for (char *line = cases, *end; *line; line = end) {
                json_t *expected;
                _cleanup_free_ char *disagreement = NULL;

                end = strchrnul(line, '\n');
                if (*end)
                        *end++ = '\0';
                expected = json_loads(line, 0, NULL);
                disagreement = check(json_object_get(base, "pod"), expected);
                if (!disagreement)
                        passed++;
                else if (failed++ < show)
                        printf("%s: %s\n", json_string_value(json_object_get(expected, "case")), disagreement);
                json_decref(expected);
        }
        measure(json_object_get(base, "pod"));
        json_decref(base);
        printf("%zu passed, %zu failed\n", passed, failed);
        return failed > 0;
}
