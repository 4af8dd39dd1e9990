#include "husk/control.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file.h"
#include "base/socket.h"
#include "husk-pod/control.h"
#include "server/field.h"

/* Connects below a folder descriptor, so that the length of the path does not matter (sun_path holds 108 bytes). */
static struct error *control_connect(struct store *store, const char *uid, int *ret) {
        _cleanup_free_ char *folder = store_pod_run_folder(store, uid);
        _cleanup_close_ int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return error_errno(errno, "make a socket");
        if (folder_fd < 0)
                return error_new(ERROR_UNAVAILABLE, "pod %s has no supervisor", uid);
        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder_fd, CONTROL_SOCKET);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return error_errno(errno, "connect to the supervisor of pod %s", uid);
        *ret = TAKE_FD(fd);
        return NULL;
}

struct error *control_call(struct store *store, const char *uid, const char *request, json_t *body, const int *fds,
                           size_t n_fds, json_t **ret_answer, int *ret_fd, int *ret_connection) {
        _cleanup_json_ json_t *packet = json_pack("{s:o}", request, body);
        _cleanup_free_ char *text = json_dumps(packet, JSON_COMPACT);
        _cleanup_free_ char *buffer = xmalloc(CONTROL_PACKET_MAX);
        _cleanup_close_ int connection = -EBADF;
        int received[8];
        size_t n_received = ARRAY_SIZE(received);
        struct error *err;

        err = control_connect(store, uid, &connection);
        if (err)
                return err;
        int rc = socket_send(connection, text, strlen(text), fds, n_fds);
        if (rc < 0)
                return error_errno(-rc, "ask the supervisor of pod %s", uid);
        ssize_t len = socket_receive(connection, buffer, CONTROL_PACKET_MAX, received, &n_received, 0);
        if (len < 0)
                return error_errno(-len, "hear from the supervisor of pod %s", uid);
        for (size_t i = ret_fd ? 1 : 0; i < n_received; i++)
                fd_close(received[i]);
        if (ret_fd)
                *ret_fd = n_received ? received[0] : -EBADF;
        _cleanup_json_ json_t *answer = json_loadb(buffer, len, 0, NULL);
        const char *mistake = len == 0 ? "it hung up" : !answer ? "its answer is no JSON" : field_text(answer, "error");
        if (mistake) {
                if (ret_fd)
                        *ret_fd = fd_close(*ret_fd);
                return error_new(ERROR_BAD_REQUEST, "%s: %s", request, mistake);
        }
        if (ret_answer)
                *ret_answer = TAKE_PTR(answer);
        if (ret_connection)
                *ret_connection = TAKE_FD(connection);
        return NULL;
}
