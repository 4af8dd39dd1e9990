/* oci.h - */
#pragma once
#include "base/error.h"
