/* window.h - the size of the caller's terminal, kept up to date in a terminal that the OCI runtime has made.
 *
 * crun copies between the two terminals and hands signals on, but of crun 1.8 (Debian 12) the size is set once, at the
 * start. */
#pragma once

#include "base/error.h"

/* Call this before the process becomes the runtime: leaves a helper behind, no child of this process, that hears of
 * each change of standard input's window and goes with this process. */
struct error *window_follow(void) _must_check_;
