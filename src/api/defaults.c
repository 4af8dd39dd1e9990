#include "api/defaults.h"

#include "api/priority.h"
#include "api/quantity.h"
#include "api/resources.h"
#include "api/runtime-class.h"

#define DEFAULT_GRACE_PERIOD 30
#define DEFAULT_FILE_MODE 0644
#define DEFAULT_TOKEN_SECONDS 3600
#define NAMESPACE_NAME_LABEL "kubernetes.io/metadata.name"

/* Go does not tell an empty text from one left out; where it does (a pointer), the field has a default of its own. */
static void default_text(char **field, const char *value, struct api_arena *arena) {
        if (str_empty(*field))
                *field = api_arena_strdup(arena, value);
}

#define DEFAULT_NUMBER(message, field, default_value) \
        do { \
                if (!(message)->has_##field) { \
                        (message)->has_##field = true; \
                        (message)->field = (default_value); \
                } \
        } while (0)
/* For a number that is no pointer in Go: zero means left out. */
#define DEFAULT_NON_ZERO(message, field, default_value) \
        do { \
                if ((message)->field == 0) { \
                        (message)->has_##field = true; \
                        (message)->field = (default_value); \
                } \
        } while (0)

/* ---- images ------------------------------------------------------------------------------------------------------ */

static bool is_lower_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c) {
        return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* Lower case letters and digits in runs, with ".", "_", "__" or hyphens between two runs. */
static bool is_path_component(const char *s, size_t len) {
        size_t i = 0;

        if (len == 0)
                return false;
        while (i < len) {
                size_t run = i, dots = 0, underscores = 0, hyphens = 0;

                while (i < len && is_lower_alnum(s[i]))
                        i++;
                if (i == run)
                        return false;
                if (i == len)
                        return true;
                for (; i < len && (s[i] == '.' || s[i] == '_' || s[i] == '-'); i++) {
                        dots += s[i] == '.';
                        underscores += s[i] == '_';
                        hyphens += s[i] == '-';
                }
                if ((dots > 0) + (underscores > 0) + (hyphens > 0) != 1 || dots > 1 || underscores > 2)
                        return false;
        }
        return false; /* ends in a separator */
}

/* host, host:port or [v6]:port */
static bool is_domain(const char *s, size_t len) {
        size_t i = 0;

        if (len > 0 && s[0] == '[') {
                const char *end = memchr(s, ']', len);

                if (!end || end == s + 1 || strspn(s + 1, "0123456789abcdefABCDEF:") < (size_t)(end - s - 1))
                        return false;
                i = (size_t)(end - s) + 1;
        } else
                for (;;) {
                        size_t start = i;

                        while (i < len && (is_alnum(s[i]) || s[i] == '-'))
                                i++;
                        if (i == start || s[start] == '-' || s[i - 1] == '-')
                                return false;
                        if (i == len || s[i] != '.')
                                break;
                        i++;
                }
        if (i == len)
                return true;
        return s[i] == ':' && i + 1 < len && strspn(s + i + 1, "0123456789") >= len - i - 1;
}

static bool is_tag(const char *s, size_t len) {
        if (len == 0 || len > 128 || !(is_alnum(s[0]) || s[0] == '_'))
                return false;
        for (size_t i = 1; i < len; i++)
                if (!is_alnum(s[i]) && s[i] != '_' && s[i] != '.' && s[i] != '-')
                        return false;
        return true;
}

static bool is_digest(const char *s) {
        static const struct {
                const char *algorithm;
                size_t hex;
        } known[] = { { "sha256:", 64 }, { "sha384:", 96 }, { "sha512:", 128 } };

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (str_starts_with(s, known[i].algorithm)) {
                        const char *hex = s + strlen(known[i].algorithm);

                        return strlen(hex) == known[i].hex && strspn(hex, "0123456789abcdef") == known[i].hex;
                }
        return false;
}

/* Is the part before the first slash a registry, as Docker decides? */
static bool names_registry(const char *s, size_t len) {
        for (size_t i = 0; i < len; i++)
                if (s[i] == '.' || s[i] == ':' || (s[i] >= 'A' && s[i] <= 'Z'))
                        return true;
        return len == strlen("localhost") && strncmp(s, "localhost", len) == 0;
}

/* Does this image reference mean the tag "latest", named or left out? A reference with a digest, and one that is no
 * reference, does not: such an image cannot change behind the name (or cannot be had at all). */
static bool is_latest(const char *reference) {
        const char *slash = strchr(reference, '/'), *path = reference;
        const char *at = strchr(reference, '@'), *end = at ? at : reference + strlen(reference), *colon;

        if (strlen(reference) == 64 && strspn(reference, "0123456789abcdef") == 64)
                return false; /* an image's ID */
        if (slash && slash < end && names_registry(reference, (size_t)(slash - reference))) {
                if (!is_domain(reference, (size_t)(slash - reference)))
                        return false;
                path = slash + 1;
        }
        colon = memchr(path, ':', (size_t)(end - path));
        for (const char *part = path, *path_end = colon ? colon : end;;) {
                const char *next = memchr(part, '/', (size_t)(path_end - part));

                if (!is_path_component(part, (size_t)((next ? next : path_end) - part)))
                        return false;
                if (!next)
                        break;
                part = next + 1;
        }
        if (end - reference > 255)
                return false;
        if (at)
                return is_digest(at + 1) && colon && (size_t)(end - colon - 1) == strlen("latest") &&
                       strncmp(colon + 1, "latest", strlen("latest")) == 0;
        if (!colon)
                return true;
        return is_tag(colon + 1, (size_t)(end - colon - 1)) && streq(colon + 1, "latest");
}

static void default_pull_policy(char **policy, const char *image, struct api_arena *arena) {
        default_text(policy, is_latest(image ? image : "") ? "Always" : "IfNotPresent", arena);
}

/* ---- containers -------------------------------------------------------------------------------------------------- */

static void default_http(V1HTTPGetAction *http, struct api_arena *arena) {
        if (!http)
                return;
        default_text(&http->path, "/", arena);
        default_text(&http->scheme, "HTTP", arena);
}

static void default_probe(V1Probe *probe, struct api_arena *arena) {
        if (!probe)
                return;
        DEFAULT_NON_ZERO(probe, timeoutseconds, 1);
        DEFAULT_NON_ZERO(probe, periodseconds, 10);
        DEFAULT_NON_ZERO(probe, successthreshold, 1);
        DEFAULT_NON_ZERO(probe, failurethreshold, 3);
        if (!probe->handler)
                return;
        default_http(probe->handler->httpget, arena);
        /* An empty service is written out, so it is set. */
        if (probe->handler->grpc && !probe->handler->grpc->service)
                probe->handler->grpc->service = api_arena_strdup(arena, "");
}

static void default_lifecycle(V1Lifecycle *l, struct api_arena *arena) {
        if (!l)
                return;
        if (l->poststart)
                default_http(l->poststart->httpget, arena);
        if (l->prestop)
                default_http(l->prestop->httpget, arena);
}

static void default_field_ref(V1ObjectFieldSelector *ref, struct api_arena *arena) {
        if (ref)
                default_text(&ref->apiversion, "v1", arena);
}

static void default_resource_ref(V1ResourceFieldSelector *ref, struct api_arena *arena) {
        if (!ref)
                return;
        if (!ref->divisor)
                ref->divisor = api_new(arena, &v1_quantity__descriptor);
        default_text(&ref->divisor->string, "0", arena);
}

/* Kubernetes keeps no more than thousandths, and rounds up, so that a request for something is never for nothing. */
static void round_quantities(V1QuantityEntry **entries, size_t n, struct api_arena *arena) {
        for (size_t i = 0; i < n; i++) {
                struct quantity q, rounded;
                char *text;

                if (!entries[i]->value || !entries[i]->value->string ||
                    !quantity_parse(entries[i]->value->string, &q, NULL))
                        continue;
                rounded = quantity_round_up(q, -3);
                if (quantity_compare(q, rounded) == 0)
                        continue;
                text = quantity_format(rounded);
                entries[i]->value->string = api_arena_strdup(arena, text);
                free(text);
        }
}

static void round_requirements(V1ResourceRequirements *r, struct api_arena *arena) {
        if (!r)
                return;
        round_quantities(r->limits, r->n_limits, arena);
        round_quantities(r->requests, r->n_requests, arena);
}

static void add_quantity(V1QuantityEntry ***list, size_t *n, const char *key, const char *value,
                         struct api_arena *arena) {
        V1QuantityEntry **place = api_arena_append(arena, list, n, sizeof(**list));

        *place = api_new(arena, &v1_quantity_entry__descriptor);
        (*place)->key = api_arena_strdup(arena, key);
        (*place)->value = api_new(arena, &v1_quantity__descriptor);
        (*place)->value->string = api_arena_strdup(arena, value);
}

/* What is limited but not requested is requested as far as the limit. */
static void default_requests(V1ResourceRequirements *r, struct api_arena *arena) {
        for (size_t i = 0; r && i < r->n_limits; i++) {
                const char *name = r->limits[i]->key ? r->limits[i]->key : "";

                if (!api_quantity_get(r->requests, r->n_requests, name))
                        add_quantity(&r->requests, &r->n_requests, name,
                                     r->limits[i]->value && r->limits[i]->value->string ? r->limits[i]->value->string
                                                                                        : "0",
                                     arena);
        }
}

static void default_container(V1Container *c, bool host_network, struct api_arena *arena) {
        default_pull_policy(&c->imagepullpolicy, c->image, arena);
        default_text(&c->terminationmessagepath, "/dev/termination-log", arena);
        default_text(&c->terminationmessagepolicy, "File", arena);
        for (size_t i = 0; i < c->n_ports; i++) {
                default_text(&c->ports[i]->protocol, "TCP", arena);
                /* On the host's network a port of the container is one of the host. */
                if (host_network && c->ports[i]->hostport == 0 && c->ports[i]->containerport != 0) {
                        c->ports[i]->has_hostport = true;
                        c->ports[i]->hostport = c->ports[i]->containerport;
                }
        }
        for (size_t i = 0; i < c->n_env; i++)
                if (c->env[i]->valuefrom) {
                        default_field_ref(c->env[i]->valuefrom->fieldref, arena);
                        default_resource_ref(c->env[i]->valuefrom->resourcefieldref, arena);
                }
        default_probe(c->livenessprobe, arena);
        default_probe(c->readinessprobe, arena);
        default_probe(c->startupprobe, arena);
        default_lifecycle(c->lifecycle, arena);
        round_requirements(c->resources, arena);
}

/* An ephemeral container has the same fields in another type (see validate-walk.c). */
static void default_ephemeral(V1EphemeralContainer *ephemeral, struct api_arena *arena) {
        V1EphemeralContainerCommon *common = ephemeral->ephemeralcontainercommon;
        V1Container c = V1_CONTAINER__INIT;
        ProtobufCMessage base;

        if (!common)
                return;
        base = common->base;
        memcpy(&c, common, sizeof(c));
        default_container(&c, false, arena);
        memcpy(common, &c, sizeof(c));
        common->base = base;
}

/* ---- volumes ----------------------------------------------------------------------------------------------------- */

static void default_downward_files(V1DownwardAPIVolumeFile **files, size_t n, struct api_arena *arena) {
        for (size_t i = 0; i < n; i++) {
                default_field_ref(files[i]->fieldref, arena);
                default_resource_ref(files[i]->resourcefieldref, arena);
        }
}

static void default_projected(V1ProjectedVolumeSource *projected, struct api_arena *arena) {
        DEFAULT_NUMBER(projected, defaultmode, DEFAULT_FILE_MODE);
        for (size_t i = 0; i < projected->n_sources; i++) {
                V1VolumeProjection *source = projected->sources[i];

                if (source->downwardapi)
                        default_downward_files(source->downwardapi->items, source->downwardapi->n_items, arena);
                if (source->serviceaccounttoken)
                        DEFAULT_NUMBER(source->serviceaccounttoken, expirationseconds, DEFAULT_TOKEN_SECONDS);
                /* The gates ClusterTrustBundleProjection and PodCertificateRequest are off. */
                source->clustertrustbundle = NULL;
                source->podcertificate = NULL;
        }
}

static void default_claim_spec(V1PersistentVolumeClaimSpec *spec, struct api_arena *arena) {
        if (!spec)
                return;
        if (!spec->volumemode)
                spec->volumemode = api_arena_strdup(arena, "Filesystem");
        if (!spec->resources)
                return;
        round_quantities(spec->resources->limits, spec->resources->n_limits, arena);
        round_quantities(spec->resources->requests, spec->resources->n_requests, arena);
}

/* Cloud disks that Kubernetes still knows; husk refuses them, but a stored pod reads the same everywhere. */
static void default_legacy_volume(V1VolumeSource *source, struct api_arena *arena) {
        if (source->iscsi)
                default_text(&source->iscsi->iscsiinterface, "default", arena);
        if (source->rbd) {
                default_text(&source->rbd->pool, "rbd", arena);
                default_text(&source->rbd->user, "admin", arena);
                default_text(&source->rbd->keyring, "/etc/ceph/keyring", arena);
        }
        if (source->scaleio) {
                default_text(&source->scaleio->storagemode, "ThinProvisioned", arena);
                default_text(&source->scaleio->fstype, "xfs", arena);
        }
        if (source->azuredisk) {
                V1AzureDiskVolumeSource *disk = source->azuredisk;

                if (!disk->cachingmode)
                        disk->cachingmode = api_arena_strdup(arena, "ReadWrite");
                if (!disk->kind)
                        disk->kind = api_arena_strdup(arena, "Shared");
                if (!disk->fstype)
                        disk->fstype = api_arena_strdup(arena, "ext4");
                DEFAULT_NUMBER(disk, readonly, false);
        }
}

static bool has_source(const V1VolumeSource *source) {
        for (unsigned i = 0; i < source->base.descriptor->n_fields; i++)
                if (*(void *const *)((const char *)source + source->base.descriptor->fields[i].offset))
                        return true;
        return false;
}

static void default_volume(V1Volume *volume, struct api_arena *arena) {
        V1VolumeSource *source = volume->volumesource;

        if (!source)
                source = volume->volumesource = api_new(arena, &v1_volume_source__descriptor);
        if (!has_source(source))
                source->emptydir = api_new(arena, &v1_empty_dir_volume_source__descriptor);
        if (source->secret)
                DEFAULT_NUMBER(source->secret, defaultmode, DEFAULT_FILE_MODE);
        if (source->configmap)
                DEFAULT_NUMBER(source->configmap, defaultmode, DEFAULT_FILE_MODE);
        if (source->downwardapi) {
                DEFAULT_NUMBER(source->downwardapi, defaultmode, DEFAULT_FILE_MODE);
                default_downward_files(source->downwardapi->items, source->downwardapi->n_items, arena);
        }
        if (source->projected)
                default_projected(source->projected, arena);
        if (source->hostpath && !source->hostpath->type)
                source->hostpath->type = api_arena_strdup(arena, "");
        if (source->ephemeral && source->ephemeral->volumeclaimtemplate)
                default_claim_spec(source->ephemeral->volumeclaimtemplate->spec, arena);
        if (source->image)
                default_pull_policy(&source->image->pullpolicy, source->image->reference, arena);
        default_legacy_volume(source, arena);
}

/* ---- the pod's own resources (KEP-2837) -------------------------------------------------------------------------- */

static bool is_huge_pages(const char *name) {
        return str_starts_with(name, "hugepages-");
}

static void add_resource(V1QuantityEntry ***list, size_t *n, const struct resource *resource, struct api_arena *arena) {
        _cleanup_free_ char *text = quantity_format(resource->quantity);

        add_quantity(list, n, resource->name, text, arena);
}

/* Given in part, the rest follows from the containers: huge pages' limits from theirs; requests from theirs, and where
 * they have none from the pod's limits. */
static void default_pod_resources(V1Pod *pod, struct api_arena *arena) {
        _cleanup_resource_list_ struct resource_list requests = RESOURCE_LIST_INIT, limits = RESOURCE_LIST_INIT;
        V1ResourceRequirements *r = pod->spec->resources;

        if (!r || r->n_limits + r->n_requests == 0)
                return;
        api_pod_container_limits(pod, &limits);
        for (size_t i = 0; i < limits.n; i++)
                if (is_huge_pages(limits.items[i].name) &&
                    !api_quantity_get(r->requests, r->n_requests, limits.items[i].name) &&
                    !api_quantity_get(r->limits, r->n_limits, limits.items[i].name))
                        add_resource(&r->limits, &r->n_limits, &limits.items[i], arena);
        if (r->n_limits == 0)
                return;

        api_pod_container_requests(pod, &requests);
        for (size_t i = 0; i < requests.n; i++) {
                const char *name = requests.items[i].name;

                if ((streq(name, "cpu") || streq(name, "memory")) &&
                    !api_quantity_get(r->requests, r->n_requests, name))
                        add_resource(&r->requests, &r->n_requests, &requests.items[i], arena);
        }
        for (size_t i = 0; i < r->n_limits; i++) {
                const char *name = r->limits[i]->key ? r->limits[i]->key : "";

                if ((streq(name, "cpu") || streq(name, "memory") || is_huge_pages(name)) &&
                    !api_quantity_get(r->requests, r->n_requests, name) && r->limits[i]->value)
                        add_quantity(&r->requests, &r->n_requests, name, r->limits[i]->value->string, arena);
        }
}

/* ---- scheduling -------------------------------------------------------------------------------------------------- */

static bool has_expression(const V1LabelSelector *selector, const char *key, const char *operator_, const char *value) {
        for (size_t i = 0; i < selector->n_matchexpressions; i++) {
                const V1LabelSelectorRequirement *r = selector->matchexpressions[i];

                if (streq_ptr(r->key, key) && streq_ptr(r->operator_, operator_) && r->n_values == 1 &&
                    streq(r->values[0], value))
                        return true;
        }
        return false;
}

/* matchLabelKeys: "those with the same value of this label as me" becomes an expression of the selector, now that it is
 * known who "me" is. A label the pod does not have asks for nothing. */
static void merge_label_keys(const V1Pod *pod, V1LabelSelector *selector, char *const *keys, size_t n_keys,
                             const char *operator_, struct api_arena *arena) {
        for (size_t i = 0; selector && pod->metadata && i < n_keys; i++) {
                const char *value = api_map_get(pod->metadata->labels, pod->metadata->n_labels, keys[i]);
                V1LabelSelectorRequirement **place;
                char **text;

                if (!value || has_expression(selector, keys[i], operator_, value))
                        continue;
                place = api_arena_append(arena, &selector->matchexpressions, &selector->n_matchexpressions,
                                         sizeof(*place));
                *place = api_new(arena, &v1_label_selector_requirement__descriptor);
                (*place)->key = api_arena_strdup(arena, keys[i]);
                (*place)->operator_ = api_arena_strdup(arena, operator_);
                text = api_arena_append(arena, &(*place)->values, &(*place)->n_values, sizeof(*text));
                *text = api_arena_strdup(arena, value);
        }
}

static void merge_term(const V1Pod *pod, V1PodAffinityTerm *term, struct api_arena *arena) {
        if (!term)
                return;
        merge_label_keys(pod, term->labelselector, term->matchlabelkeys, term->n_matchlabelkeys, "In", arena);
        merge_label_keys(pod, term->labelselector, term->mismatchlabelkeys, term->n_mismatchlabelkeys, "NotIn", arena);
}

static void merge_all_label_keys(const V1Pod *pod, struct api_arena *arena) {
        const V1PodSpec *spec = pod->spec;
        const V1PodAffinity *near = spec->affinity ? spec->affinity->podaffinity : NULL;
        const V1PodAntiAffinity *far = spec->affinity ? spec->affinity->podantiaffinity : NULL;

        for (size_t i = 0; near && i < near->n_requiredduringschedulingignoredduringexecution; i++)
                merge_term(pod, near->requiredduringschedulingignoredduringexecution[i], arena);
        for (size_t i = 0; near && i < near->n_preferredduringschedulingignoredduringexecution; i++)
                merge_term(pod, near->preferredduringschedulingignoredduringexecution[i]->podaffinityterm, arena);
        for (size_t i = 0; far && i < far->n_requiredduringschedulingignoredduringexecution; i++)
                merge_term(pod, far->requiredduringschedulingignoredduringexecution[i], arena);
        for (size_t i = 0; far && i < far->n_preferredduringschedulingignoredduringexecution; i++)
                merge_term(pod, far->preferredduringschedulingignoredduringexecution[i]->podaffinityterm, arena);
        for (size_t i = 0; i < spec->n_topologyspreadconstraints; i++) {
                const V1TopologySpreadConstraint *c = spec->topologyspreadconstraints[i];

                merge_label_keys(pod, c->labelselector, c->matchlabelkeys, c->n_matchlabelkeys, "In", arena);
        }
}

/* ---- the objects ------------------------------------------------------------------------------------------------- */

void api_set_pod_defaults(V1Pod *pod, struct api_arena *arena) {
        V1PodSpec *spec = pod->spec;

        if (!spec)
                spec = pod->spec = api_new(arena, &v1_pod_spec__descriptor);
        for (size_t i = 0; i < spec->n_containers; i++)
                default_requests(spec->containers[i]->resources, arena);
        for (size_t i = 0; i < spec->n_initcontainers; i++)
                default_requests(spec->initcontainers[i]->resources, arena);
        default_pod_resources(pod, arena);
        round_requirements(spec->resources, arena);
        round_quantities(spec->overhead, spec->n_overhead, arena);

        default_text(&spec->dnspolicy, "ClusterFirst", arena);
        default_text(&spec->restartpolicy, "Always", arena);
        default_text(&spec->schedulername, "default-scheduler", arena);
        priority_set(spec, arena);
        if (!pod->metadata || str_empty(pod->metadata->uid)) /* an apiserver admits what is new */
                runtime_class_set(spec, arena);
        DEFAULT_NUMBER(spec, enableservicelinks, true);
        DEFAULT_NUMBER(spec, terminationgraceperiodseconds, DEFAULT_GRACE_PERIOD);
        /* Older clusters took a negative period to mean "at once". */
        if (spec->terminationgraceperiodseconds < 0)
                spec->terminationgraceperiodseconds = 1;
        if (!spec->securitycontext)
                spec->securitycontext = api_new(arena, &v1_pod_security_context__descriptor);
        /* The same thing under two names, the first of them older. */
        if (str_empty(spec->serviceaccountname) && !str_empty(spec->serviceaccount))
                spec->serviceaccountname = spec->serviceaccount;
        if (!str_empty(spec->serviceaccountname))
                spec->serviceaccount = spec->serviceaccountname;
        /* The gate GenericWorkload is off. */
        spec->schedulinggroup = NULL;

        for (size_t i = 0; i < spec->n_volumes; i++)
                default_volume(spec->volumes[i], arena);
        for (size_t i = 0; i < spec->n_initcontainers; i++)
                default_container(spec->initcontainers[i], spec->hostnetwork, arena);
        for (size_t i = 0; i < spec->n_containers; i++)
                default_container(spec->containers[i], spec->hostnetwork, arena);
        for (size_t i = 0; i < spec->n_ephemeralcontainers; i++)
                default_ephemeral(spec->ephemeralcontainers[i], arena);
        merge_all_label_keys(pod, arena);
}

void api_set_config_map_defaults(_unused_ V1ConfigMap *map, _unused_ struct api_arena *arena) {
        /* data becomes an empty map, which is not written. */
}

static V1BytesEntry *bytes_entry(V1Secret *secret, const char *key, struct api_arena *arena) {
        V1BytesEntry **place;

        for (size_t i = 0; i < secret->n_data; i++)
                if (streq_ptr(secret->data[i]->key, key))
                        return secret->data[i];
        place = api_arena_append(arena, &secret->data, &secret->n_data, sizeof(*place));
        *place = api_new(arena, &v1_bytes_entry__descriptor);
        (*place)->key = api_arena_strdup(arena, key);
        (*place)->has_value = true;
        return *place;
}

void api_set_secret_defaults(V1Secret *secret, struct api_arena *arena) {
        default_text(&secret->type, "Opaque", arena);
        for (size_t i = 0; i < secret->n_stringdata; i++) {
                const char *value = secret->stringdata[i]->value ? secret->stringdata[i]->value : "";
                V1BytesEntry *entry =
                        bytes_entry(secret, secret->stringdata[i]->key ? secret->stringdata[i]->key : "", arena);

                entry->has_value = true;
                entry->value.len = strlen(value);
                entry->value.data = (uint8_t *)api_arena_strdup(arena, value);
        }
        secret->n_stringdata = 0;
        secret->stringdata = NULL;
}

static void set_label(V1ObjectMeta *meta, const char *key, const char *value, struct api_arena *arena) {
        V1StringEntry **place;

        for (size_t i = 0; i < meta->n_labels; i++)
                if (streq_ptr(meta->labels[i]->key, key)) {
                        meta->labels[i]->value = api_arena_strdup(arena, value);
                        return;
                }
        place = api_arena_append(arena, &meta->labels, &meta->n_labels, sizeof(*place));
        *place = api_new(arena, &v1_string_entry__descriptor);
        (*place)->key = api_arena_strdup(arena, key);
        (*place)->value = api_arena_strdup(arena, value);
}

static bool has_finalizer(const V1NamespaceSpec *spec, const char *finalizer) {
        for (size_t i = 0; i < spec->n_finalizers; i++)
                if (streq(spec->finalizers[i], finalizer))
                        return true;
        return false;
}

void api_set_namespace_defaults(V1Namespace *ns, struct api_arena *arena) {
        char **place;

        if (ns->metadata && !str_empty(ns->metadata->name))
                set_label(ns->metadata, NAMESPACE_NAME_LABEL, ns->metadata->name, arena);
        if (!ns->spec)
                ns->spec = api_new(arena, &v1_namespace_spec__descriptor);
        if (!has_finalizer(ns->spec, "kubernetes")) {
                place = api_arena_append(arena, &ns->spec->finalizers, &ns->spec->n_finalizers, sizeof(*place));
                *place = api_arena_strdup(arena, "kubernetes");
        }
        if (!ns->status)
                ns->status = api_new(arena, &v1_namespace_status__descriptor);
        default_text(&ns->status->phase, "Active", arena);
}

void api_set_claim_defaults(V1PersistentVolumeClaim *claim, struct api_arena *arena) {
        V1PersistentVolumeClaimSpec *spec = claim->spec;

        default_claim_spec(spec, arena);
        /* The newer dataSourceRef says what dataSource says, and the other way round where it can. */
        if (spec && spec->datasource && !spec->datasourceref) {
                spec->datasourceref = api_new(arena, &v1_typed_object_reference__descriptor);
                spec->datasourceref->apigroup = spec->datasource->apigroup;
                spec->datasourceref->kind = spec->datasource->kind;
                spec->datasourceref->name = spec->datasource->name;
        }
        if (!claim->status)
                claim->status = api_new(arena, &v1_persistent_volume_claim_status__descriptor);
        default_text(&claim->status->phase, "Pending", arena);
}

void api_set_priority_class_defaults(V1PriorityClass *class, struct api_arena *arena) {
        default_text(&class->preemptionpolicy, "PreemptLowerPriority", arena);
}

void api_set_node_defaults(V1Node *node, _unused_ struct api_arena *arena) {
        V1NodeStatus *status = node->status;

        /* Without a word about what may be allocated, everything may. */
        if (status && status->n_allocatable == 0) {
                status->allocatable = status->capacity;
                status->n_allocatable = status->n_capacity;
        }
}

void api_set_defaults(ProtobufCMessage *object, struct api_arena *arena) {
        const ProtobufCMessageDescriptor *type = object->descriptor;

        if (type == &v1_pod__descriptor)
                api_set_pod_defaults((V1Pod *)object, arena);
        else if (type == &v1_config_map__descriptor)
                api_set_config_map_defaults((V1ConfigMap *)object, arena);
        else if (type == &v1_secret__descriptor)
                api_set_secret_defaults((V1Secret *)object, arena);
        else if (type == &v1_namespace__descriptor)
                api_set_namespace_defaults((V1Namespace *)object, arena);
        else if (type == &v1_persistent_volume_claim__descriptor)
                api_set_claim_defaults((V1PersistentVolumeClaim *)object, arena);
        else if (type == &v1_node__descriptor)
                api_set_node_defaults((V1Node *)object, arena);
        else if (type == &v1_priority_class__descriptor)
                api_set_priority_class_defaults((V1PriorityClass *)object, arena);
}
