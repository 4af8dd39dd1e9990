#include "oci/rootfs.h"
