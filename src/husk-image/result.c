#include "husk-image/result.h"

#include <stdio.h>

#include "base/log.h"

struct error *result_print(const struct options *o, const struct reference *reference,
                           const struct installed *installed) {
        _cleanup_free_ char *name = reference ? reference_format(reference) : NULL;

        if (installed->warning)
                log_warning("%s: %s", name ? name : installed->id, installed->warning);
        if (o->json) {
                json_auto_t *json = json_pack(
                        "{s:s?, s:s, s:s, s:I, s:I, s:i, s:i}", "reference", name, "id", installed->id, "digest",
                        installed->digest, "size", (json_int_t)installed->layers.size, "fetched",
                        (json_int_t)installed->layers.fetched, "layersFetched", (int)installed->layers.layers_fetched,
                        "layersPresent", (int)installed->layers.layers_present);
                _cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);
                puts(text);
        } else if (o->quiet) {
                puts(installed->id);
        } else {
                printf("%s%s%s\n", name ? name : "", name ? "  " : "", installed->id);
        }
        fflush(stdout);
        return NULL;
}

struct error *installer_init(struct installer *in, const struct context *context, struct unpacker *unpacker) {
        const struct options *o = context->options;

        *in = (struct installer){
                .fetch = { .images = context->images,
                           .unpacker = unpacker,
                           .limits = o->limits,
                           .parallel_downloads = (int)o->parallel,
                           .progress = o->progress },
                .any_platform = o->platform != NULL,
        };
        if (o->platform)
                return platform_parse(o->platform, &in->platform);
        platform_of_machine(&in->platform);
        return NULL;
}

void installer_release(struct installer *in) {
        platform_release(&in->platform);
}
