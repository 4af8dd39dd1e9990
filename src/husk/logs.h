/* logs.h - a container's log for verbs other than `logs`. */
#pragma once

#include <jansson.h>

#include "husk/cli.h"

/* Prints all that the container's current (or last) run has printed so far. */
struct error *logs_print(struct cli *cli, const json_t *pod, const char *container) _must_check_;
