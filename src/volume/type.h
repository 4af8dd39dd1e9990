/* type.h - what the files of src/volume share: the table of volume types and the helpers behind it. */
#pragma once

#include "volume/payload.h"
#include "volume/volume.h"

struct volume_type {
        const char *name;    /* field of VolumeSource: "emptyDir" */
        size_t offset;       /* of its pointer in V1VolumeSource */
        bool read_only;      /* for every container, whatever its mounts say */
        bool relabelled;     /* its files get the SELinux label of a container that asks for one */
        bool late;           /* set up when a container mounts it, whose images are here only then */
        bool mapped;         /* setup has shown its files as the pod's user namespace does already */
        const char *options; /* more options of every mount of it, separated by commas; NULL: none */
        /* Where it is on the host; owned by the caller. */
        struct error *(*path)(const struct volume_context *context, const V1Volume *volume, char **ret);
        /* Makes it ready for containers; idempotent. NULL: nothing to do but its payload. */
        struct error *(*setup)(const struct volume_context *context, const V1Volume *volume);
        /* Files that husk itself writes into it, from objects; NULL: a volume without. */
        struct error *(*payload)(const struct volume_context *context, const V1Volume *volume, struct payload *ret);
};

/* The type of a volume; ERROR_NOT_SUPPORTED if it is none of husk's. */
struct error *volume_type_of(const V1Volume *volume, const struct volume_type **ret);

/* <root>/pods/<uid>/volumes and <run>/pods/<uid>/{volumes,subpaths}; owned by the caller. */
char *volume_disk_folder(const struct volume_context *context);
char *volume_object_folder(const struct volume_context *context);
char *volume_subpath_folder(const struct volume_context *context);
/* The common `path` of volumes on disk: <root>/pods/<uid>/volumes/<name>. */
struct error *volume_disk_path(const struct volume_context *context, const V1Volume *volume, char **ret);
const char *volume_namespace(const struct volume_context *context);
const V1Volume *volume_find(const V1Pod *pod, const char *name);

/* The types' functions. */
struct error *empty_dir_setup(const struct volume_context *context, const V1Volume *volume);
struct error *host_path_setup(const struct volume_context *context, const V1Volume *volume);
struct error *host_path_path(const struct volume_context *context, const V1Volume *volume, char **ret);
struct error *image_volume_setup(const struct volume_context *context, const V1Volume *volume);
struct error *claim_setup(const struct volume_context *context, const V1Volume *volume);
struct error *claim_path(const struct volume_context *context, const V1Volume *volume, char **ret);
struct error *object_setup(const struct volume_context *context, const V1Volume *volume);
struct error *object_path(const struct volume_context *context, const V1Volume *volume, char **ret);
struct error *config_map_payload(const struct volume_context *context, const V1Volume *volume, struct payload *ret);
struct error *secret_payload(const struct volume_context *context, const V1Volume *volume, struct payload *ret);
struct error *downward_payload(const struct volume_context *context, const V1Volume *volume, struct payload *ret);
struct error *projected_payload(const struct volume_context *context, const V1Volume *volume, struct payload *ret);
