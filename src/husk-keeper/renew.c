#include "husk-keeper/keeper-private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* The arguments for a successor by execve(2) and the text they stand in: fixed ones, and a --keep for each descriptor.
 */
static const char *renew_argv[16 + 2 * STORED_MAX];
static char renew_text[STORED_MAX * (KEEPER_NAME_SIZE + 16) + 64];

static const char *text_number(char **at, int64_t n) {
        const char *end = renew_text + sizeof(renew_text), *begin = *at;

        *at = text_put_number(*at, end, n) + 1;
        return begin;
}

static void renew_arguments(void) {
        const char **a = renew_argv, *end = renew_text + sizeof(renew_text);
        char *at = renew_text;

        *a++ = k.self;
        *a++ = "--root", *a++ = k.root;
        *a++ = "--run", *a++ = k.run;
        *a++ = "--uid", *a++ = k.uid;
        *a++ = "--adopt", *a++ = text_number(&at, (int64_t)k.mounts);
        *a++ = "--lock", *a++ = text_number(&at, k.lock_fd);
        if (k.foreground)
                *a++ = "--foreground";
        for (unsigned i = 0; i < k.n_stored; i++) {
                *a++ = "--keep", *a++ = at;
                at = text_put(text_put(text_put_number(at, end, k.stored[i].fd), end, "="), end, k.stored[i].name) + 1;
        }
        *a = NULL;
}

static void keep_over_exec(bool keep) {
        long flag = keep ? 0 : FD_CLOEXEC;

        fcntl(k.lock_fd, F_SETFD, flag);
        for (unsigned i = 0; i < k.n_stored; i++)
                fcntl(k.stored[i].fd, F_SETFD, flag);
}

void renew(void) {
        k.renew = false;
        renew_arguments();
        keep_over_exec(true);
        execve(k.self, (char *const *)renew_argv, environ);
        say("run ", k.self, errno);
        keep_over_exec(false);
}

void renew_begin(void) {
        say("becoming the husk-keeper on the disk", "", 0);
        k.renew = true;
        if (k.pod_pid)
                kill(k.pod_pid, SIGTERM);
}
