/* What may become of a pod that exists: updates of the pod itself and of its subresources.
 *
 * Each rule works the same way: a copy of the new spec gets the old values back wherever a change is allowed (and was
 * checked on its own); if the copy then differs from the old spec, something else was changed. */
#include "api/validate-walk.h"

#include "api/fields.h"
#include "api/resources.h"
#include "base/str.h"

#define MIRROR_ANNOTATION "kubernetes.io/config.mirror"
#define APPARMOR_ANNOTATION "container.apparmor.security.beta.kubernetes.io/"
#define DIFFERENCES_MAX 5

/* Paths at which two messages differ, for the error's text: Kubernetes prints a dump of both instead. */
struct differences {
        char **paths; /* the first few */
        size_t n;
};

static void add_difference(struct differences *d, path_t path) {
        if (d->n++ < DIFFERENCES_MAX)
                d->paths = strv_add_take(d->paths, field_path_string(path));
}

static const ProtobufCMessage *sub_message(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field) {
        return *(ProtobufCMessage *const *)((const char *)m + field->offset);
}

static void differ(struct differences *d, const ProtobufCMessage *a, const ProtobufCMessage *b, path_t path);

/* Lists of structs are compared one by one if they are equally long (not maps: their order means nothing). */
static bool differ_in_elements(struct differences *d, const ProtobufCMessage *a, const ProtobufCMessage *b,
                               const ProtobufCFieldDescriptor *field, const struct api_field *known, path_t path) {
        size_t n = *(const size_t *)((const char *)a + field->quantifier_offset);
        ProtobufCMessage *const *as = *(ProtobufCMessage *const *const *)((const char *)a + field->offset);
        ProtobufCMessage *const *bs = *(ProtobufCMessage *const *const *)((const char *)b + field->offset);

        if (field->type != PROTOBUF_C_TYPE_MESSAGE || (known->flags & API_FIELD_MAP) ||
            n != *(const size_t *)((const char *)b + field->quantifier_offset))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!api_equal(as[i], bs[i]))
                        differ(d, as[i], bs[i], INDEX(path, i));
        return true;
}

/* Do both agree in this one field? Asked by comparing copies that hold nothing else. */
static bool same_field(const ProtobufCMessage *a, const ProtobufCMessage *b, const ProtobufCFieldDescriptor *field) {
        const ProtobufCMessageDescriptor *type = a->descriptor;
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        ProtobufCMessage *only_a = api_new(arena, type), *only_b = api_new(arena, type);
        size_t size = 0;

        switch (field->type) {
        case PROTOBUF_C_TYPE_INT64:
                size = sizeof(int64_t);
                break;
        case PROTOBUF_C_TYPE_INT32:
                size = sizeof(int32_t);
                break;
        case PROTOBUF_C_TYPE_BOOL:
                size = sizeof(protobuf_c_boolean);
                break;
        case PROTOBUF_C_TYPE_BYTES:
                size = sizeof(ProtobufCBinaryData);
                break;
        default:
                size = sizeof(void *);
                break;
        }
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
                size = sizeof(void *);
                memcpy((char *)only_a + field->quantifier_offset, (const char *)a + field->quantifier_offset,
                       sizeof(size_t));
                memcpy((char *)only_b + field->quantifier_offset, (const char *)b + field->quantifier_offset,
                       sizeof(size_t));
        } else if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE) {
                memcpy((char *)only_a + field->quantifier_offset, (const char *)a + field->quantifier_offset,
                       sizeof(protobuf_c_boolean));
                memcpy((char *)only_b + field->quantifier_offset, (const char *)b + field->quantifier_offset,
                       sizeof(protobuf_c_boolean));
        }
        memcpy((char *)only_a + field->offset, (const char *)a + field->offset, size);
        memcpy((char *)only_b + field->offset, (const char *)b + field->offset, size);
        return api_equal(only_a, only_b);
}

static void differ(struct differences *d, const ProtobufCMessage *a, const ProtobufCMessage *b, path_t path) {
        const struct api_type *type = api_type_of(a->descriptor);

        for (size_t i = 0; i < type->n_fields && d->n <= DIFFERENCES_MAX; i++) {
                const struct api_field *known = api_type_field(type, i);
                const ProtobufCFieldDescriptor *field = api_field_descriptor(type, known);
                path_t at = (known->flags & API_FIELD_INLINE) ? path : CHILD(path, api_field_name(known));

                if (same_field(a, b, field))
                        continue;
                if (field->label == PROTOBUF_C_LABEL_REPEATED) {
                        if (!differ_in_elements(d, a, b, field, known, at))
                                add_difference(d, at);
                } else if (field->type == PROTOBUF_C_TYPE_MESSAGE && sub_message(a, field) && sub_message(b, field) &&
                           api_field_type(known) && api_field_type(known)->form == API_TYPE_STRUCT)
                        differ(d, sub_message(a, field), sub_message(b, field), at);
                else
                        add_difference(d, at);
        }
}

/* Forbids, at `path`, whatever differs; `sentence` is followed by the places. */
static void forbid_difference(struct diagnostics *diags, const ProtobufCMessage *changed, const ProtobufCMessage *old,
                              const char *sentence, path_t path) {
        struct differences d = { 0 };

        if (api_equal(changed, old))
                return;
        differ(&d, changed, old, path);
        _cleanup_free_ char *list = strv_join(d.paths, ", ");
        diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, path, "%s (changed: %s%s)", sentence, list ?: "",
                        d.n > DIFFERENCES_MAX ? ", …" : "");
        diagnostics_set_places(diags, d.paths);
}

/* Annotations that say what a pod was started with cannot be changed later. */
static void validate_fixed_annotations(struct diagnostics *diags, const V1ObjectMeta *new_meta,
                                       const V1ObjectMeta *old_meta) {
        const V1ObjectMeta *both[] = { old_meta, new_meta };
        path_t path = CHILD(CHILD(NULL, "metadata"), "annotations");

        for (size_t side = 0; side < 2; side++)
                for (size_t i = 0; i < both[side]->n_annotations; i++) {
                        const char *key = text_or_empty(both[side]->annotations[i]->key);
                        const char *was = api_map_get(old_meta->annotations, old_meta->n_annotations, key);
                        const char *is = api_map_get(new_meta->annotations, new_meta->n_annotations, key);
                        bool apparmor = str_starts_with(key, APPARMOR_ANNOTATION);

                        if ((!apparmor && !streq(key, MIRROR_ANNOTATION)) || streq_ptr(was, is) || (side == 1 && was))
                                continue;
                        diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, KEY(path, key), "may not %s %s",
                                        was ? "remove or update" : "add",
                                        apparmor ? "AppArmor annotations" : "mirror pod annotation");
                }
}

/* Metadata and everything that holds for any new version of a pod. */
static bool validate_new_version(const V1Pod *new_pod, const V1Pod *old_pod, struct diagnostics *diags) {
        validate_pod_common(new_pod, diags);
        if (!new_pod->metadata || !old_pod->metadata || !new_pod->spec || !old_pod->spec)
                return false;
        validate_meta_update(diags, new_pod->metadata, old_pod->metadata);
        return true;
}

static bool validate_same_containers(struct diagnostics *diags, const V1PodSpec *new_spec, const V1PodSpec *old_spec) {
        path_t path = CHILD(NULL, "spec");

        if (new_spec->n_containers != old_spec->n_containers)
                fault_forbidden(diags, CHILD(path, "containers"), "pod updates may not add or remove containers");
        else if (new_spec->n_initcontainers != old_spec->n_initcontainers)
                fault_forbidden(diags, CHILD(path, "initContainers"), "pod updates may not add or remove containers");
        else
                return true;
        return false;
}

/* A deadline may be set, and brought nearer. */
static void validate_deadline(struct diagnostics *diags, const V1PodSpec *new_spec, const V1PodSpec *old_spec) {
        path_t path = CHILD(CHILD(NULL, "spec"), "activeDeadlineSeconds");

        if (!old_spec->has_activedeadlineseconds)
                return;
        if (!new_spec->has_activedeadlineseconds)
                fault_invalid_object(diags, path, "must not update from a positive integer to nil value");
        else if (new_spec->activedeadlineseconds > old_spec->activedeadlineseconds)
                fault_invalid_int(diags, path, new_spec->activedeadlineseconds,
                                  "must be less than or equal to previous value");
}

static bool same_toleration(const V1Toleration *a, const V1Toleration *b) {
        return streq(text_or_empty(a->key), text_or_empty(b->key)) &&
               streq(text_or_empty(a->operator_), text_or_empty(b->operator_)) &&
               streq(text_or_empty(a->value), text_or_empty(b->value)) &&
               streq(text_or_empty(a->effect), text_or_empty(b->effect));
}

static void validate_tolerations_kept(struct diagnostics *diags, const V1PodSpec *new_spec, const V1PodSpec *old_spec) {
        for (size_t i = 0; i < old_spec->n_tolerations; i++) {
                bool kept = false;

                for (size_t j = 0; j < new_spec->n_tolerations; j++)
                        kept = kept || same_toleration(old_spec->tolerations[i], new_spec->tolerations[j]);
                if (!kept) {
                        fault_forbidden(diags, CHILD(CHILD(NULL, "spec"), "tolerations"),
                                        "existing toleration can not be modified except its tolerationSeconds");
                        return;
                }
        }
}

static bool has_gate(const V1PodSpec *spec, const char *name) {
        for (size_t i = 0; i < spec->n_schedulinggates; i++)
                if (streq_ptr(spec->schedulinggates[i]->name, name))
                        return true;
        return false;
}

static void validate_gates_removed(struct diagnostics *diags, const V1PodSpec *new_spec, const V1PodSpec *old_spec) {
        path_t path = CHILD(CHILD(NULL, "spec"), "schedulingGates");

        for (size_t i = 0; i < new_spec->n_schedulinggates; i++) {
                const char *name = text_or_empty(new_spec->schedulinggates[i]->name);

                if (!has_gate(old_spec, name))
                        diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, CHILD(INDEX(path, i), "name"),
                                        "only deletion is allowed, but found new scheduling gate '%s'", name);
        }
}

static bool only_adds(V1NodeSelectorRequirement *const *now, size_t n_now, V1NodeSelectorRequirement *const *was,
                      size_t n_was) {
        if (n_now < n_was)
                return false;
        for (size_t i = 0; i < n_was; i++)
                if (!api_equal(&now[i]->base, &was[i]->base))
                        return false;
        return true;
}

/* Terms are alternatives: one more of them, or an empty one filled, would let the pod go elsewhere. */
static bool term_only_adds(const V1NodeSelectorTerm *now, const V1NodeSelectorTerm *was) {
        if (was->n_matchexpressions == 0 && was->n_matchfields == 0)
                return now->n_matchexpressions == 0 && now->n_matchfields == 0;
        return only_adds(now->matchexpressions, now->n_matchexpressions, was->matchexpressions,
                         was->n_matchexpressions) &&
               only_adds(now->matchfields, now->n_matchfields, was->matchfields, was->n_matchfields);
}

static const V1NodeSelector *required_nodes(const V1PodSpec *spec) {
        const V1NodeAffinity *affinity = spec->affinity ? spec->affinity->nodeaffinity : NULL;

        return affinity ? affinity->requiredduringschedulingignoredduringexecution : NULL;
}

static void validate_narrower_affinity(struct diagnostics *diags, const V1PodSpec *new_spec,
                                       const V1PodSpec *old_spec) {
        const V1NodeSelector *now = required_nodes(new_spec), *was = required_nodes(old_spec);
        path_t path = CHILD(CHILD(CHILD(CHILD(CHILD(NULL, "spec"), "affinity"), "nodeAffinity"),
                                  "requiredDuringSchedulingIgnoredDuringExecution"),
                            "nodeSelectorTerms");

        if (!was || was->n_nodeselectorterms == 0)
                return;
        if (!now || now->n_nodeselectorterms != was->n_nodeselectorterms) {
                fault_invalid_object(diags, path,
                                     "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
                return;
        }
        for (size_t i = 0; i < was->n_nodeselectorterms; i++)
                if (!term_only_adds(now->nodeselectorterms[i], was->nodeselectorterms[i]))
                        fault_invalid_object(diags, INDEX(path, i),
                                             "only additions are allowed (no mutations or deletions)");
}

/* While a pod is gated nothing has placed it yet: where it may go can be narrowed. */
static void allow_narrowing(struct diagnostics *diags, V1PodSpec *spec, const V1PodSpec *old_spec,
                            struct api_arena *arena) {
        for (size_t i = 0; i < old_spec->n_nodeselector; i++) {
                const char *now = api_map_get(spec->nodeselector, spec->n_nodeselector, old_spec->nodeselector[i]->key);

                if (!streq_ptr(now, old_spec->nodeselector[i]->value)) {
                        fault_invalid_object(diags, CHILD(CHILD(NULL, "spec"), "nodeSelector"),
                                             "only additions to spec.nodeSelector are allowed (no mutations or "
                                             "deletions)");
                        break;
                }
        }
        spec->nodeselector = old_spec->nodeselector;
        spec->n_nodeselector = old_spec->n_nodeselector;

        validate_narrower_affinity(diags, spec, old_spec);
        if (!spec->affinity && old_spec->affinity && old_spec->affinity->nodeaffinity)
                spec->affinity = api_new(arena, &v1_affinity__descriptor);
        if (spec->affinity)
                spec->affinity->nodeaffinity = old_spec->affinity ? old_spec->affinity->nodeaffinity : NULL;
        if (spec->affinity && !old_spec->affinity && !spec->affinity->podaffinity && !spec->affinity->podantiaffinity)
                spec->affinity = NULL;
}

void api_validate_pod_update(const V1Pod *new_pod, const V1Pod *old_pod, struct diagnostics *diags) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        const V1PodSpec *old_spec = old_pod->spec;
        V1PodSpec *spec;

        if (!validate_new_version(new_pod, old_pod, diags))
                return;
        validate_fixed_annotations(diags, new_pod->metadata, old_pod->metadata);
        if (!validate_same_containers(diags, new_pod->spec, old_spec))
                return;
        validate_deadline(diags, new_pod->spec, old_spec);
        validate_tolerations_kept(diags, new_pod->spec, old_spec);
        validate_gates_removed(diags, new_pod->spec, old_spec);
        if (api_equal(&new_pod->spec->base, &old_spec->base))
                return;

        spec = api_copy(arena, &new_pod->spec->base);
        for (size_t i = 0; i < spec->n_containers; i++)
                spec->containers[i]->image = old_spec->containers[i]->image;
        for (size_t i = 0; i < spec->n_initcontainers; i++)
                spec->initcontainers[i]->image = old_spec->initcontainers[i]->image;
        spec->has_activedeadlineseconds = old_spec->has_activedeadlineseconds;
        spec->activedeadlineseconds = old_spec->activedeadlineseconds;
        spec->schedulinggates = old_spec->schedulinggates;
        spec->n_schedulinggates = old_spec->n_schedulinggates;
        spec->tolerations = old_spec->tolerations;
        spec->n_tolerations = old_spec->n_tolerations;
        if (old_spec->n_schedulinggates > 0)
                allow_narrowing(diags, spec, old_spec, arena);
        forbid_difference(
                diags, &spec->base, &old_spec->base,
                "pod updates may not change fields other than "
                "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
                "`spec.tolerations` (only additions to existing tolerations),"
                "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
                CHILD(NULL, "spec"));
}

static bool names_all_of(V1QuantityEntry *const *now, size_t n_now, V1QuantityEntry *const *was, size_t n_was) {
        for (size_t i = 0; i < n_was; i++)
                if (!api_quantity_get(now, n_now, text_or_empty(was[i]->key)))
                        return false;
        return true;
}

static const V1ResourceRequirements no_resources = V1_RESOURCE_REQUIREMENTS__INIT;

static void validate_nothing_removed(struct diagnostics *diags, const V1ResourceRequirements *now,
                                     const V1ResourceRequirements *was, path_t path) {
        now = now ? now : &no_resources;
        was = was ? was : &no_resources;
        if (!names_all_of(now->requests, now->n_requests, was->requests, was->n_requests))
                fault_forbidden(diags, CHILD(path, "requests"), "resource requests cannot be removed");
        if (!names_all_of(now->limits, now->n_limits, was->limits, was->n_limits))
                fault_forbidden(diags, CHILD(path, "limits"), "resource limits cannot be removed");
}

static bool is_resizable(const char *name) {
        return streq(name, "cpu") || streq(name, "memory");
}

/* The list as it is now, but cpu and memory as they were. */
static void put_back_list(V1QuantityEntry ***list, size_t *n, V1QuantityEntry *const *was, size_t n_was,
                          struct api_arena *arena) {
        V1QuantityEntry **mixed = api_arena_alloc(arena, (*n + n_was + 1) * sizeof(*mixed));
        size_t count = 0;

        for (size_t i = 0; i < *n; i++)
                if (!is_resizable(text_or_empty((*list)[i]->key)))
                        mixed[count++] = (*list)[i];
        for (size_t i = 0; i < n_was; i++)
                if (is_resizable(text_or_empty(was[i]->key)))
                        mixed[count++] = was[i];
        *list = mixed;
        *n = count;
}

static V1ResourceRequirements *put_back_resources(V1ResourceRequirements *now, const V1ResourceRequirements *was,
                                                  struct api_arena *arena) {
        if (!now)
                now = api_new(arena, &v1_resource_requirements__descriptor);
        if (!was)
                was = &no_resources;
        put_back_list(&now->requests, &now->n_requests, was->requests, was->n_requests, arena);
        put_back_list(&now->limits, &now->n_limits, was->limits, was->n_limits, arena);
        return now;
}

static void resize_containers(struct diagnostics *diags, V1Container **now, V1Container *const *was, size_t n,
                              struct api_arena *arena, path_t path) {
        for (size_t i = 0; i < n; i++) {
                validate_nothing_removed(diags, now[i]->resources, was[i]->resources,
                                         CHILD(INDEX(path, i), "resources"));
                now[i]->resources = put_back_resources(now[i]->resources, was[i]->resources, arena);
        }
}

static bool has_resources(const V1ResourceRequirements *r) {
        return r && r->n_requests + r->n_limits > 0;
}

/* Pods that no apiserver owns, or that no node of ours runs. */
static const char *why_not_resizable(const V1Pod *pod) {
        if (api_map_get(pod->metadata->annotations, pod->metadata->n_annotations, MIRROR_ANNOTATION))
                return "static pods cannot be resized";
        if (pod->spec->os && streq_ptr(pod->spec->os->name, "windows"))
                return "windows pods cannot be resized";
        return NULL;
}

void api_validate_pod_resize(const V1Pod *new_pod, const V1Pod *old_pod, struct diagnostics *diags) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        const V1PodSpec *old_spec = old_pod->spec;
        path_t path = CHILD(NULL, "spec");
        const char *why;
        V1PodSpec *spec;

        if (!validate_new_version(new_pod, old_pod, diags) || !validate_same_containers(diags, new_pod->spec, old_spec))
                return;
        why = why_not_resizable(old_pod);
        if (why) {
                fault_forbidden(diags, NULL, why);
                return;
        }
        if (!streq(api_pod_qos_class(new_pod), api_pod_qos_class(old_pod)))
                fault_invalid(diags, path, api_pod_qos_class(new_pod),
                              "Pod QOS Class may not change as a result of resizing");

        spec = api_copy(arena, &new_pod->spec->base);
        resize_containers(diags, spec->containers, old_spec->containers, spec->n_containers, arena,
                          CHILD(path, "containers"));
        resize_containers(diags, spec->initcontainers, old_spec->initcontainers, spec->n_initcontainers, arena,
                          CHILD(path, "initContainers"));
        if (has_resources(old_spec->resources)) {
                validate_nothing_removed(diags, spec->resources, old_spec->resources, CHILD(path, "resources"));
                spec->resources = put_back_resources(spec->resources, old_spec->resources, arena);
        }
        forbid_difference(diags, &spec->base, &old_spec->base, "only cpu and memory resources are mutable", path);
}

static const V1EphemeralContainer *find_ephemeral(const V1PodSpec *spec, const char *name) {
        for (size_t i = 0; i < spec->n_ephemeralcontainers; i++)
                if (streq_ptr(container_of_ephemeral(spec->ephemeralcontainers[i]).name, name))
                        return spec->ephemeralcontainers[i];
        return NULL;
}

void api_validate_pod_ephemeral(const V1Pod *new_pod, const V1Pod *old_pod, struct diagnostics *diags) {
        path_t path = CHILD(CHILD(NULL, "spec"), "ephemeralContainers");

        if (!validate_new_version(new_pod, old_pod, diags))
                return;
        validate_fixed_annotations(diags, new_pod->metadata, old_pod->metadata);
        if (api_map_get(old_pod->metadata->annotations, old_pod->metadata->n_annotations, MIRROR_ANNOTATION))
                fault_forbidden(diags, NULL, "static pods do not support ephemeral containers");
        for (size_t i = 0; i < old_pod->spec->n_ephemeralcontainers; i++) {
                const V1EphemeralContainer *old = old_pod->spec->ephemeralcontainers[i];
                const char *name = container_of_ephemeral(old).name;
                const V1EphemeralContainer *now = find_ephemeral(new_pod->spec, name);

                if (!now)
                        diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, path,
                                        "existing ephemeral containers \"%s\" may not be removed", text_or_empty(name));
                else if (!api_equal(&now->base, &old->base))
                        diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, path,
                                        "existing ephemeral containers \"%s\" may not be changed", text_or_empty(name));
        }
}

/* May a container with this name leave "terminated"? */
static bool may_restart(const V1PodSpec *spec, bool init, bool ephemeral, const V1ContainerStatus *status) {
        if (ephemeral)
                return false;
        if (streq_ptr(spec->restartpolicy, "Always") ||
            (streq_ptr(spec->restartpolicy, "OnFailure") && status->state->terminated->exitcode != 0))
                return true;
        for (size_t i = 0; i < (init ? spec->n_initcontainers : spec->n_containers); i++) {
                const V1Container *c = init ? spec->initcontainers[i] : spec->containers[i];

                /* A policy of its own, or rules by exit code, decide for themselves. */
                if (streq_ptr(c->name, status->name) && (c->restartpolicy || c->n_restartpolicyrules > 0))
                        return true;
        }
        return false;
}

static void validate_transitions(struct diagnostics *diags, const V1PodSpec *spec, V1ContainerStatus *const *now,
                                 size_t n_now, V1ContainerStatus *const *was, size_t n_was, const char *list) {
        bool init = streq(list, "initContainerStatuses"), ephemeral = streq(list, "ephemeralContainerStatuses");

        for (size_t i = 0; i < n_was; i++) {
                if (!was[i]->state || !was[i]->state->terminated || may_restart(spec, init, ephemeral, was[i]))
                        continue;
                for (size_t j = 0; j < n_now; j++)
                        if (streq_ptr(now[j]->name, was[i]->name) && !(now[j]->state && now[j]->state->terminated))
                                fault_forbidden(diags, CHILD(INDEX(CHILD(CHILD(NULL, "status"), list), i), "state"),
                                                "may not be transitioned to non-terminated state");
        }
}

/* At most one address of each family, none twice. */
static void validate_ips(struct diagnostics *diags, const char **ips, size_t n, path_t path) {
        size_t families[2] = { 0 };

        for (size_t i = 0; i < n; i++) {
                validate_text(diags, ips[i], text_check_ip, INDEX(path, i));
                families[text_is_ipv6(text_or_empty(ips[i]))]++;
                for (size_t j = 0; j < i; j++)
                        if (streq_ptr(ips[j], ips[i])) {
                                fault_duplicate(diags, INDEX(path, i), ips[i]);
                                break;
                        }
        }
        if (families[0] > 1 || families[1] > 1)
                fault_invalid_object(diags, path, "may specify no more than one IP for each IP family");
}

static void validate_status_ips(struct diagnostics *diags, const V1PodStatus *status, path_t path) {
        size_t n = MAX(status->n_podips, status->n_hostips);
        _cleanup_free_ const char **ips = n ? xcalloc(n, sizeof(*ips)) : NULL;

        for (size_t i = 0; i < status->n_podips; i++)
                ips[i] = status->podips[i]->ip;
        validate_ips(diags, ips, status->n_podips, CHILD(path, "podIPs"));
        for (size_t i = 0; i < status->n_hostips; i++)
                ips[i] = status->hostips[i]->ip;
        if (status->n_hostips > 0 && !streq_ptr(status->hostip, ips[0]))
                fault_invalid(diags, CHILD(INDEX(CHILD(path, "hostIPs"), 0), "ip"), ips[0],
                              "must be equal to `hostIP`");
        validate_ips(diags, ips, status->n_hostips, CHILD(path, "hostIPs"));
}

void api_validate_pod_status(const V1Pod *new_pod, const V1Pod *old_pod, struct diagnostics *diags) {
        static const V1PodStatus none = V1_POD_STATUS__INIT;
        const V1PodStatus *now = new_pod->status ? new_pod->status : &none;
        const V1PodStatus *was = old_pod->status ? old_pod->status : &none;
        path_t path = CHILD(NULL, "status");

        if (!new_pod->metadata || !old_pod->metadata || !new_pod->spec || !old_pod->spec)
                return;
        validate_meta_update(diags, new_pod->metadata, old_pod->metadata);
        validate_fixed_annotations(diags, new_pod->metadata, old_pod->metadata);
        for (size_t i = 0; i < now->n_conditions; i++)
                validate_text(diags, now->conditions[i]->type, text_check_qualified_name,
                              CHILD(INDEX(CHILD(path, "conditions"), i), "type"));
        if (!streq(text_or_empty(new_pod->spec->nodename), text_or_empty(old_pod->spec->nodename)))
                fault_forbidden(diags, CHILD(path, "nodeName"), "may not be changed directly");
        if (!str_empty(was->qosclass) && !streq_ptr(now->qosclass, was->qosclass))
                fault_invalid(diags, CHILD(path, "qosClass"), now->qosclass, "field is immutable");
        validate_transitions(diags, old_pod->spec, now->containerstatuses, now->n_containerstatuses,
                             was->containerstatuses, was->n_containerstatuses, "containerStatuses");
        validate_transitions(diags, old_pod->spec, now->initcontainerstatuses, now->n_initcontainerstatuses,
                             was->initcontainerstatuses, was->n_initcontainerstatuses, "initContainerStatuses");
        validate_transitions(diags, old_pod->spec, now->ephemeralcontainerstatuses, now->n_ephemeralcontainerstatuses,
                             was->ephemeralcontainerstatuses, was->n_ephemeralcontainerstatuses,
                             "ephemeralContainerStatuses");
        validate_status_ips(diags, now, path);
}
