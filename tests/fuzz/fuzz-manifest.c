/* A manifest file, through reading, strict decoding and explaining every mistake. */
#include "api/api.h"
#include "api/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(manifest_freep) struct manifest *manifest = manifest_new();
        _cleanup_free_ char *text = NULL;

        manifest_add_text(manifest, "x.yaml", (const char *)data, size);
        for (size_t i = 0; i < manifest->n; i++) {
                _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
                struct manifest_document *document = manifest->documents[i];
                const struct api_kind *kind =
                        document->json ? api_kind_of_json(document->json, &document->diags) : NULL;
                void *object = kind ? api_decode(document->json, kind->descriptor, arena, &document->diags) : NULL;

                if (object)
                        api_check_supported(object, &document->diags);
                /* Where nothing was wrong with the text, each mistake has a place. */
                manifest_locate(document);
                for (size_t j = 0; document->json && j < document->diags.n; j++)
                        if (document->diags.items[j].line == 0)
                                abort();
        }
        text = manifest_explain(manifest);
        return 0;
}
