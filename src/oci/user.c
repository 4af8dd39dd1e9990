#include "oci/user.h"
