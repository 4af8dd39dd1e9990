/* session.h - from a container that was just made to the caller's terminal on it: `run -i`, `debug -i`. */
#pragma once

#include <jansson.h>

#include "husk/attach.h"
#include "husk/cli.h"

/* Waits until a container of the pod runs or has run; *ret is the pod then. Else as session_run(). */
struct error *session_wait(struct cli *cli, const json_t *pod, const char *container, int64_t timeout_ns,
                           json_t **ret) _must_check_;
/* Waits until the container of the pod (as it was created or changed) runs, at most `timeout_ns` (negative: for ever),
 * and attaches to it until it ends; what was over before that is printed from its log. What keeps it from running is
 * told on standard error meanwhile. cli->status becomes the container's exit status, where that is known. */
struct error *session_run(struct cli *cli, const json_t *pod, const char *container, int64_t timeout_ns,
                          const struct attach_options *options) _must_check_;
