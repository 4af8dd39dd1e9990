/* attach.h - the caller's terminal on the streams of a container that runs, for `attach` and `run -i`. */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "store/store.h"

struct attach_options {
        bool use_stdin, use_tty, quiet;
        bool *saw_output; /* set if the container printed anything meanwhile; NULL: of no interest */
};

/* Copies until the container ends, its output ends, or the caller's input ends and there is nothing left to see. The
 * container's exit status goes to *ret_status, -1 if it was not learnt. */
struct error *attach_container(struct store *store, const json_t *pod, const char *container,
                               const struct attach_options *options, int *ret_status) _must_check_;
