#include "api/validate-walk.h"

#include <inttypes.h>

#include "base/str.h"

static const char *const host_path_types[] = { "",     "BlockDevice",  "CharDevice", "Directory", "DirectoryOrCreate",
                                               "File", "FileOrCreate", "Socket",     NULL };
static const char *const pull_policies[] = { "Always", "IfNotPresent", "Never", NULL };
static const char *const azure_caching_modes[] = { "None", "ReadOnly", "ReadWrite", NULL };
static const char *const azure_kinds[] = { "Dedicated", "Managed", "Shared", NULL };
static const char *const azure_managed_uris[] = {
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}", NULL
};
static const char *const azure_blob_uris[] = {
        "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd", NULL
};

/* A volume being looked at: its source, and who it belongs to. */
struct volume_walk {
        struct diagnostics *diags;
        const struct pod_walk *pod;
        const V1Volume *volume;
};

static const char *secret_name(const V1LocalObjectReference *ref) {
        return ref ? text_or_empty(ref->name) : "";
}

/* A reference to a secret that, when given, has to have a name. */
static void validate_secret_ref(struct diagnostics *diags, const V1LocalObjectReference *ref, path_t path) {
        if (ref && str_empty(ref->name))
                fault_required(diags, CHILD(CHILD(path, "secretRef"), "name"), NULL);
}

static void validate_empty_dir(const struct volume_walk *w, path_t path) {
        const V1EmptyDirVolumeSource *dir = w->volume->volumesource->emptydir;

        if (quantity_sign(quantity_of(dir->sizelimit)) < 0)
                fault_forbidden(w->diags, CHILD(path, "sizeLimit"),
                                "SizeLimit field must be a valid resource quantity");
}

static void validate_host_path(const struct volume_walk *w, path_t path) {
        const V1HostPathVolumeSource *host = w->volume->volumesource->hostpath;

        if (str_empty(host->path)) {
                fault_required(w->diags, CHILD(path, "path"), NULL);
                return;
        }
        validate_no_backstep(w->diags, host->path, CHILD(path, "path"));
        if (host->type)
                validate_word(w->diags, host->type, host_path_types, CHILD(path, "type"));
}

static void validate_git_repo(const struct volume_walk *w, path_t path) {
        validate_descending_path(w->diags, text_or_empty(w->volume->volumesource->gitrepo->directory),
                                 CHILD(path, "directory"));
}

static void validate_partition(struct diagnostics *diags, int32_t partition, path_t path) {
        if (partition < 0 || partition > 255)
                fault_invalid_int(diags, CHILD(path, "partition"), partition, "must be between 1 and 255, inclusive");
}

static void validate_gce_disk(const struct volume_walk *w, path_t path) {
        validate_partition(w->diags, w->volume->volumesource->gcepersistentdisk->partition, path);
}

static void validate_aws_disk(const struct volume_walk *w, path_t path) {
        validate_partition(w->diags, w->volume->volumesource->awselasticblockstore->partition, path);
}

static void validate_items(struct diagnostics *diags, V1KeyToPath *const *items, size_t n, path_t path) {
        for (size_t i = 0; i < n; i++) {
                path_t at = INDEX(path, i);

                if (str_empty(items[i]->key))
                        fault_required(diags, CHILD(at, "key"), NULL);
                if (str_empty(items[i]->path))
                        fault_required(diags, CHILD(at, "path"), NULL);
                validate_unreserved_path(diags, text_or_empty(items[i]->path), CHILD(at, "path"));
                validate_mode(diags, items[i]->has_mode, items[i]->mode, CHILD(at, "mode"));
        }
}

static void validate_secret(const struct volume_walk *w, path_t path) {
        const V1SecretVolumeSource *secret = w->volume->volumesource->secret;

        validate_mode(w->diags, secret->has_defaultmode, secret->defaultmode, CHILD(path, "defaultMode"));
        validate_items(w->diags, secret->items, secret->n_items, CHILD(path, "items"));
}

static void validate_config_map(const struct volume_walk *w, path_t path) {
        const V1ConfigMapVolumeSource *map = w->volume->volumesource->configmap;

        if (str_empty(secret_name(map->localobjectreference)))
                fault_required(w->diags, CHILD(path, "name"), NULL);
        validate_mode(w->diags, map->has_defaultmode, map->defaultmode, CHILD(path, "defaultMode"));
        validate_items(w->diags, map->items, map->n_items, CHILD(path, "items"));
}

static void validate_nfs(const struct volume_walk *w, path_t path) {
        const char *export_path = text_or_empty(w->volume->volumesource->nfs->path);

        if (export_path[0] != '/')
                fault_invalid(w->diags, CHILD(path, "path"), export_path, "must be an absolute path");
}

static bool is_hex_or_alnum(const char *s, size_t len) {
        if (strlen(s) != len)
                return false;
        for (; *s; s++)
                if (!((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z')))
                        return false;
        return true;
}

/* "iqn.2001-04.com.example:storage": a date, a domain, and a name after the colon. */
static bool is_iqn(const char *s) {
        const char *colon = strchr(s, ':');

        if (!str_starts_with(s, "iqn.") || strlen(s) < strlen("iqn.2001-04.a:b") || !colon || !colon[1] ||
            strpbrk(colon, ",;*&$| \t\r\n\f"))
                return false;
        for (size_t i = 4; i < 11; i++)
                if (i == 8 ? s[i] != '-' : s[i] < '0' || s[i] > '9')
                        return false;
        return s[11] == '.' && colon > s + 12 &&
               strspn(s + 12, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") >=
                       (size_t)(colon - (s + 12));
}

static void validate_iscsi_name(struct diagnostics *diags, const char *name, path_t path) {
        if (!str_starts_with(name, "iqn") && !str_starts_with(name, "eui") && !str_starts_with(name, "naa"))
                fault_invalid(diags, path, name, "must be valid format starting with iqn, eui, or naa");
        else if ((name[0] == 'i' && !is_iqn(name)) ||
                 (name[0] == 'e' && (strlen(name) < 4 || !is_hex_or_alnum(name + 4, 16))) ||
                 (name[0] == 'n' && (strlen(name) < 4 || !is_hex_or_alnum(name + 4, 32))))
                fault_invalid(diags, path, name, "must be valid format");
}

static void validate_iscsi(const struct volume_walk *w, path_t path) {
        const V1ISCSIVolumeSource *iscsi = w->volume->volumesource->iscsi;

        if (!str_empty(iscsi->iqn))
                validate_iscsi_name(w->diags, iscsi->iqn, CHILD(path, "iqn"));
        validate_range(w->diags, iscsi->lun, 0, 255, CHILD(path, "lun"));
        if ((iscsi->chapauthdiscovery || iscsi->chapauthsession) && !iscsi->secretref)
                fault_required(w->diags, CHILD(path, "secretRef"), NULL);
        if (!iscsi->initiatorname)
                return;
        validate_iscsi_name(w->diags, iscsi->initiatorname, CHILD(path, "initiatorname"));
        if (strlen(text_or_empty(w->volume->name)) + 1 + strlen(text_or_empty(iscsi->targetportal)) > 64)
                fault_invalid(w->diags, CHILD(path->parent, "name"), w->volume->name,
                              "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
                              "iscsi.initiatorName is specified.");
}

static void validate_flocker(const struct volume_walk *w, path_t path) {
        const V1FlockerVolumeSource *flocker = w->volume->volumesource->flocker;

        if (str_empty(flocker->datasetname) && str_empty(flocker->datasetuuid))
                fault_required(w->diags, path, "one of datasetName and datasetUUID is required");
        if (!str_empty(flocker->datasetname) && !str_empty(flocker->datasetuuid))
                fault_invalid(w->diags, path, "resource",
                              "datasetName and datasetUUID can not be specified simultaneously");
        if (strchr(text_or_empty(flocker->datasetname), '/'))
                fault_invalid(w->diags, CHILD(path, "datasetName"), flocker->datasetname, "must not contain '/'");
}

static void validate_cinder(const struct volume_walk *w, path_t path) {
        validate_secret_ref(w->diags, w->volume->volumesource->cinder->secretref, path);
}

/* Each of "host:port,host:port". */
static bool is_host_and_port(const char *text) {
        const char *colon = strrchr(text, ':');

        if (!colon)
                return false;
        if (text[0] == '[')
                return colon > text && colon[-1] == ']';
        return strchr(text, ':') == colon;
}

static void validate_quobyte(const struct volume_walk *w, path_t path) {
        static const char sentence[] = "must be a host:port pair or multiple pairs separated by commas";
        const V1QuobyteVolumeSource *quobyte = w->volume->volumesource->quobyte;
        _cleanup_strv_ char **pairs = NULL;

        if (str_empty(quobyte->registry)) {
                fault_required(w->diags, CHILD(path, "registry"), sentence);
                return;
        }
        if (strlen(text_or_empty(quobyte->tenant)) > 64) {
                fault_required(w->diags, CHILD(path, "tenant"),
                               "must be a UUID and may not exceed a length of 64 characters");
                return;
        }
        pairs = strv_split(quobyte->registry, ',');
        for (char **pair = pairs; pair && *pair; pair++)
                if (!is_host_and_port(*pair))
                        fault_invalid(w->diags, CHILD(path, "registry"), quobyte->registry, sentence);
}

/* One file of a downwardAPI volume; its faults are reported at the volume, without an index. */
static void validate_downward_file(struct diagnostics *diags, const V1DownwardAPIVolumeFile *file, path_t path) {
        if (str_empty(file->path))
                fault_required(diags, CHILD(path, "path"), NULL);
        validate_unreserved_path(diags, text_or_empty(file->path), CHILD(path, "path"));
        if (file->fieldref) {
                validate_volume_field_ref(diags, file->fieldref, CHILD(path, "fieldRef"));
                if (file->resourcefieldref)
                        fault_invalid(diags, path, "resource",
                                      "fieldRef and resourceFieldRef can not be specified simultaneously");
        } else if (file->resourcefieldref)
                validate_volume_resource_ref(diags, file->resourcefieldref, CHILD(path, "resourceFieldRef"));
        else
                fault_required(diags, path, "one of fieldRef and resourceFieldRef is required");
        validate_mode(diags, file->has_mode, file->mode, CHILD(path, "mode"));
}

static void validate_downward_api(const struct volume_walk *w, path_t path) {
        const V1DownwardAPIVolumeSource *downward = w->volume->volumesource->downwardapi;

        validate_mode(w->diags, downward->has_defaultmode, downward->defaultmode, CHILD(path, "defaultMode"));
        for (size_t i = 0; i < downward->n_items; i++)
                validate_downward_file(w->diags, downward->items[i], path);
}

static void validate_fc(const struct volume_walk *w, path_t path) {
        const V1FCVolumeSource *fc = w->volume->volumesource->fc;

        if (fc->n_targetwwns == 0 && fc->n_wwids == 0)
                fault_required(w->diags, CHILD(path, "targetWWNs"),
                               "must specify either targetWWNs or wwids, but not both");
        if (fc->n_targetwwns > 0 && fc->n_wwids > 0)
                fault_invalid_object(w->diags, CHILD(path, "targetWWNs"),
                                     "targetWWNs and wwids can not be specified simultaneously");
        if (fc->n_targetwwns == 0)
                return;
        if (!fc->has_lun)
                fault_required(w->diags, CHILD(path, "lun"), "lun is required if targetWWNs is specified");
        else
                validate_range(w->diags, fc->lun, 0, 255, CHILD(path, "lun"));
}

static void validate_flex(const struct volume_walk *w, path_t path) {
        const V1FlexVolumeSource *flex = w->volume->volumesource->flexvolume;

        for (size_t i = 0; i < flex->n_options; i++) {
                const char *key = text_or_empty(flex->options[i]->key);
                _cleanup_free_ char *domain = xasprintf(".%.*s", (int)strcspn(key, "/"), key);

                for (char *p = domain; *p; p++)
                        if (*p >= 'A' && *p <= 'Z')
                                *p = (char)(*p - 'A' + 'a');
                if (str_ends_with(domain, ".kubernetes.io") || str_ends_with(domain, ".k8s.io"))
                        fault_invalid(w->diags, KEY(CHILD(path, "options"), key), key,
                                      "kubernetes.io and k8s.io namespaces are reserved");
        }
}

static void validate_azure_disk(const struct volume_walk *w, path_t path) {
        const V1AzureDiskVolumeSource *disk = w->volume->volumesource->azuredisk;
        const char *uri = text_or_empty(disk->diskuri);

        if (disk->cachingmode)
                validate_word(w->diags, disk->cachingmode, azure_caching_modes, CHILD(path, "cachingMode"));
        if (!disk->kind)
                return;
        validate_word(w->diags, disk->kind, azure_kinds, CHILD(path, "kind"));
        if (streq(disk->kind, "Managed") && !str_starts_with(uri, "/subscriptions/"))
                diagnostics_add_unsupported_value(w->diags, CHILD(path, "diskURI"), uri, azure_managed_uris);
        if (!streq(disk->kind, "Managed") && !str_starts_with(uri, "https://"))
                diagnostics_add_unsupported_value(w->diags, CHILD(path, "diskURI"), uri, azure_blob_uris);
}

static void validate_storageos(const struct volume_walk *w, path_t path) {
        const V1StorageOSVolumeSource *os = w->volume->volumesource->storageos;

        if (!str_empty(os->volumename))
                validate_text(w->diags, os->volumename, text_check_dns_label, CHILD(path, "volumeName"));
        if (!str_empty(os->volumenamespace))
                validate_text(w->diags, os->volumenamespace, text_check_dns_label, CHILD(path, "volumeNamespace"));
        validate_secret_ref(w->diags, os->secretref, path);
}

/* Files of a projected volume so far: no two sources may write the same one. */
struct projected_paths {
        const char **paths;
        size_t n;
};

static void add_projected_path(const struct volume_walk *w, struct projected_paths *seen, const char *file,
                               const char *shown, path_t volume) {
        if (str_empty(file))
                return;
        for (size_t i = 0; i < seen->n; i++)
                if (streq(seen->paths[i], file)) {
                        fault_invalid(w->diags, volume, shown, "conflicting duplicate paths");
                        return;
                }
        seen->paths = xreallocarray(seen->paths, seen->n + 1, sizeof(*seen->paths));
        seen->paths[seen->n++] = file;
}

static void validate_projected_object(const struct volume_walk *w, struct projected_paths *seen, const char *name,
                                      V1KeyToPath *const *items, size_t n_items, path_t path, path_t volume) {
        if (!*name)
                fault_required(w->diags, CHILD(path, "name"), NULL);
        validate_items(w->diags, items, n_items, CHILD(path, "items"));
        for (size_t i = 0; i < n_items; i++)
                add_projected_path(w, seen, items[i]->path, name, volume);
}

static void validate_projected_token(const struct volume_walk *w, const V1ServiceAccountTokenProjection *token,
                                     path_t path, path_t volume) {
        if (token->expirationseconds < 10 * 60)
                fault_invalid_int(w->diags, CHILD(path, "expirationSeconds"), token->expirationseconds,
                                  "may not specify a duration less than 10 minutes");
        if (token->expirationseconds > INT64_C(1) << 32)
                fault_invalid_int(w->diags, CHILD(path, "expirationSeconds"), token->expirationseconds,
                                  "may not specify a duration larger than 2^32 seconds");
        if (str_empty(token->path))
                fault_required(w->diags, CHILD(volume, "path"), NULL);
        else
                validate_unreserved_path(w->diags, token->path, CHILD(volume, "path"));
        /* Kubernetes also wants serviceAccountName; its admission has set "default" by the time this is asked. */
}

static void validate_projection(const struct volume_walk *w, struct projected_paths *seen, const V1VolumeProjection *p,
                                path_t path, path_t volume) {
        size_t n = 0;

        if (p->secret && ++n)
                validate_projected_object(w, seen, secret_name(p->secret->localobjectreference), p->secret->items,
                                          p->secret->n_items, CHILD(path, "secret"), volume);
        if (p->configmap && ++n)
                validate_projected_object(w, seen, secret_name(p->configmap->localobjectreference), p->configmap->items,
                                          p->configmap->n_items, CHILD(path, "configMap"), volume);
        if (p->downwardapi && ++n)
                for (size_t i = 0; i < p->downwardapi->n_items; i++) {
                        const V1DownwardAPIVolumeFile *file = p->downwardapi->items[i];

                        validate_downward_file(w->diags, file, CHILD(path, "downwardAPI"));
                        add_projected_path(w, seen, file->path, file->path, volume);
                }
        if (p->serviceaccounttoken && ++n)
                validate_projected_token(w, p->serviceaccounttoken, CHILD(path, "serviceAccountToken"), volume);
        /* clusterTrustBundle and podCertificate are behind gates that are off: they were dropped with the defaults. */
        if (n > 1)
                fault_forbidden(w->diags, path, "may not specify more than 1 volume type per source");
}

static void validate_projected(const struct volume_walk *w, path_t path) {
        const V1ProjectedVolumeSource *projected = w->volume->volumesource->projected;
        struct projected_paths seen = { 0 };

        validate_mode(w->diags, projected->has_defaultmode, projected->defaultmode, CHILD(path, "defaultMode"));
        for (size_t i = 0; i < projected->n_sources; i++)
                validate_projection(w, &seen, projected->sources[i], INDEX(CHILD(path, "sources"), i), path);
        free(seen.paths);
}

static void validate_csi(const struct volume_walk *w, path_t path) {
        const V1CSIVolumeSource *csi = w->volume->volumesource->csi;
        _cleanup_free_ char *lower = xstrdup(text_or_empty(csi->driver));
        struct text_faults faults = { 0 };

        if (strlen(lower) > 63)
                fault_too_long(w->diags, CHILD(path, "driver"), 63);
        for (char *p = lower; *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p = (char)(*p - 'A' + 'a');
        text_check_dns_subdomain(lower, &faults);
        for (size_t i = 0; i < faults.n; i++)
                fault_invalid(w->diags, CHILD(path, "driver"), csi->driver, faults.sentence[i]);

        if (!csi->nodepublishsecretref)
                return;
        if (str_empty(csi->nodepublishsecretref->name))
                fault_required(w->diags, CHILD(CHILD(path, "nodePublishSecretRef"), "name"), NULL);
        else
                validate_text(w->diags, csi->nodepublishsecretref->name, text_check_dns_subdomain, CHILD(path, "name"));
}

static void validate_ephemeral(const struct volume_walk *w, path_t path) {
        const V1EphemeralVolumeSource *ephemeral = w->volume->volumesource->ephemeral;
        _cleanup_free_ char *claim = NULL;
        struct text_faults faults = { 0 };

        if (!ephemeral->volumeclaimtemplate)
                fault_required(w->diags, CHILD(path, "volumeClaimTemplate"), NULL);
        else
                validate_claim_template(w->diags, ephemeral->volumeclaimtemplate, CHILD(path, "volumeClaimTemplate"));
        if (str_empty(w->pod->meta->name) || str_empty(w->volume->name))
                return;
        /* The claim made for it is called POD-VOLUME. */
        claim = xasprintf("%s-%s", w->pod->meta->name, w->volume->name);
        text_check_dns_subdomain(claim, &faults);
        for (size_t i = 0; i < faults.n; i++)
                diagnostics_add_string(w->diags, DIAGNOSTIC_INVALID, CHILD(path->parent, "name"), w->volume->name,
                                       "PVC name \"%s\": %s", claim, faults.sentence[i]);
}

static void validate_image(const struct volume_walk *w, path_t path) {
        const V1ImageVolumeSource *image = w->volume->volumesource->image;
        const char *reference = text_or_empty(image->reference);
        size_t len = strlen(reference);

        if (len == 0)
                fault_required(w->diags, CHILD(path, "reference"), NULL);
        else if (strchr(" \t\n\v\f\r", reference[0]) || strchr(" \t\n\v\f\r", reference[len - 1]))
                fault_invalid(w->diags, CHILD(path, "reference"), reference,
                              "must not have leading or trailing whitespace");
        validate_required_word(w->diags, image->pullpolicy, pull_policies, CHILD(path, "pullPolicy"));
}

/* One row a volume type, in the order in which Kubernetes looks for them: the second one found is forbidden by its
 * path. `required` are texts or lists that must not be empty; `validate` (may be NULL) has the rest. Where Kubernetes
 * writes a path differently from the field, that is kept: error messages are compared. */
#define SOURCE(member) offsetof(V1VolumeSource, member)
static const struct volume_type {
        const char *name;
        size_t offset;
        const char *path;           /* NULL: the name */
        const char *path_if_second; /* NULL: the name */
        const char *required[4];
        void (*validate)(const struct volume_walk *w, path_t path);
} volume_types[] = {
        { "emptyDir", SOURCE(emptydir), NULL, NULL, { NULL }, validate_empty_dir },
        { "hostPath", SOURCE(hostpath), NULL, NULL, { NULL }, validate_host_path },
        { "gitRepo", SOURCE(gitrepo), NULL, NULL, { "repository" }, validate_git_repo },
        { "gcePersistentDisk", SOURCE(gcepersistentdisk), "persistentDisk", NULL, { "pdName" }, validate_gce_disk },
        { "awsElasticBlockStore", SOURCE(awselasticblockstore), NULL, NULL, { "volumeID" }, validate_aws_disk },
        { "secret", SOURCE(secret), NULL, NULL, { "secretName" }, validate_secret },
        { "nfs", SOURCE(nfs), NULL, NULL, { "server", "path" }, validate_nfs },
        { "iscsi", SOURCE(iscsi), NULL, NULL, { "targetPortal", "iqn" }, validate_iscsi },
        { "glusterfs", SOURCE(glusterfs), NULL, NULL, { "endpoints", "path" }, NULL },
        { "flocker", SOURCE(flocker), NULL, NULL, { NULL }, validate_flocker },
        { "persistentVolumeClaim", SOURCE(persistentvolumeclaim), NULL, NULL, { "claimName" }, NULL },
        { "rbd", SOURCE(rbd), NULL, NULL, { "monitors", "image" }, NULL },
        { "cinder", SOURCE(cinder), NULL, NULL, { "volumeID" }, validate_cinder },
        { "cephfs", SOURCE(cephfs), NULL, "cephFS", { "monitors" }, NULL },
        { "quobyte", SOURCE(quobyte), NULL, NULL, { "volume" }, validate_quobyte },
        { "downwardAPI", SOURCE(downwardapi), NULL, "downwarAPI", { NULL }, validate_downward_api },
        { "fc", SOURCE(fc), NULL, NULL, { NULL }, validate_fc },
        { "flexVolume", SOURCE(flexvolume), NULL, NULL, { "driver" }, validate_flex },
        { "configMap", SOURCE(configmap), NULL, NULL, { NULL }, validate_config_map },
        { "azureFile", SOURCE(azurefile), NULL, NULL, { "secretName", "shareName" }, NULL },
        { "vsphereVolume", SOURCE(vspherevolume), NULL, NULL, { "volumePath" }, NULL },
        { "photonPersistentDisk", SOURCE(photonpersistentdisk), NULL, NULL, { "pdID" }, NULL },
        { "portworxVolume", SOURCE(portworxvolume), NULL, NULL, { "volumeID" }, NULL },
        { "azureDisk", SOURCE(azuredisk), NULL, NULL, { "diskName", "diskURI" }, validate_azure_disk },
        { "storageos", SOURCE(storageos), NULL, NULL, { "volumeName" }, validate_storageos },
        { "projected", SOURCE(projected), NULL, NULL, { NULL }, validate_projected },
        { "scaleIO", SOURCE(scaleio), NULL, NULL, { "gateway", "system", "volumeName" }, NULL },
        { "csi", SOURCE(csi), NULL, NULL, { "driver" }, validate_csi },
        { "ephemeral", SOURCE(ephemeral), NULL, NULL, { NULL }, validate_ephemeral },
        { "image", SOURCE(image), NULL, NULL, { NULL }, validate_image },
};

/* A text that is there but empty is missing, too. */
static bool has_content(const ProtobufCMessage *message, const char *name) {
        const ProtobufCFieldDescriptor *field =
                protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

        if (!message_has(message, name))
                return false;
        return field->label == PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_STRING ||
               **(char *const *)((const char *)message + field->offset) != '\0';
}

static void validate_source(const struct volume_walk *w, path_t path) {
        const V1VolumeSource *source = w->volume->volumesource;
        size_t n = 0;

        for (size_t i = 0; source && i < ARRAY_SIZE(volume_types); i++) {
                const struct volume_type *type = &volume_types[i];
                const ProtobufCMessage *message = *(ProtobufCMessage *const *)((const char *)source + type->offset);
                path_t at = CHILD(path, type->path ? type->path : type->name);

                if (!message)
                        continue;
                if (n++ > 0) {
                        fault_forbidden(w->diags, CHILD(path, type->path_if_second ? type->path_if_second : type->name),
                                        "may not specify more than 1 volume type");
                        continue;
                }
                for (const char *const *name = type->required; *name; name++)
                        if (!has_content(message, *name))
                                fault_required(w->diags, CHILD(at, *name), NULL);
                if (type->validate)
                        type->validate(w, at);
        }
        if (n == 0)
                fault_required(w->diags, path, "must specify a volume type");
}

/* A claim that the pod itself makes (ephemeral volume) cannot be named by another of its volumes. */
static bool is_own_claim(const struct pod_walk *walk, const char *claim) {
        size_t len = strlen(text_or_empty(walk->meta->name));

        if (len == 0 || strncmp(claim, walk->meta->name, len) != 0 || claim[len] != '-')
                return false;
        for (size_t i = 0; i < walk->spec->n_volumes; i++) {
                const V1Volume *volume = walk->spec->volumes[i];

                if (volume->volumesource && volume->volumesource->ephemeral &&
                    streq(text_or_empty(volume->name), claim + len + 1))
                        return true;
        }
        return false;
}

void validate_volumes(struct pod_walk *walk, path_t path) {
        for (size_t i = 0; i < walk->spec->n_volumes; i++) {
                const V1Volume *volume = walk->spec->volumes[i];
                const V1VolumeSource *source = volume->volumesource;
                path_t at = INDEX(path, i);
                size_t before = walk->diags->n;

                validate_source(&(struct volume_walk){ walk->diags, walk, volume }, at);
                validate_name(walk->diags, volume->name, text_check_dns_label, CHILD(at, "name"));
                if (!str_empty(volume->name) && pod_walk_volume(walk, volume->name))
                        fault_duplicate(walk->diags, CHILD(at, "name"), volume->name);
                /* Only a volume without a fault can be mounted: a mount of a bad one is "Not found", too. */
                if (walk->diags->n == before)
                        walk->volumes[walk->n_volumes++] = volume;

                if (source && source->persistentvolumeclaim &&
                    is_own_claim(walk, text_or_empty(source->persistentvolumeclaim->claimname)))
                        fault_invalid(walk->diags, CHILD(CHILD(at, "persistentVolumeClaim"), "claimName"),
                                      source->persistentvolumeclaim->claimname,
                                      "must not reference a PVC that gets created for an ephemeral volume");
        }
}
