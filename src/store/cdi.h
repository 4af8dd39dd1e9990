/* cdi.h - devices that the machine offers to pods, as Container Device Interface specifications describe them
 * (https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md, version 1.0).
 *
 * A specification is a .json or .yaml file that whoever runs the machine, or a vendor's tool, has put into a folder. It
 * says of which kind its devices are ("vendor.com/class"), and how a container is changed that gets one: device nodes,
 * mounts, environment variables, hooks. A pod asks for any N devices of a kind by `resources.limits: {vendor.com/class:
 * N}`.
 *
 * A specification decides what a container may reach, so it is read like one: only files of root that nobody else may
 * write, bounded, every field known and of the right form; hooks run with root's rights outside of the container. A
 * file that is not so offers nothing, and is named in the node's conditions. */
#pragma once

#include <jansson.h>

#include "base/error.h"

struct cdi_device {
        char *kind;        /* "vendor.com/class" */
        char *name;        /* "0" */
        json_t *edits;     /* the device's containerEdits, an object */
        json_t *common;    /* those of its specification, applied once for all of its devices; an object */
        unsigned priority; /* of its folder: a device of a later one replaces that of an earlier one */
        bool conflict;     /* two files of one folder have it: nobody gets it */
        bool alias;        /* another name of a device before it in the list: the same kind and edits */
};

struct cdi_registry {
        struct cdi_device *devices; /* sorted by kind and name */
        size_t n;
        char **problems; /* "FILE: what is wrong with it" */
};
#define CDI_REGISTRY_INIT \
        { 0 }

/* Reads all specifications of these folders; missing folders are fine. */
void cdi_read(char *const *folders, struct cdi_registry *ret);
/* Adds the devices of one text. For files there is cdi_read(). */
struct error *cdi_parse(const char *text, size_t len, unsigned priority, struct cdi_registry *registry) _must_check_;
/* After the last cdi_parse(): sorts, and finds conflicts and other names. */
void cdi_settle(struct cdi_registry *registry);
/* Can a pod get it by its kind? Not what is in conflict, only another name, or "all" beside single devices. */
bool cdi_is_offered(const struct cdi_registry *registry, const struct cdi_device *device);
/* Number of devices offered of a kind; 0: there is no such kind. */
size_t cdi_count(const struct cdi_registry *registry, const char *kind);
const struct cdi_device *cdi_find(const struct cdi_registry *registry, const char *kind, const char *name);
void cdi_release(struct cdi_registry *registry);
#define _cleanup_cdi_ _cleanup_(cdi_release)
