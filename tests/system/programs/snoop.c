/* What a process of a container gets of another one: snoop PID. A line for each thing tried, "what: result", where the
 * result is an error's name or what was found. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *pid;

static void say(const char *what, int failed, const char *found) {
        printf("%s: %s\n", what, failed ? strerrorname_np(errno) : found);
        fflush(stdout);
}

/* Entries of a folder of /proc/PID. */
static void list(const char *name) {
        char path[64], found[512] = "";
        snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
        DIR *dir = opendir(path);
        struct dirent *e;
        while (dir && (e = readdir(dir)))
                if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strlen(found) < 400)
                        sprintf(found + strlen(found), "%s ", e->d_name);
        say(name, !dir, *found ? found : "empty");
}

static void open_it(const char *name, int flags, const char *what) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
        int fd = open(path, flags);
        say(what, fd < 0, "opened");
        if (fd >= 0)
                close(fd);
}

/* In a child: entering a namespace of the other process, and what is there then. */
static void enter(const char *name) {
        char path[64], what[64];
        snprintf(path, sizeof(path), "/proc/%s/ns/%s", pid, name);
        snprintf(what, sizeof(what), "enter %s", name);
        if (fork() == 0) {
                int fd = open(path, O_RDONLY);
                say(what, fd < 0 || setns(fd, 0) < 0, "entered");
                _exit(0);
        }
        wait(NULL);
}

/* Any of its descriptors, by a system call that needs no /proc. */
static void take_descriptors(void) {
        int pidfd = (int)syscall(SYS_pidfd_open, atoi(pid), 0), taken = 0;
        for (int fd = 0; pidfd >= 0 && fd < 64; fd++)
                taken += syscall(SYS_pidfd_getfd, pidfd, fd, 0) >= 0;
        say("descriptors", pidfd < 0, taken ? "taken" : "none");
}

int main(int argc, char **argv) {
        pid = argc > 1 ? argv[1] : "1";
        list("root");
        list("fd");
        list("cwd");
        open_it("environ", O_RDONLY, "environ");
        open_it("mem", O_RDWR, "mem");
        /* Opening it says "busy" before it says "read-only": a program that runs. */
        char exe[64];
        snprintf(exe, sizeof(exe), "/proc/%s/exe", pid);
        say("write exe", access(exe, W_OK) < 0, "possible");
        open_it("root/../etc/passwd", O_RDONLY, "outside");
        take_descriptors();
        enter("mnt");
        enter("user");
        errno = 0;
        long r = ptrace(PTRACE_SEIZE, atoi(pid), 0, 0);
        say("trace", r < 0, "traced");
        return 0;
}
