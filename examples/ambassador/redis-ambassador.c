/* redis-ambassador - an example of an ambassador: a small proxy in the pod that speaks for services elsewhere.
 *
 *   redis-ambassador PORT CONFIG
 *
 * Listens on 127.0.0.1:PORT. What a client sends is passed on whole, command by command: commands that only read go to
 * one of the replicas in turn, all others to the primary. CONFIG names them, a line each:
 *
 *   primary HOST PORT
 *   replica HOST PORT
 *
 * and is read again whenever it has changed, so that replicas may come and go while clients stay connected. A replica
 * that cannot be reached is passed over; with none left the primary answers. A process for each client keeps this
 * short: it is an example, written to be read. Transactions (MULTI) and subscriptions are not split and go to the
 * primary. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKENDS_MAX 17
#define LINE_SIZE 1024
#define BULK_MAX (512u << 20) /* what Redis itself takes */

struct backend {
        char host[256], port[16];
        bool replica;
        FILE *stream; /* NULL while not connected */
};

static struct backend backends[BACKENDS_MAX];
static size_t n_backends;
static struct timespec config_time;
static _Atomic unsigned *turn; /* whose turn it is to answer: one count for all clients' processes */

static const char *const reading[] = {
        "get",      "mget",      "exists", "ttl",      "pttl",   "type",      "strlen", "getrange",      "hget",
        "hgetall",  "hmget",     "hkeys",  "hvals",    "hlen",   "hexists",   "lrange", "llen",          "lindex",
        "smembers", "sismember", "scard",  "zrange",   "zscore", "zcard",     "zcount", "zrangebyscore", "zrank",
        "keys",     "scan",      "dbsize", "bitcount", "getbit", "randomkey",
};

static void backends_forget(void) {
        for (size_t i = 0; i < n_backends; i++)
                if (backends[i].stream)
                        fclose(backends[i].stream);
        n_backends = 0;
}

static void config_read(const char *path) {
        struct stat st;
        char kind[16], line[LINE_SIZE];

        if (stat(path, &st) < 0 ||
            (st.st_mtim.tv_sec == config_time.tv_sec && st.st_mtim.tv_nsec == config_time.tv_nsec))
                return;
        FILE *f = fopen(path, "re");
        if (!f)
                return;
        backends_forget();
        while (fgets(line, sizeof(line), f) && n_backends < BACKENDS_MAX) {
                struct backend *b = &backends[n_backends];
                if (sscanf(line, "%15s %255s %15s", kind, b->host, b->port) != 3)
                        continue;
                b->replica = strcmp(kind, "replica") == 0;
                b->stream = NULL;
                n_backends++;
        }
        fclose(f);
        config_time = st.st_mtim;
        fprintf(stderr, "configuration read: %zu servers\n", n_backends);
}

static bool backend_connect(struct backend *b) {
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
        struct timeval patience = { .tv_sec = 1 };

        if (b->stream)
                return true;
        if (getaddrinfo(b->host, b->port, &hints, &list) != 0)
                return false;
        for (struct addrinfo *a = list; a && !b->stream; a = a->ai_next) {
                int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (fd < 0)
                        continue;
                setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
                if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
                        b->stream = fdopen(fd, "r+");
                else
                        close(fd);
        }
        freeaddrinfo(list);
        return b->stream != NULL;
}

static void backend_drop(struct backend *b) {
        fclose(b->stream);
        b->stream = NULL;
}

/* Copies `len` bytes and the line end behind them. */
static bool copy_bulk(FILE *from, FILE *to, size_t len) {
        char chunk[8192];

        for (len += 2; len;) {
                size_t n = fread(chunk, 1, len < sizeof(chunk) ? len : sizeof(chunk), from);
                if (!n || fwrite(chunk, 1, n, to) != n)
                        return false;
                len -= n;
        }
        return true;
}

/* Copies one whole value of Redis' protocol: a line, a string with its length, or a list of values. */
static bool copy_value(FILE *from, FILE *to, int depth) {
        char line[LINE_SIZE];

        if (depth > 8 || !fgets(line, sizeof(line), from) || fputs(line, to) < 0)
                return false;
        long n = strtol(line + 1, NULL, 10);
        if (line[0] == '$')
                return n < 0 || ((unsigned long)n <= BULK_MAX && copy_bulk(from, to, (size_t)n));
        if (line[0] == '*')
                for (long i = 0; i < n; i++)
                        if (!copy_value(from, to, depth + 1))
                                return false;
        return true;
}

/* The command's name, from the first bytes of a request: "*2\r\n$3\r\nGET\r\n…" or "GET key\r\n". */
static bool only_reads(const char *request) {
        if (*request == '*') {
                request = strchr(request, '\n');
                request = request ? strchr(request + 1, '\n') : NULL;
                if (!request)
                        return false;
                request++;
        }
        size_t len = strcspn(request, " \r\n");
        for (size_t i = 0; i < sizeof(reading) / sizeof(reading[0]); i++)
                if (strlen(reading[i]) == len && strncasecmp(request, reading[i], len) == 0)
                        return true;
        return false;
}

/* Sends the request to one server and its answer back; false if that server is not there (nothing was answered then).
 */
static bool ask(struct backend *b, const char *request, size_t len, FILE *client) {
        char *answer = NULL;
        size_t answer_len = 0;

        if (!backend_connect(b))
                return false;
        FILE *gathered = open_memstream(&answer, &answer_len);
        bool ok = fwrite(request, 1, len, b->stream) == len && fflush(b->stream) == 0 &&
                  copy_value(b->stream, gathered, 0);
        fclose(gathered);
        if (ok)
                fwrite(answer, 1, answer_len, client);
        else
                backend_drop(b);
        free(answer);
        return ok;
}

static bool answer(const char *request, size_t len, FILE *client) {
        if (only_reads(request)) {
                unsigned first = (*turn)++;
                for (size_t i = 0; i < n_backends; i++) {
                        struct backend *b = &backends[(first + i) % n_backends];
                        if (b->replica && ask(b, request, len, client))
                                return true;
                }
        }
        for (size_t i = 0; i < n_backends; i++)
                if (!backends[i].replica && ask(&backends[i], request, len, client))
                        return true;
        fputs("-ERR the ambassador reaches no server\r\n", client);
        return false;
}

static void serve(FILE *client, const char *config) {
        for (;;) {
                char *request = NULL;
                size_t len = 0;
                FILE *gathered = open_memstream(&request, &len);
                bool ok = copy_value(client, gathered, 0);

                fclose(gathered);
                if (ok) {
                        config_read(config);
                        answer(request, len, client);
                        fflush(client);
                }
                free(request);
                if (!ok)
                        return;
        }
}

int main(int argc, char **argv) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int one = 1;

        if (argc != 3) {
                fprintf(stderr, "usage: redis-ambassador PORT CONFIG\n");
                return 2;
        }
        signal(SIGCHLD, SIG_IGN); /* clients' processes are nobody's concern once they end */
        signal(SIGPIPE, SIG_IGN);
        turn = mmap(NULL, sizeof(*turn), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (turn == MAP_FAILED) {
                perror("mmap");
                return 1;
        }
        address.sin_port = htons((uint16_t)atoi(argv[1]));
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 64) < 0) {
                perror("listen");
                return 1;
        }
        for (;;) {
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                if (fd < 0) {
                        if (errno == EINTR)
                                continue;
                        perror("accept");
                        return 1;
                }
                if (fork() == 0) {
                        close(listener);
                        serve(fdopen(fd, "r+"), argv[2]);
                        _exit(0);
                }
                close(fd);
        }
}
