#include "oci/env.h"
