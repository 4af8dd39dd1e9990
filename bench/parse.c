/* parse.c - how long a manifest takes from text to what is stored, and a long list to be decoded.
 *
 *   parse MANIFEST      prints the median of many rounds, and for lists of 2.5, 5 and 10 MB the time for each megabyte
 *
 * `bench/run --only parse` runs it. */
#include <stdio.h>
#include <stdlib.h>

#include "api/defaults.h"
#include "api/manifest.h"
#include "api/validate.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

#define ROUNDS 501
#define LIST_ROUNDS 5
#define MEGABYTE 1000000.0

static _noreturn_ void fail(const char *what) {
        fprintf(stderr, "parse: %s\n", what);
        exit(1);
}

static int compare(const void *a, const void *b) {
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
        return x < y ? -1 : x > y;
}

static int64_t median(int64_t *times, size_t n) {
        qsort(times, n, sizeof(*times), compare);
        return times[n / 2];
}

/* Text to documents, typed, defaults, rules, and JSON text again. Returns the size of that. */
static size_t through(const char *text, size_t len) {
        _cleanup_(manifest_freep) struct manifest *manifest = manifest_new();
        size_t size = 0;

        manifest_add_text(manifest, "bench", text, len);
        for (size_t i = 0; i < manifest->n; i++) {
                _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
                struct manifest_document *document = manifest->documents[i];
                const struct api_kind *kind = api_kind_of_json(document->json, &document->diags);
                ProtobufCMessage *object =
                        kind ? api_decode(document->json, kind->descriptor, arena, &document->diags) : NULL;
                if (!object)
                        break;
                api_check_supported(object, &document->diags);
                api_set_defaults(object, arena);
                api_validate(object, NULL, &document->diags);
                json_t *json = api_encode(object);
                _cleanup_free_ char *written = json_dumps(json, JSON_COMPACT);
                json_decref(json);
                size += strlen(written);
        }
        if (manifest_mistakes(manifest)) {
                _cleanup_free_ char *words = manifest_explain(manifest);
                fail(words);
        }
        return size;
}

static void bench_manifest(const char *path) {
        static int64_t times[ROUNDS];
        _cleanup_free_ char *text = NULL;
        size_t len, lines = 0;
        _cleanup_error_ struct error *err = file_read(path, MANIFEST_SIZE_MAX, &text, &len);

        if (err)
                fail(error_message(err));
        for (const char *p = text; *p; p++)
                lines += *p == '\n';
        for (size_t n = 0; n < ROUNDS; n++) {
                int64_t begin = clock_monotonic_ns();
                through(text, len);
                times[n] = clock_monotonic_ns() - begin;
        }
        printf("manifest %zu %.3f\n", lines, (double)median(times, ROUNDS) / NSEC_PER_MSEC);
}

/* A List of the document in `path`, again and again, as JSON. */
static char *list_make(const char *path, size_t size, size_t *ret_len) {
        _cleanup_(manifest_freep) struct manifest *manifest = manifest_new();
        _cleanup_strbuf_ struct strbuf list = STRBUF_INIT;
        _cleanup_error_ struct error *err = manifest_add_path(manifest, path, false);

        if (err || !manifest->n || !manifest->documents[0]->json)
                fail(err ? error_message(err) : "no document");
        _cleanup_free_ char *item = json_dumps(manifest->documents[0]->json, JSON_COMPACT);
        strbuf_adds(&list, "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[");
        for (size_t n = 0; list.len < size; n++)
                strbuf_addf(&list, "%s%s", n ? "," : "", item);
        strbuf_adds(&list, "]}");
        *ret_len = list.len;
        return strbuf_take(&list);
}

static void bench_list(const char *path, double megabytes) {
        int64_t times[LIST_ROUNDS];
        size_t len;
        _cleanup_free_ char *text = list_make(path, (size_t)(megabytes * MEGABYTE), &len);

        for (size_t n = 0; n < LIST_ROUNDS; n++) {
                int64_t begin = clock_monotonic_ns();
                through(text, len);
                times[n] = clock_monotonic_ns() - begin;
        }
        printf("list %.1f %.2f\n", megabytes, (double)median(times, LIST_ROUNDS) / NSEC_PER_MSEC / megabytes);
}

int main(int argc, char **argv) {
        if (argc != 2)
                fail("usage: parse MANIFEST");
        bench_manifest(argv[1]);
        bench_list(argv[1], 2.5);
        bench_list(argv[1], 5);
        bench_list(argv[1], 10);
        return 0;
}
