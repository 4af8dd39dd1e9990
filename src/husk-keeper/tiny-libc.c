/* tiny-libc.c - the part of the C library that husk-infra and husk-keeper use, and nothing else.
 *
 * Both programs live as long as a pod and do next to nothing, so what they cost is what the C library costs: glibc
 * linked statically makes some 60 pages resident before main() is reached, this file one or two. Their own code is
 * ordinary C over the usual headers; on machines this file does not know they are linked with the C library instead
 * (see meson.build). System calls are made directly; errno is a plain variable, for neither program has threads. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The kernel's signal sets have 64 bits, the C library's 1024. */
#define KERNEL_SIGSET_SIZE 8

char **environ;
static int error_number;

int *__errno_location(void) {
        return &error_number;
}

#if defined(__x86_64__)
__asm__(".globl _start\n"
        ".type _start,@function\n"
        "_start:\n"
        "  xor %ebp, %ebp\n"
        "  mov %rsp, %rdi\n"
        "  and $-16, %rsp\n"
        "  call tiny_start\n"
        "  hlt\n");

static long raw(long n, long a, long b, long c, long d, long e, long f) {
        register long r10 __asm__("r10") = d;
        register long r8 __asm__("r8") = e;
        register long r9 __asm__("r9") = f;
        long result;
        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                         : "rcx", "r11", "memory");
        return result;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n"
        ".type _start,%function\n"
        "_start:\n"
        "  mov x29, #0\n"
        "  mov x30, #0\n"
        "  mov x0, sp\n"
        "  and sp, x0, #-16\n"
        "  bl tiny_start\n"
        "  brk #1\n");

static long raw(long n, long a, long b, long c, long d, long e, long f) {
        register long x8 __asm__("x8") = n;
        register long x0 __asm__("x0") = a;
        register long x1 __asm__("x1") = b;
        register long x2 __asm__("x2") = c;
        register long x3 __asm__("x3") = d;
        register long x4 __asm__("x4") = e;
        register long x5 __asm__("x5") = f;
        __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
        return x0;
}
#else
#error "no system call sequence for this machine: link with the C library"
#endif

static long call(long n, long a, long b, long c, long d, long e, long f) {
        long result = raw(n, a, b, c, d, e, f);
        if (result < 0 && result > -4096) {
                error_number = -result;
                return -1;
        }
        return result;
}

#define CALL0(n) call(n, 0, 0, 0, 0, 0, 0)
#define CALL1(n, a) call(n, (long)(a), 0, 0, 0, 0, 0)
#define CALL2(n, a, b) call(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define CALL3(n, a, b, c) call(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CALL4(n, a, b, c, d) call(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define CALL5(n, a, b, c, d, e) call(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

void _exit(int status) {
        for (;;)
                raw(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

int main(int argc, char **argv);

/* The stack at a program's start: argc, argv…, NULL, environment…, NULL, auxiliary vector. */
__attribute__((noreturn, used)) void tiny_start(long *stack);
void tiny_start(long *stack) {
        char **argv = (char **)(stack + 1);
        environ = argv + stack[0] + 1;
        _exit(main((int)stack[0], argv));
}

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
        char *t = to;
        const char *f = from;
        while (n--)
                *t++ = *f++;
        return to;
}

void *memset(void *to, int value, size_t n) {
        char *t = to;
        while (n--)
                *t++ = (char)value;
        return to;
}

size_t strlen(const char *s) {
        size_t n = 0;
        while (s[n])
                n++;
        return n;
}

int strcmp(const char *a, const char *b) {
        while (*a && *a == *b)
                a++, b++;
        return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t n) {
        while (n && *a && *a == *b)
                a++, b++, n--;
        return n ? (unsigned char)*a - (unsigned char)*b : 0;
}

char *strrchr(const char *s, int c) {
        const char *found = NULL;
        do
                if (*s == (char)c)
                        found = s;
        while (*s++);
        return (char *)found;
}

int open(const char *path, int flags, ...) {
        va_list ap;
        va_start(ap, flags);
        mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
        va_end(ap);
        return CALL4(SYS_openat, AT_FDCWD, path, flags, mode);
}

int close(int fd) {
        return CALL1(SYS_close, fd);
}

int close_range(unsigned first, unsigned last, int flags) {
        return CALL3(SYS_close_range, first, last, flags);
}

ssize_t read(int fd, void *data, size_t n) {
        return CALL3(SYS_read, fd, data, n);
}

ssize_t write(int fd, const void *data, size_t n) {
        return CALL3(SYS_write, fd, data, n);
}

ssize_t pread(int fd, void *data, size_t n, off_t at) {
        return CALL4(SYS_pread64, fd, data, n, at);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
        return CALL4(SYS_pwrite64, fd, data, n, at);
}

int ftruncate(int fd, off_t size) {
        return CALL2(SYS_ftruncate, fd, size);
}

int fstat(int fd, struct stat *st) {
        return CALL2(SYS_fstat, fd, st);
}

int statfs(const char *path, struct statfs *st) {
        return CALL2(SYS_statfs, path, st);
}

int flock(int fd, int operation) {
        return CALL2(SYS_flock, fd, operation);
}

int mkdir(const char *path, mode_t mode) {
        return CALL3(SYS_mkdirat, AT_FDCWD, path, mode);
}

ssize_t readlink(const char *path, char *buf, size_t size) {
        return CALL4(SYS_readlinkat, AT_FDCWD, path, buf, size);
}

int chdir(const char *path) {
        return CALL1(SYS_chdir, path);
}

int dup2(int from, int to) {
        return from == to ? to : (int)CALL3(SYS_dup3, from, to, 0);
}

int fcntl(int fd, int operation, ...) {
        va_list ap;
        va_start(ap, operation);
        long argument = va_arg(ap, long);
        va_end(ap);
        return CALL3(SYS_fcntl, fd, operation, argument);
}

int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data) {
        return CALL5(SYS_mount, source, target, type, flags, data);
}

int unshare(int flags) {
        return CALL1(SYS_unshare, flags);
}

int prctl(int operation, ...) {
        va_list ap;
        va_start(ap, operation);
        long a = va_arg(ap, long), b = va_arg(ap, long), c = va_arg(ap, long), d = va_arg(ap, long);
        va_end(ap);
        return CALL5(SYS_prctl, operation, a, b, c, d);
}

int kill(pid_t pid, int signal) {
        return CALL2(SYS_kill, pid, signal);
}

pid_t getpid(void) {
        return CALL0(SYS_getpid);
}

pid_t setsid(void) {
        return CALL0(SYS_setsid);
}

pid_t fork(void) {
        return CALL5(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

int execve(const char *path, char *const argv[], char *const env[]) {
        return CALL3(SYS_execve, path, argv, env);
}

/* The kernel's waitid takes a fifth argument for the resource usage. */
int waitid(idtype_t type, id_t id, siginfo_t *info, int flags) {
        return CALL5(SYS_waitid, type, id, info, flags, NULL);
}

int sigemptyset(sigset_t *set) {
        *(uint64_t *)set = 0;
        return 0;
}

int sigfillset(sigset_t *set) {
        *(uint64_t *)set = ~0ULL;
        return 0;
}

int sigaddset(sigset_t *set, int signal) {
        *(uint64_t *)set |= 1ULL << (signal - 1);
        return 0;
}

int sigprocmask(int how, const sigset_t *restrict set, sigset_t *restrict old) {
        return CALL4(SYS_rt_sigprocmask, how, set, old, KERNEL_SIGSET_SIZE);
}

int sigwaitinfo(const sigset_t *restrict set, siginfo_t *restrict info) {
        return CALL4(SYS_rt_sigtimedwait, set, info, NULL, KERNEL_SIGSET_SIZE);
}

int signalfd(int fd, const sigset_t *set, int flags) {
        return CALL4(SYS_signalfd4, fd, set, KERNEL_SIGSET_SIZE, flags);
}

int poll(struct pollfd *fds, nfds_t n, int timeout_ms) {
        struct timespec limit = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };
        return CALL5(SYS_ppoll, fds, n, timeout_ms < 0 ? NULL : &limit, NULL, KERNEL_SIGSET_SIZE);
}

int clock_gettime(clockid_t clock, struct timespec *t) {
        return CALL2(SYS_clock_gettime, clock, t);
}

int socketpair(int domain, int type, int protocol, int fds[2]) {
        return CALL4(SYS_socketpair, domain, type, protocol, fds);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
        return CALL3(SYS_sendmsg, fd, message, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
        return CALL3(SYS_recvmsg, fd, message, flags);
}
