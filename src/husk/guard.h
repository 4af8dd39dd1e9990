/* guard.h - a command that was started in a container ends when its caller is gone, and the caller's files stay its
 * own.
 *
 * The OCI runtime that husk becomes waits for the command but does not end it: killed, it leaves it behind, and with it
 * the caller's pipes open, for whose end somebody may wait for ever. */
#pragma once

#include "base/error.h"

/* Call this before the process becomes the runtime: leaves a helper behind, no child of this process, that ends the
 * command which the runtime has started if the runtime ends before it (where somebody reads from a pipe), and takes
 * back files that are standard streams, whose owner the runtime changes. */
struct error *guard_command(void) _must_check_;
