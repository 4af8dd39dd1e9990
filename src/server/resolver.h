/* resolver.h - starts husk-resolver, which answers pods' questions for names of pods. */
#pragma once

#include "base/error.h"
#include "store/store.h"

/* Starts it if <root>/config.yaml asks for it and there is none. Returns at once; pods that ask before it listens ask
 * again. A configuration that cannot be read is for the pod to tell of, and no error here. */
struct error *resolver_start(struct store *store) _must_check_;
/* Does the node's resolver listen? One may hold the place without: husk-resolver/main.c. */
bool resolver_is_answering(const struct store *store);
/* Where a resolver that does not has written why. Owned by the caller. */
char *resolver_log_path(const struct store *store);
