/* confine.h - how a program gives up what it does not need before it touches what others wrote. For the rest of the
 * process's life and for its children; what the kernel does not have (Landlock before 5.19) is left out. */
#pragma once

#include "base/error.h"

/* Removes all capabilities but those in the list, ended by -1, from every set. */
struct error *confine_capabilities(const int *keep) _must_check_;

/* Landlock: below `writable` (a descriptor; negative: nothing) everything stays allowed, below `readable` (paths,
 * NULL-terminated, missing ones are skipped) reading; nothing else on any file system can be opened or changed, but
 * what is open stays so. No program that is executed gains privileges any more (no_new_privs). */
struct error *confine_paths(int writable, const char *const *readable) _must_check_;
