/* device.h - the host's devices, for privileged containers. */
#pragma once

#include <jansson.h>

#include "base/base.h"

/* All character and block devices below /dev as the runtime-spec's linux.devices; links, terminals of others (/dev/pts)
 * and what every container has of its own are left out. */
json_t *oci_host_devices(void);
