/* confine.h - how husk-image gives up what it does not need before it touches what others wrote.
 *
 * Two confinements, both for the rest of the process's life and for its children:
 *
 *   the main process, which speaks to registries and parses their JSON: no capability at all; Landlock lets it write
 *   below <root>/images only, and read what resolving names and checking certificates needs: pods, secrets and homes
 *   are out of its sight;
 *
 *   the unpacker's children, which decompress and unpack: an empty network namespace, their layer's folder as root
 *   folder, Landlock on that folder besides, a seccomp filter that knows some sixty harmless system calls, and only the
 *   capabilities that creating other people's files takes.
 *
 * What the kernel does not have (Landlock before 5.13) is left out; chroot, seccomp and capabilities remain. */
#pragma once

#include "base/confine.h"
#include "base/error.h"

/* Seccomp filter for a process that only reads and writes files: no sockets, no programs, no mounts, no namespaces, no
 * signals to others. A forbidden call fails with EPERM. */
struct error *confine_system_calls(void) _must_check_;

/* All of it for the main process; `images` is the folder. No programs can gain privileges any more. */
struct error *confine_main(const char *images, const char *const *readable) _must_check_;
/* All of it for a child that unpacks into the folder `root`. */
struct error *confine_unpacker(int root) _must_check_;
