/* nameservers.h - the file with the machine's own nameservers: who they are, and when that may be another one. */
#pragma once

#include "base/error.h"
#include "loop/loop.h"

/* Calls back when the file, or any of the links that lead to it, was written, replaced, made or removed; such files are
 * replaced more often than written. The watches live as long as the loop. */
struct error *nameservers_watch(struct loop *loop, const char *path, loop_callback changed, void *arg) _must_check_;
/* The servers in the file but those that are `own`, a list that ends with NULL; the caller's. */
struct error *nameservers_read(const char *path, const char *const *own, char ***ret) _must_check_;
