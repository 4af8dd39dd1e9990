#include "oci/oci.h"
