/* error.h - a failure with its words.
 *
 * A function that can fail returns `struct error *`: NULL is success, anything else is owned by the caller, who
 * returns it (usually after error_context() has added the noun: "image x"), or handles and frees it. Library
 * code never logs; the program's outermost function or an event callback prints an error once. Expected answers
 * ("there is no such file") are results, not errors, wherever a caller is likely to ask.
 *
 * Every error has a reason in the words of the API server's protocol (metav1.StatusReason), and one table says what a
 * reason is as HTTP status, gRPC code and exit status. */
#pragma once

#include "base/base.h"

enum error_reason {
        ERROR_INTERNAL, /* anything without a better word */
        ERROR_NOT_FOUND,
        ERROR_ALREADY_EXISTS,
        ERROR_CONFLICT,    /* somebody else changed it meanwhile */
        ERROR_INVALID,     /* decoded, but breaks a rule (422) */
        ERROR_BAD_REQUEST, /* could not be decoded (400) */
        ERROR_FORBIDDEN,   /* not allowed, by a rule or by the kernel */
        ERROR_TIMEOUT,
        ERROR_UNAVAILABLE,   /* may work later: registry down, runtime missing */
        ERROR_NOT_SUPPORTED, /* husk or this machine cannot do it */
        ERROR_EXHAUSTED,     /* no space, no address, no id left */
        _ERROR_REASON_MAX,
};

struct error;

/* A new error; the message names operation and operand and has no trailing newline or full stop. */
struct error *error_new(enum error_reason reason, const char *format, ...) _must_check_ _printf_(2, 3);
/* From an errno given explicitly (positive); ": " and its text are appended, the reason follows from it. */
struct error *error_errno(int errnum, const char *format, ...) _must_check_ _printf_(2, 3);
/* Puts "<context>: " before the message; takes err and returns it; NULL stays NULL. */
struct error *error_context(struct error *err, const char *format, ...) _must_check_ _printf_(2, 3);

const char *error_message(const struct error *err);
enum error_reason error_reason(const struct error *err);
int error_errnum(const struct error *err); /* the errno it was made from, else 0 */
static inline bool error_is(const struct error *err, enum error_reason reason) {
        return err && error_reason(err) == reason;
}

struct error *error_free(struct error *err); /* accepts NULL, returns NULL */
static inline void error_freep(struct error **err) {
        *err = error_free(*err);
}
#define _cleanup_error_ _cleanup_(error_freep)
/* Takes err and keeps it in *first if that is the first one (NULL is none), so that one obstacle does not leave the
 * rest undone. */
void error_keep_first(struct error **first, struct error *err);

const char *error_reason_string(enum error_reason reason); /* "NotFound", "Invalid", … */
int error_reason_http(enum error_reason reason);
int error_reason_grpc(enum error_reason reason);
