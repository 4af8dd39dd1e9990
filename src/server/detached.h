/* detached.h - programs that live on when whoever started them is gone. */
#pragma once

#include "base/error.h"

/* Starts a sister program (argv[0]) and returns at once. It has a session of its own without a terminal, default
 * signals, nothing of the caller's descriptors (the first three are /dev/null), and "/" as its folder. */
struct error *detached_start(char **argv) _must_check_;
