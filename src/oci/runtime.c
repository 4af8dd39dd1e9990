#include "oci/runtime.h"
