/* describe-object.c - claims, namespaces and priority classes as kubectl describes them. */
#include "api/api.h"
#include "base/str.h"
#include "husk/columns.h"
#include "husk/describe.h"
#include "store/claim.h"

void describe_namespace(struct page *page, const json_t *namespace) {
        describe_metadata(page, namespace);
        page_field(page, 0, "Status", field_text(namespace, "status.phase"));
        page_text(page, 0, "");
        page_text(page, 0, "No resource quota.");
        page_text(page, 0, "");
        page_text(page, 0, "No LimitRange resource.");
}

void describe_priority_class(struct page *page, const json_t *class) {
        page_field(page, 0, "Name", object_name(class));
        page_fieldf(page, 0, "Value", "%lld", (long long)field_number(class, "value", 0));
        page_field(page, 0, "GlobalDefault", json_is_true(json_object_get(class, "globalDefault")) ? "true" : "false");
        page_field(page, 0, "PreemptionPolicy", field_text_or(class, "preemptionPolicy", "PreemptLowerPriority"));
        page_field(page, 0, "Description", field_text(class, "description"));
        page_map(page, 0, "Annotations", json_object_get(json_object_get(class, "metadata"), "annotations"), "=");
}

/* ---- claims ---- */

static bool uses_claim(const json_t *pod, const char *claim) {
        json_t *volume;
        size_t i;

        json_array_foreach(field_at(pod, "spec.volumes"), i, volume) {
                _cleanup_free_ char *name = claim_name_of_volume(object_name(pod), volume);
                if (streq_ptr(name, claim))
                        return true;
        }
        return false;
}

/* "Used By:  a", a line each. */
static struct error *describe_users(struct cli *cli, struct page *page, const json_t *claim) {
        _cleanup_json_ json_t *pods = NULL;
        const char *title = "Used By";
        struct store *store;
        json_t *pod;
        size_t i;
        struct error *err = cli_store(cli, &store);

        if (!err)
                err = store_list(store, api_kind_of("Pod"), object_namespace(claim), &pods);
        if (err)
                return err;
        json_array_foreach(pods, i, pod) if (uses_claim(pod, object_name(claim))) {
                page_field(page, 0, title, object_name(pod));
                title = "";
        }
        if (*title)
                page_field(page, 0, title, "<none>");
        return NULL;
}

static char *finalizers_text(const json_t *object) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        json_t *name;
        size_t i;

        json_array_foreach(field_at(object, "metadata.finalizers"), i, name)
                strbuf_addf(&text, "%s%s", i ? " " : "", json_string_value(name));
        return xasprintf("[%s]", strbuf_str(&text));
}

struct error *describe_claim(struct cli *cli, struct page *page, const json_t *claim) {
        _cleanup_free_ char *finalizers = finalizers_text(claim),
                            *modes = access_modes(field_at(claim, "status.accessModes"));

        page_field(page, 0, "Name", object_name(claim));
        page_field(page, 0, "Namespace", object_namespace(claim));
        page_field(page, 0, "StorageClass", field_text(claim, "spec.storageClassName"));
        page_field(page, 0, "Status",
                   field_text(claim, "metadata.deletionTimestamp") ? "Terminating" : field_text(claim, "status.phase"));
        page_field(page, 0, "Volume", field_text(claim, "spec.volumeName"));
        page_map(page, 0, "Labels", field_at(claim, "metadata.labels"), "=");
        page_map(page, 0, "Annotations", field_at(claim, "metadata.annotations"), ": ");
        page_field(page, 0, "Finalizers", finalizers);
        page_field(page, 0, "Capacity", field_text(claim, "status.capacity.storage"));
        page_field(page, 0, "Access Modes", modes);
        page_field(page, 0, "VolumeMode", field_text(claim, "spec.volumeMode"));
        return describe_users(cli, page, claim);
}
