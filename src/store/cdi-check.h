/* cdi-check.h - inside src/store: is this a CDI specification whose every field husk carries out? */
#pragma once

#include <jansson.h>

#include "base/error.h"

/* An error names the field ("devices[0].containerEdits.mounts[1].hostPath: must be an absolute path"). */
struct error *cdi_check_spec(const json_t *spec) _must_check_;
