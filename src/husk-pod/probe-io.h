/* probe-io.h - one network probe (or HTTP hook), done by the loop: connect, ask, judge the answer.
 *
 * As a kubelet does it: from the node to the pod's address, with Go's words for what goes wrong, because people search
 * for those. Plain TCP, HTTP/1.1 and gRPC's health check; what needs TLS is husk-probe's. */
#pragma once

#include "husk-pod/ops.h"
#include "loop/loop.h"

enum probe_io_kind { PROBE_IO_TCP, PROBE_IO_HTTP, PROBE_IO_GRPC };

struct probe_io_request {
        enum probe_io_kind kind;
        const char *host; /* address, or a name that is looked up */
        uint16_t port;
        const char *path; /* HTTP: path and query */
        V1HTTPHeader *const *headers;
        size_t n_headers;
        bool any_status;     /* HTTP: any answer is a success (hooks) */
        const char *service; /* gRPC; NULL: "" */
        int64_t timeout_ns;  /* 0: none */
};

struct probe_io;
/* Called once; the probe has been freed by then. */
typedef void (*probe_io_callback)(void *arg, enum run_result result, const char *message);

/* Strings of the request are copied. The callback never comes from within this call. */
struct probe_io *probe_io_new(struct loop *loop, const struct probe_io_request *request, probe_io_callback callback,
                              void *arg);
struct probe_io *probe_io_free(struct probe_io *probe); /* then nothing is told */
