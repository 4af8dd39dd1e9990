/* yaml-scalar.h - what a plain scalar means in Kubernetes' YAML 1.1, for the reader and the writer of yaml.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

enum yaml_scalar_type {
        SCALAR_STRING,
        SCALAR_NULL,
        SCALAR_TRUE,
        SCALAR_FALSE,
        SCALAR_INT,
        SCALAR_REAL,
        SCALAR_NOT_FINITE, /* .inf, .nan: numbers that JSON does not have */
        SCALAR_TIMESTAMP,  /* read as a string, but never written plain */
        SCALAR_MERGE,      /* << */
};

struct yaml_scalar {
        enum yaml_scalar_type type;
        int64_t integer;
        double real;
};

struct yaml_scalar yaml_scalar_resolve(const char *text);
/* 12:30 is a number in base 60 to other readers of YAML 1.1. */
bool yaml_scalar_is_base_60(const char *text);
