#include "api/downward.h"
