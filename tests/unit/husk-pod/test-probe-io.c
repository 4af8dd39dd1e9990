#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/str.h"
#include "husk-pod/probe-io.h"
#include "test.h"

/* A server on 127.0.0.1 in a process of its own: reads one request, then gives each of its answers in turn (one a
 * connection; NULL: says nothing), keeping what it was asked. */
static pid_t server;
static uint16_t port;
static int asked[2];
static char request[4096];

static void serve(int listener, const char *const *answers, const size_t *lengths) {
        for (size_t n = 0;; n++) {
                char buf[4096];
                int fd = accept(listener, NULL, NULL);
                ssize_t len = recv(fd, buf, sizeof(buf), 0);
                if (len > 0 && write(asked[1], buf, len) < 0)
                        _exit(1);
                if (!answers[n]) {
                        pause();
                        _exit(0);
                }
                usleep(20000);
                if (send(fd, answers[n], lengths ? lengths[n] : strlen(answers[n]), MSG_NOSIGNAL) < 0)
                        _exit(2);
                close(fd);
        }
}

static void server_start(const char *const *answers, const size_t *lengths) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof(address);
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(listener, 10), 0);
        getsockname(listener, (struct sockaddr *)&address, &len);
        port = ntohs(address.sin_port);
        assert_int_equal(pipe(asked), 0);
        server = fork();
        if (server == 0)
                serve(listener, answers, lengths);
        close(listener);
}

static void server_stop(_unused_ int *unused) {
        if (server > 0) {
                kill(server, SIGKILL);
                waitpid(server, NULL, 0);
                close(asked[0]);
                close(asked[1]);
        }
        server = 0;
}
#define WITH_SERVER(lengths, ...) \
        _cleanup_(server_stop) _unused_ int _server_guard = 0; \
        server_start((const char *const[]){ __VA_ARGS__, NULL }, lengths)

static struct loop *loop;
static enum run_result result;
static char message[1024];

static void done(void *arg, enum run_result r, const char *text) {
        result = r;
        snprintf(message, sizeof(message), "%s", text);
        loop_stop(loop);
}

static void probe(struct probe_io_request r) {
        if (!r.host)
                r.host = "127.0.0.1";
        if (!r.port)
                r.port = port;
        if (!r.timeout_ns)
                r.timeout_ns = 3 * NSEC_PER_SEC;
        assert_ok(loop_new(&loop));
        probe_io_new(loop, &r, done, NULL);
        assert_ok(loop_run(loop));
        loop = loop_free(loop);
        if (server > 0) {
                fcntl(asked[0], F_SETFL, O_NONBLOCK);
                ssize_t n = read(asked[0], request, sizeof(request) - 1);
                request[n > 0 ? n : 0] = '\0';
        }
}

/* A port on which nobody listens. */
static uint16_t closed_port(void) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        getsockname(fd, (struct sockaddr *)&address, &len);
        close(fd);
        return ntohs(address.sin_port);
}

TEST(tcp_succeeds_where_somebody_listens_and_fails_in_gos_words_elsewhere) {
        char wanted[128];
        WITH_SERVER(NULL, "");
        probe((struct probe_io_request){ .kind = PROBE_IO_TCP });
        assert_int_equal(result, RUN_SUCCESS);
        uint16_t closed = closed_port();
        probe((struct probe_io_request){ .kind = PROBE_IO_TCP, .port = closed });
        assert_int_equal(result, RUN_FAILURE);
        snprintf(wanted, sizeof(wanted), "dial tcp 127.0.0.1:%u: connect: connection refused", closed);
        assert_string_equal(message, wanted);
}

TEST(http_sends_what_a_kubelet_sends) {
        V1HTTPHeader host = V1_HTTPHEADER__INIT, custom = V1_HTTPHEADER__INIT;
        V1HTTPHeader *headers[] = { &host, &custom };
        WITH_SERVER(NULL, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

        host.name = "Host";
        host.value = "example.com";
        custom.name = "X-Custom";
        custom.value = "yes";
        probe((struct probe_io_request){
                .kind = PROBE_IO_HTTP, .path = "/healthz?full=1", .headers = headers, .n_headers = 2 });
        assert_int_equal(result, RUN_SUCCESS);
        assert_string_equal(request, "GET /healthz?full=1 HTTP/1.1\r\nHost: example.com\r\nX-Custom: yes\r\n"
                                     "User-Agent: kube-probe/1.36\r\nAccept: */*\r\nConnection: close\r\n\r\n");
}

TEST(http_counts_200_to_399_as_success) {
        WITH_SERVER(NULL, "HTTP/1.0 399 Odd\r\n\r\n", "HTTP/1.1 404 Not Found\r\n\r\nx", "HTTP/1.1 500 No\r\n\r\n");
        probe((struct probe_io_request){ .kind = PROBE_IO_HTTP });
        assert_int_equal(result, RUN_SUCCESS);
        probe((struct probe_io_request){ .kind = PROBE_IO_HTTP });
        assert_int_equal(result, RUN_FAILURE);
        assert_string_equal(message, "HTTP probe failed with statuscode: 404");
        probe((struct probe_io_request){ .kind = PROBE_IO_HTTP, .any_status = true });
        assert_int_equal(result, RUN_SUCCESS);
}

TEST(http_follows_a_redirect_to_the_same_host_and_stops_at_another) {
        WITH_SERVER(NULL, "HTTP/1.1 302 Found\r\nLocation: /other\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
                    "HTTP/1.1 301 Moved\r\nlocation: http://elsewhere.example/\r\n\r\n");
        probe((struct probe_io_request){ .kind = PROBE_IO_HTTP, .path = "first" });
        assert_int_equal(result, RUN_SUCCESS);
        assert_non_null(strstr(request, "GET /first "));
        assert_non_null(strstr(request, "GET /other "));
        probe((struct probe_io_request){ .kind = PROBE_IO_HTTP });
        assert_int_equal(result, RUN_WARNING);
}

TEST(a_hook_follows_a_redirect_to_the_same_host_and_is_content_with_one_to_another) {
        WITH_SERVER(NULL, "HTTP/1.1 302 Found\r\nLocation: /other\r\n\r\n", "HTTP/1.1 500 No\r\n\r\n",
                    "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\n\r\n");
        probe((struct probe_io_request){ .kind = PROBE_IO_HTTP, .path = "first", .any_status = true });
        assert_int_equal(result, RUN_SUCCESS);
        assert_non_null(strstr(request, "GET /other "));
        probe((struct probe_io_request){ .kind = PROBE_IO_HTTP, .any_status = true });
        assert_int_equal(result, RUN_SUCCESS);
}

TEST(http_says_what_is_wrong) {
        char wanted[256];
        WITH_SERVER(NULL, "", "nonsense\r\n\r\n");
        probe((struct probe_io_request){ .kind = PROBE_IO_HTTP, .path = "/x" });
        assert_int_equal(result, RUN_FAILURE);
        snprintf(wanted, sizeof(wanted), "Get \"http://127.0.0.1:%u/x\": EOF", port);
        assert_string_equal(message, wanted);
        probe((struct probe_io_request){ .kind = PROBE_IO_HTTP });
        assert_int_equal(result, RUN_FAILURE);
        assert_non_null(strstr(message, "malformed HTTP response"));
        probe((struct probe_io_request){ .kind = PROBE_IO_HTTP, .timeout_ns = 50 * NSEC_PER_MSEC });
        assert_int_equal(result, RUN_FAILURE);
        assert_non_null(strstr(message, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"));
        probe((struct probe_io_request){ .kind = PROBE_IO_HTTP, .host = "no-such-host.invalid", .port = 80 });
        assert_int_equal(result, RUN_FAILURE);
        assert_non_null(strstr(message, "no such host"));
}

/* SETTINGS; its ACK; HEADERS; DATA with {status}; trailers with grpc-status 0: as a gRPC server answers. */
#define GRPC_ANSWER(status) \
        "\0\0\0\4\0\0\0\0\0" \
        "\0\0\0\4\1\0\0\0\0" \
        "\0\0\x14\1\4\0\0\0\1\x88\x0f\x10\x10" \
        "application/grpc" \
        "\0\0\7\0\0\0\0\0\1\0\0\0\0\2\x08" status "\0\0\x0f\1\5\0\0\0\1\0\x0b" \
        "grpc-status" \
        "\1" \
        "0"

TEST(grpc_asks_for_health_and_understands_the_answer) {
        static const char serving[] = GRPC_ANSWER("\1"), not_serving[] = GRPC_ANSWER("\2");
        static const char unknown[] = "\0\0\0\4\0\0\0\0\0\0\0\x10\1\5\0\0\0\1\0\x0b"
                                      "grpc-status"
                                      "\2"
                                      "12";
        size_t lengths[] = { sizeof(serving) - 1, sizeof(not_serving) - 1, sizeof(unknown) - 1 };
        WITH_SERVER(lengths, serving, not_serving, unknown);

        probe((struct probe_io_request){ .kind = PROBE_IO_GRPC, .service = "db" });
        assert_string_equal(message, "service healthy");
        assert_int_equal(result, RUN_SUCCESS);
        assert_int_equal(memcmp(request, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), 0);
        probe((struct probe_io_request){ .kind = PROBE_IO_GRPC });
        assert_int_equal(result, RUN_FAILURE);
        assert_string_equal(message, "service unhealthy (responded with \"NOT_SERVING\")");
        probe((struct probe_io_request){ .kind = PROBE_IO_GRPC });
        assert_int_equal(result, RUN_FAILURE);
        assert_non_null(strstr(message, "does not implement the grpc health protocol"));
}

TEST(grpc_survives_what_is_no_grpc) {
        static const char large[] = "\xff\xff\xff\0\0\0\0\0\1";
        size_t lengths[] = { 28, sizeof(large) - 1 };
        WITH_SERVER(lengths, "HTTP/1.1 400 Bad Request\r\n\r\n", large);
        probe((struct probe_io_request){ .kind = PROBE_IO_GRPC });
        assert_int_equal(result, RUN_FAILURE);
        probe((struct probe_io_request){ .kind = PROBE_IO_GRPC });
        assert_int_equal(result, RUN_FAILURE);
        probe((struct probe_io_request){ .kind = PROBE_IO_GRPC, .timeout_ns = 50 * NSEC_PER_MSEC });
        assert_int_equal(result, RUN_FAILURE);
        assert_non_null(strstr(message, "timeout: health rpc did not complete within"));
}

TEST(an_answer_without_an_end_is_not_taken_in_for_ever) {
        static const char data[] = "\0\0\x08\0\0\0\0\0\1"
                                   "\0\0\0\0\3abc";
        _cleanup_strbuf_ struct strbuf answer = STRBUF_INIT;

        while (answer.len < 4 << 20)
                strbuf_add(&answer, data, 17);
        size_t lengths[] = { answer.len };
        WITH_SERVER(lengths, answer.data);
        probe((struct probe_io_request){ .kind = PROBE_IO_GRPC, .timeout_ns = 20 * NSEC_PER_SEC });
        assert_int_equal(result, RUN_FAILURE);
        assert_non_null(strstr(message, "the answer has no end"));
}

TEST(a_probe_that_is_freed_says_nothing) {
        WITH_SERVER(NULL, "HTTP/1.1 200 OK\r\n\r\n");
        struct probe_io_request r = { .kind = PROBE_IO_HTTP, .host = "127.0.0.1", .port = port };
        struct loop_timer *stop;

        assert_ok(loop_new(&loop));
        result = RUN_ERROR;
        probe_io_free(probe_io_new(loop, &r, done, NULL));
        stop = loop_timer_new(loop, (loop_callback)loop_stop, loop);
        loop_timer_set(stop, 100 * NSEC_PER_MSEC);
        assert_ok(loop_run(loop));
        assert_int_equal(result, RUN_ERROR);
        loop_timer_free(stop);
        loop = loop_free(loop);
}
