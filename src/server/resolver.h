/* resolver.h - starts husk-resolver, which answers pods' questions for names of pods. */
#pragma once

#include "base/error.h"
#include "store/store.h"

/* Starts it if <root>/config.yaml asks for it and there is none. Returns at once; pods that ask before it listens ask
 * again. A configuration that cannot be read is for the pod to tell of, and no error here. */
struct error *resolver_start(struct store *store) _must_check_;
/* Holds somebody the place of the node's resolver? */
bool resolver_is_running(struct store *store);
/* Where a resolver that does not run has written why. Owned by the caller. */
char *resolver_log_path(const struct store *store);
