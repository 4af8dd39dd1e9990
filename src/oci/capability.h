/* capability.h - names of Linux capabilities. */
#pragma once

#include "base/base.h"

/* What a container has unless the Pod says otherwise: the set of 14 that docker, containerd and with them Kubernetes
 * use, 0xa80425fb. */
extern const uint64_t capabilities_default;

/* Those that this process may give away: what it has itself. All the kernel knows, for an unconfined root. */
uint64_t capabilities_available(void);
/* Number of "NET_ADMIN", "CAP_NET_ADMIN" or "cap_net_admin"; -1 if there is no such name. */
int capability_number(const char *name);
/* "CAP_NET_ADMIN"; NULL if the number has no name. */
const char *capability_name(unsigned number);
