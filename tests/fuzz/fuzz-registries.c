/* registries.conf and hosts.toml. */
#include "husk-image/hosts-toml.h"
#include "husk-image/registries.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const names[] = { "redis", "a.example/b/c:1", "x.b.example:5000/app" };
        _cleanup_registries_ struct registries *registries = registries_new();
        _cleanup_reference_ struct reference *reference = NULL;
        struct image_source source = { 0 };
        struct image_sources one = { &source, 1 };

        error_free(registries_add_text(registries, "registries.conf", (const char *)data, size));
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                _cleanup_image_sources_ struct image_sources sources = { 0 };
                error_free(registries_sources(registries, names[i], &sources));
        }
        error_free(reference_parse(names[1], &reference));
        error_free(hosts_toml_read("/nonexistent", (const char *)data, size, reference, &source.endpoints,
                                   &source.n_endpoints));
        for (size_t k = 0; k < one.list[0].n_endpoints; k++)
                registry_endpoint_release(&source.endpoints[k]);
        free(source.endpoints);
        return 0;
}
