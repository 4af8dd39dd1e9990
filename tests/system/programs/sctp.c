/* sctp serve PORT: answers each association, of both families, with the address that it comes from, and ends it.
 * sctp ask IP PORT: begins one and prints the answer. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int fail(const char *what) {
        perror(what);
        return 1;
}

static int serve(int port) {
        struct sockaddr_in6 own = { .sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port) }, peer;
        int fd = socket(AF_INET6, SOCK_STREAM, IPPROTO_SCTP);
        char text[INET6_ADDRSTRLEN];

        if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) < 0 || listen(fd, 8) < 0)
                return fail("serve");
        for (;;) {
                socklen_t len = sizeof(peer);
                int connection = accept(fd, (struct sockaddr *)&peer, &len);
                if (connection < 0)
                        continue;
                if (peer.sin6_family == AF_INET)
                        inet_ntop(AF_INET, &((struct sockaddr_in *)&peer)->sin_addr, text, sizeof(text));
                else
                        inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof(text));
                const char *plain = strncmp(text, "::ffff:", 7) ? text : text + 7;
                send(connection, plain, strlen(plain), MSG_NOSIGNAL);
                close(connection);
        }
}

static int ask(const char *ip, int port) {
        struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
        struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port) };
        int is_six = strchr(ip, ':') != NULL;
        struct sockaddr *to = is_six ? (struct sockaddr *)&to6 : (struct sockaddr *)&to4;
        struct timeval patience = { .tv_sec = 10 };
        char answer[128];

        if (inet_pton(to->sa_family, ip, is_six ? (void *)&to6.sin6_addr : (void *)&to4.sin_addr) != 1)
                return 2;
        int fd = socket(to->sa_family, SOCK_STREAM, IPPROTO_SCTP);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
            connect(fd, to, is_six ? sizeof(to6) : sizeof(to4)) < 0)
                return fail("ask");
        ssize_t n = recv(fd, answer, sizeof(answer) - 1, 0);
        if (n < 0)
                return fail("recv");
        printf("%.*s\n", (int)n, answer);
        return 0;
}

int main(int argc, char **argv) {
        if (argc == 3 && strcmp(argv[1], "serve") == 0)
                return serve(atoi(argv[2]));
        return argc == 4 && strcmp(argv[1], "ask") == 0 ? ask(argv[2], atoi(argv[3])) : 2;
}
