/* control.h - asking a living supervisor something: the client's side of husk-pod/control.h. */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "store/store.h"

/* Sends {"<request>": body} with descriptors and reads the answer; an {"error": …} becomes an error. The connection
 * stays open and is the caller's; *ret_fd (may be NULL) is the descriptor that came with the answer, else negative. */
struct error *control_call(struct store *store, const char *uid, const char *request, json_t *body, const int *fds,
                           size_t n_fds, json_t **ret_answer, int *ret_fd, int *ret_connection) _must_check_;
