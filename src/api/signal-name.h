/* signal-name.h - signals by the names that manifests and images use. */
#pragma once

#include "base/base.h"

/* Every name Kubernetes knows for a signal of Linux, in alphabetical order and NULL-terminated: "SIGABRT" … "SIGXFSZ",
 * real-time ones as "SIGRTMIN+1" … "SIGRTMIN+15" and "SIGRTMAX-14" … "SIGRTMAX" (core/v1 Signal, KEP-4960). */
extern const char *const signal_names[];

/* The number of a signal given as in a Pod ("SIGUSR1") or an image's STOPSIGNAL, where "USR1", "RTMIN+3" and "10" are
 * common, too; 0 if it is none of them. */
int signal_from_name(const char *name);
/* The one of signal_names for a number; NULL: there is none. Of two names for one number it is the common one. */
const char *signal_to_name(int number);
