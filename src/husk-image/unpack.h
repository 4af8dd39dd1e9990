/* unpack.h - turns the tar stream of a layer into a folder that overlayfs can stack.
 *
 * The archive is hostile. Every name is resolved below the layer's folder (openat2, RESOLVE_IN_ROOT) and created there
 * with O_EXCL and O_NOFOLLOW, so neither "..", absolute names, symbolic links nor hard links lead out; what exceeds a
 * limit ends it. It runs in the confined child of unpacker.h, with that folder as its root besides.
 *
 * Whiteouts (OCI image-spec, layer.md) become what overlayfs looks for: ".wh.name" a character device 0/0 called name,
 * ".wh..wh..opq" the attribute trusted.overlay.opaque=y on the folder. No archive may bring trusted.* attributes of its
 * own: overlayfs would follow them (redirect, metacopy). */
#pragma once

#include "husk-image/tar.h"

struct unpack_limits {
        uint64_t size;      /* bytes of all files */
        uint64_t entries;   /* entries of the archive */
        uint64_t keep_free; /* bytes that must stay free on the disk */
};

struct unpack_result {
        uint64_t size; /* bytes of all files, holes not counted */
        uint64_t entries;
        uint64_t ignored_xattrs; /* attributes of kinds that no container needs, left out */
};

/* Unpacks below `root`, an empty folder. Errors: ERROR_BAD_REQUEST names the entry; ERROR_EXHAUSTED for limits and a
 * full disk. What was written until then stays there; the caller removes it. */
struct error *unpack_layer(int root, tar_source source, void *context, const struct unpack_limits *limits,
                           struct unpack_result *ret) _must_check_;
