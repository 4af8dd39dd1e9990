/* probe-io-private.h - what the files of a network probe share: probe-io.c the connection, TCP and HTTP, probe-grpc.c
 * what is said over it in gRPC. */
#pragma once

#include "base/str.h"
#include "husk-pod/probe-io.h"

#define ANSWER_MAX (10 * 1024) /* bytes of an answer that are looked at */

struct probe_io {
        struct loop *loop;
        probe_io_callback callback;
        void *arg;

        enum probe_io_kind kind;
        char *host; /* as it was asked for */
        char *path, *service, *header_lines, *host_header;
        uint16_t port;
        bool any_status;
        int64_t timeout_ns;

        int fd;
        bool connected;
        struct loop_io *io;
        struct loop_timer *timer;
        struct loop_deferred *begin;
        struct loop_command *lookup;
        struct strbuf out; /* still to be sent */
        struct strbuf in;
        size_t received; /* over all its connections */
        int redirects;

        struct strbuf message; /* gRPC: the bytes of DATA frames */
        bool grpc_ended;
        int grpc_status; /* of the trailers; -1: none seen */
};

/* Frees the probe, then tells. Whoever calls it must not touch the probe any more. */
void probe_io_finish(struct probe_io *p, enum run_result result, const char *format, ...) _printf_(3, 4);
/* Finishes with a failure, in the words of the probe's kind around `text`. */
void probe_io_fail(struct probe_io *p, const char *text);
char *probe_io_address(const struct probe_io *p); /* "host:port", owned by the caller */

void probe_grpc_ask(struct probe_io *p);
/* Looks at what has come; `end`: nothing more will. Returns true when the probe is over. */
bool probe_grpc_receive(struct probe_io *p, bool end);
