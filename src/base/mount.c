#include "base/mount.h"
