#include "oci/seccomp.h"
