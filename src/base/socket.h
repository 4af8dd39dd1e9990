/* socket.h - messages with descriptors over Unix sockets. */
#pragma once

#include "base/error.h"

/* Sends one message (SOCK_SEQPACKET or SOCK_DGRAM) with up to 8 descriptors. Returns 0 or -errno. */
int socket_send(int fd, const void *data, size_t len, const int *fds, size_t n_fds);
/* Receives one message; descriptors arrive O_CLOEXEC and are owned by the caller; *n_fds is capacity in, count out.
 * Returns its length, 0 at the end of the stream, or -errno (-EAGAIN: none there, if flags has MSG_DONTWAIT). */
ssize_t socket_receive(int fd, void *data, size_t size, int *fds, size_t *n_fds, int flags);
