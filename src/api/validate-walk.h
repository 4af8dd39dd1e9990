/* validate-walk.h - what the files of validation share: shorthands for paths and faults, and each other's entry points.
 * Not for use outside validate-*.c.
 *
 * Walkers go down the object with a path chained on the stack. CHILD(), INDEX() and KEY() make a link that lives until
 * the end of the enclosing block, so that a rule reads like the path it reports:
 *
 *     if (str_empty(c->image))
 *             fault_required(diags, CHILD(path, "image"), NULL); */
#pragma once

#include "api/api.h"
#include "api/quantity.h"
#include "api/validate-name.h"
#include "api/validate.h"

typedef const struct field_path *path_t;
#define CHILD(above, child) (&(struct field_path){ .parent = (above), .name = (child) })
#define INDEX(above, i) (&(struct field_path){ .parent = (above), .index = (i) })
#define KEY(above, key) (&(struct field_path){ .parent = (above), .name = (key), .is_key = true })

/* Kubernetes' field errors. A NULL detail prints none; a value is shown as far as it helps. */
void fault_required(struct diagnostics *diags, path_t path, const char *detail);
void fault_invalid(struct diagnostics *diags, path_t path, const char *value, const char *detail);
void fault_invalid_int(struct diagnostics *diags, path_t path, int64_t value, const char *detail);
void fault_invalid_true(struct diagnostics *diags, path_t path, const char *detail);
void fault_invalid_object(struct diagnostics *diags, path_t path, const char *detail); /* shows no value */
void fault_duplicate(struct diagnostics *diags, path_t path, const char *value);
void fault_forbidden(struct diagnostics *diags, path_t path, const char *detail);
void fault_not_found(struct diagnostics *diags, path_t path, const char *value);
void fault_too_long(struct diagnostics *diags, path_t path, size_t max_bytes);
void fault_too_many(struct diagnostics *diags, path_t path, size_t count, size_t max);

/* Each sentence of the check becomes one "Invalid value". */
void validate_text(struct diagnostics *diags, const char *value, text_check check, path_t path);
/* Required if empty, else checked. */
void validate_name(struct diagnostics *diags, const char *value, text_check check, path_t path);
/* One of the words, or "Unsupported value"; the second form calls an empty one "Required". */
typedef const char *const *words_t; /* NULL-terminated */
bool words_contain(words_t words, const char *word);
void validate_word(struct diagnostics *diags, const char *value, words_t words, path_t path);
void validate_required_word(struct diagnostics *diags, const char *value, words_t words, path_t path);
void validate_non_negative(struct diagnostics *diags, int64_t value, path_t path);
/* "between low and high, inclusive" */
void validate_range(struct diagnostics *diags, int64_t value, int64_t low, int64_t high, path_t path);
void validate_id(struct diagnostics *diags, int64_t id, path_t path); /* uid or gid */
void validate_port(struct diagnostics *diags, int64_t port, path_t path);
void validate_port_or_name(struct diagnostics *diags, const V1IntOrString *port, path_t path);
void validate_mode(struct diagnostics *diags, bool has_mode, int32_t mode, path_t path); /* of a file */
/* Paths: no ".." part; also not absolute; also not beginning with "..". */
void validate_no_backstep(struct diagnostics *diags, const char *value, path_t path);
void validate_descending_path(struct diagnostics *diags, const char *value, path_t path);
void validate_unreserved_path(struct diagnostics *diags, const char *value, path_t path);

static inline const char *text_or_empty(const char *text) {
        return text ? text : "";
}
/* "Is it set" for any field of any message, by its name in the schema. */
bool message_has(const ProtobufCMessage *message, const char *field);
/* Every set field that is not in `allowed` is forbidden with this sentence. */
void validate_only_fields(struct diagnostics *diags, const ProtobufCMessage *message, words_t allowed,
                          const char *sentence, path_t path);

/* What the walk through one pod knows at every place. */
struct pod_walk {
        struct diagnostics *diags;
        const V1ObjectMeta *meta; /* never NULL */
        const V1PodSpec *spec;
        const V1Volume **volumes; /* those without a fault, for the mounts to refer to */
        size_t n_volumes;
        bool host_users; /* false: the pod gets a user namespace */
};
const V1Volume *pod_walk_volume(const struct pod_walk *walk, const char *name); /* NULL: no good volume of that name */

enum container_kind { CONTAINER_INIT, CONTAINER_MAIN, CONTAINER_EPHEMERAL };
/* Calls `visit` for init, main and ephemeral containers with their paths; an ephemeral one is shown as a V1Container.
 */
typedef void (*container_visit)(const struct pod_walk *walk, enum container_kind kind, const V1Container *container,
                                path_t path);
void pod_walk_containers(const struct pod_walk *walk, container_visit visit);
/* An ephemeral container seen as what it has in common with the others; shares all it points to. */
V1Container container_of_ephemeral(const V1EphemeralContainer *ephemeral);

/* validate-meta.c */
void validate_meta(struct diagnostics *diags, const V1ObjectMeta *meta, bool namespaced, text_check name_check);
void validate_meta_update(struct diagnostics *diags, const V1ObjectMeta *new_meta, const V1ObjectMeta *old_meta);
void validate_labels(struct diagnostics *diags, V1StringEntry *const *labels, size_t n, path_t path);
void validate_annotations(struct diagnostics *diags, V1StringEntry *const *annotations, size_t n, path_t path);
void validate_label_selector(struct diagnostics *diags, const V1LabelSelector *selector, path_t path);
void validate_finalizer(struct diagnostics *diags, const char *finalizer, path_t path);

/* validate-resources.c */
enum resource_scope { RESOURCES_OF_CONTAINER, RESOURCES_OF_POD };
void validate_requirements(const struct pod_walk *walk, const V1ResourceRequirements *r, enum resource_scope scope,
                           path_t path);
void validate_overhead(const struct pod_walk *walk, path_t path);
void validate_overhead_list(struct diagnostics *diags, V1QuantityEntry *const *entries, size_t n, path_t path);
void validate_pod_level_resources(const struct pod_walk *walk, path_t path);
/* The quantity is there and parses (it does after decoding); else zero. */
struct quantity quantity_of(const V1Quantity *quantity);

/* validate-volume.c */
void validate_volumes(struct pod_walk *walk, path_t path); /* fills walk->volumes */

/* validate-env.c */
void validate_env(const struct pod_walk *walk, const V1Container *c, path_t path);
void validate_file_key_volumes(const struct pod_walk *walk, const V1Container *c, path_t path);
/* What a downwardAPI volume may name; the environment may name other fields. */
void validate_volume_field_ref(struct diagnostics *diags, const V1ObjectFieldSelector *ref, path_t path);
void validate_volume_resource_ref(struct diagnostics *diags, const V1ResourceFieldSelector *ref, path_t path);

/* validate-container.c */
void validate_containers(const struct pod_walk *walk, path_t spec_path);

/* validate-probe.c */
void validate_liveness_probe(const struct pod_walk *walk, const V1Probe *probe, path_t path);
void validate_readiness_probe(const struct pod_walk *walk, const V1Probe *probe, path_t path);
void validate_lifecycle(const struct pod_walk *walk, const V1Lifecycle *lifecycle, path_t path);

/* validate-security.c */
void validate_pod_security(const struct pod_walk *walk, path_t spec_path);
void validate_container_security(const struct pod_walk *walk, const V1SecurityContext *context, path_t path);
void validate_security_annotations(const struct pod_walk *walk, path_t path);
void validate_security_annotations_match(const struct pod_walk *walk);
void validate_windows_host_process(const struct pod_walk *walk, path_t spec_path);
void validate_os(const struct pod_walk *walk, path_t spec_path);

/* validate-scheduling.c */
void validate_affinity(const struct pod_walk *walk, path_t path);
void validate_topology_spread(const struct pod_walk *walk, path_t path);
void validate_tolerations(struct diagnostics *diags, V1Toleration *const *tolerations, size_t n, path_t path);
void validate_taint(struct diagnostics *diags, const V1Taint *taint, path_t path);

/* validate-claim.c */
void validate_claim_spec(struct diagnostics *diags, const V1PersistentVolumeClaimSpec *spec, path_t path);
void validate_claim_template(struct diagnostics *diags, const V1PersistentVolumeClaimTemplate *template, path_t path);

/* validate-pod.c */
/* Metadata and spec: what creation and every update have in common. */
void validate_pod_common(const V1Pod *pod, struct diagnostics *diags);
