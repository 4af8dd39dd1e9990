/* probe-url.h - what a manifest says of an HTTP request, as Go's HTTP client, which a kubelet uses, puts it on the
 * wire. */
#pragma once

#include "api/api.h"

/* The request's path and query from httpGet.path: without the fragment, with what no path may have (blanks, bytes
 * beyond ASCII, …) written as %XX, and as it stands where it is well-formed already. A path that net/url cannot read
 * (control characters, a '%' without its digits) is taken as a name through and through. Owned by the caller. */
char *probe_request_path(const char *path);

/* The name of the first header whose value no request can carry (net/http refuses it), else NULL; borrowed. */
const char *probe_bad_header(V1HTTPHeader *const *headers, size_t n);
