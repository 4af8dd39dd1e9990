#include "sandbox/hosts.h"
