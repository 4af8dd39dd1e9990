/* base64.h - bytes as text (RFC 4648): credentials, the data of Secrets, seccomp filters in annotations. */
#pragma once

#include "base/base.h"

/* With padding; owned by the caller. */
char *base64_encode(const void *data, size_t len);
/* Padding at the end may be missing. False if it is no base64; *ret has a NUL behind its *ret_len bytes. */
bool base64_decode(const char *text, char **ret, size_t *ret_len);
