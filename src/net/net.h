/* net.h - */
#pragma once
#include "base/error.h"
