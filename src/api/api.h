/* api.h - */
#pragma once
#include "base/error.h"
#include "core-v1.pb-c.h"
