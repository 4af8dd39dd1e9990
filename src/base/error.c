#include "base/error.h"

#include <stdio.h>

struct error {
        enum error_reason reason;
        int errnum;
        char *message;
};

static const struct {
        const char *name;
        int http;
        int grpc;
} reasons[_ERROR_REASON_MAX] = {
        [ERROR_INTERNAL] = { "InternalError", 500, 13 },
        [ERROR_NOT_FOUND] = { "NotFound", 404, 5 },
        [ERROR_ALREADY_EXISTS] = { "AlreadyExists", 409, 6 },
        [ERROR_CONFLICT] = { "Conflict", 409, 10 },
        [ERROR_INVALID] = { "Invalid", 422, 3 },
        [ERROR_BAD_REQUEST] = { "BadRequest", 400, 3 },
        [ERROR_FORBIDDEN] = { "Forbidden", 403, 7 },
        [ERROR_TIMEOUT] = { "Timeout", 504, 4 },
        [ERROR_UNAVAILABLE] = { "ServiceUnavailable", 503, 14 },
        [ERROR_NOT_SUPPORTED] = { "NotSupported", 501, 12 },
        [ERROR_EXHAUSTED] = { "ResourceExhausted", 507, 8 },
};

static enum error_reason reason_of_errno(int errnum) {
        switch (errnum) {
        case ENOENT:
        case ESRCH:
                return ERROR_NOT_FOUND;
        case EEXIST:
                return ERROR_ALREADY_EXISTS;
        case EACCES:
        case EPERM:
        case EROFS:
                return ERROR_FORBIDDEN;
        case ENOSPC:
        case EDQUOT:
        case EMFILE:
        case ENFILE:
                return ERROR_EXHAUSTED;
        case ETIMEDOUT:
                return ERROR_TIMEOUT;
        case ECONNREFUSED:
        case ENETUNREACH:
        case EHOSTUNREACH:
                return ERROR_UNAVAILABLE;
        case ENOSYS:
        case EOPNOTSUPP:
                return ERROR_NOT_SUPPORTED;
        default:
                return ERROR_INTERNAL;
        }
}

struct error *error_new(enum error_reason reason, const char *format, ...) {
        struct error *err = new0(struct error);
        va_list ap;

        err->reason = reason;
        va_start(ap, format);
        err->message = xvasprintf(format, ap);
        va_end(ap);
        return err;
}

struct error *error_errno(int errnum, const char *format, ...) {
        struct error *err = new0(struct error);
        _cleanup_free_ char *message = NULL;
        va_list ap;

        va_start(ap, format);
        message = xvasprintf(format, ap);
        va_end(ap);
        err->reason = reason_of_errno(errnum);
        err->errnum = errnum;
        err->message = xasprintf("%s: %s", message, strerror(errnum));
        return err;
}

struct error *error_context(struct error *err, const char *format, ...) {
        _cleanup_free_ char *context = NULL, *old = NULL;
        va_list ap;

        if (!err)
                return NULL;
        va_start(ap, format);
        context = xvasprintf(format, ap);
        va_end(ap);
        old = TAKE_PTR(err->message);
        err->message = xasprintf("%s: %s", context, old);
        return err;
}

const char *error_message(const struct error *err) {
        return err->message;
}

enum error_reason error_reason(const struct error *err) {
        return err->reason;
}

int error_errnum(const struct error *err) {
        return err->errnum;
}

struct error *error_free(struct error *err) {
        if (err) {
                free(err->message);
                free(err);
        }
        return NULL;
}

void error_keep_first(struct error **first, struct error *err) {
        if (!*first)
                *first = err;
        else
                error_free(err);
}

const char *error_reason_string(enum error_reason reason) {
        return reasons[reason].name;
}

int error_reason_http(enum error_reason reason) {
        return reasons[reason].http;
}

int error_reason_grpc(enum error_reason reason) {
        return reasons[reason].grpc;
}
