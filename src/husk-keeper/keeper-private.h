/* keeper-private.h - what the files of husk-keeper share: keeper.c is the program, exits.c what it writes down of
 * processes that ended, renew.c how it becomes another version of itself, words.c what it says on standard error (there
 * is no stdio). */
#pragma once

#include <stdbool.h>
#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "husk-keeper/protocol.h"

#define PATH_SIZE 4096
#define STORED_MAX 256

struct stored {
        int fd;
        char name[KEEPER_NAME_SIZE];
};

extern struct keeper {
        const char *root, *run, *uid;
        bool foreground;
        uint64_t mounts; /* number of the mount namespace; with --adopt that of the keeper before */

        char folder[PATH_SIZE];  /* <run>/pods/<uid> */
        char program[PATH_SIZE]; /* husk-pod */
        char self[PATH_SIZE];    /* where this program was when it started */
        int lock_fd;             /* -1: not yet */
        bool renew;              /* become the program on the disk as soon as husk-pod has ended */
        int signal_fd;

        int exits_fd;
        uint64_t exits_first; /* sequence of the file's first record */
        uint64_t exits_last;  /* sequence of its last one; exits_first - 1 if it is empty */
        uint64_t exits_seen;  /* husk-pod has these in its saved state */

        pid_t pod_pid; /* 0: not running */
        int64_t pod_since_ms;
        unsigned pods_started;
        unsigned quick_deaths;
        int64_t restart_at_ms; /* when pod_pid is 0 */

        int socket;        /* to husk-pod, -1: none */
        unsigned told_fds; /* how many of `stored` this husk-pod was told */
        bool told_start;
        uint64_t told_exits; /* the last exit this husk-pod was told */

        struct stored stored[STORED_MAX];
        unsigned n_stored;
} k;

/* ---- keeper.c ---- */

int64_t realtime_ns(void);
/* Opens a file of the pod's folder in <run>, or ends the program. */
int open_file(const char *name, int flags);

/* ---- words.c ---- */

/* Appends at `at`, which ends with a NUL, as much as fits before `end`; returns where the NUL is now. */
char *text_put(char *at, const char *end, const char *s);
char *text_put_number(char *at, const char *end, int64_t n);
void say(const char *what, const char *object, int error);                 /* error: an errno, 0: none */
__attribute__((noreturn)) void fail(const char *what, const char *object); /* with errno, if it is not 0 */

/* ---- exits.c ---- */

void exits_open(void);
off_t exits_offset(uint64_t sequence); /* of a record in the file */
/* Returns false if it could not be written down. */
bool exits_append(const siginfo_t *info, uint64_t start_time);
void exits_seen(uint64_t sequence); /* husk-pod has saved what it knows up to this one */
/* In clock ticks since boot, 0 if unknown. Works for a zombie. */
uint64_t start_time_of(pid_t pid);

/* ---- renew.c ---- */

/* Ends husk-pod, in order to renew() when it is gone. */
void renew_begin(void);
/* Becomes the program on the disk. Returns only if that does not work: then this keeper goes on, and starts the
 * husk-pod that is on the disk. */
void renew(void);
