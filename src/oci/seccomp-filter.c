#include "oci/seccomp-filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdio.h>

#define CLONE_NEW_MASK 0x7E020000 /* CLONE_NEW* of clone(2); CLONE_NEWTIME cannot be given to it */
#define AF_VSOCK_ 40
#define X32_BIT 0x40000000

static const struct call {
        const char *name;
        int number[2]; /* -1: not there */
} calls[] = {
#if defined(__x86_64__)
#include "syscalls.inc"
#endif
        { NULL, { -1, -1 } },
};

bool seccomp_filter_supported(void) {
        return ARRAY_SIZE(calls) > 1;
}

void seccomp_verdict_set(struct seccomp_verdicts *verdicts, const char *name, enum seccomp_verdict verdict) {
        size_t low = 0, high = ARRAY_SIZE(calls) - 1;

        while (low < high) {
                size_t middle = (low + high) / 2;
                int order = strcmp(name, calls[middle].name);

                if (order == 0) {
                        for (int a = 0; a < 2; a++)
                                if (calls[middle].number[a] >= 0 && calls[middle].number[a] < SECCOMP_CALLS_MAX)
                                        verdicts->of[a][calls[middle].number[a]] = verdict;
                        return;
                }
                if (order < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
}

/* ---- the program ---- */

struct program {
        struct sock_filter *code;
        size_t n;
};

static size_t emit(struct program *p, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k) {
        p->code = xreallocarray(p->code, p->n + 1, sizeof(*p->code));
        p->code[p->n] = (struct sock_filter){ .code = code, .jt = jt, .jf = jf, .k = k };
        return p->n++;
}

static void emit_load(struct program *p, size_t offset) {
        emit(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, offset);
}

static void emit_return(struct program *p, uint32_t action) {
        emit(p, BPF_RET | BPF_K, 0, 0, action);
}

#define ALLOW SECCOMP_RET_ALLOW
#define REFUSE (SECCOMP_RET_ERRNO | EPERM)
#define UNKNOWN (SECCOMP_RET_ERRNO | ENOSYS)

/* The kernel takes these three arguments as 32 bits, so only those are compared: what stands above them cannot be used
 * to slip through. (Little endian: the low half comes first.) */
static void emit_verdict(struct program *p, enum seccomp_verdict verdict) {
        static const uint32_t personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };

        switch (verdict) {
        case SECCOMP_ALLOW:
                emit_return(p, ALLOW);
                return;
        case SECCOMP_REFUSE:
                emit_return(p, REFUSE);
                return;
        case SECCOMP_IF_NO_NAMESPACES:
                emit_load(p, offsetof(struct seccomp_data, args[0]));
                emit(p, BPF_JMP | BPF_JSET | BPF_K, 0, 1, CLONE_NEW_MASK);
                emit_return(p, REFUSE);
                emit_return(p, ALLOW);
                return;
        case SECCOMP_IF_USUAL_PERSONALITY:
                emit_load(p, offsetof(struct seccomp_data, args[0]));
                for (size_t i = 0; i < ARRAY_SIZE(personalities); i++) {
                        emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, personalities[i]);
                        emit_return(p, ALLOW);
                }
                emit_return(p, REFUSE);
                return;
        case SECCOMP_IF_NOT_VSOCK:
                emit_load(p, offsetof(struct seccomp_data, args[0]));
                emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, AF_VSOCK_);
                emit_return(p, REFUSE);
                emit_return(p, ALLOW);
                return;
        default:
                emit_return(p, UNKNOWN);
        }
}

/* Runs of numbers with one verdict: run i is [start[i], start[i + 1]). */
struct runs {
        unsigned start[SECCOMP_CALLS_MAX + 1];
        size_t n;
};

static void find_runs(const uint8_t *verdicts, struct runs *ret) {
        ret->n = 0;
        for (unsigned number = 0; number < SECCOMP_CALLS_MAX; number++)
                if (number == 0 || verdicts[number] != verdicts[number - 1])
                        ret->start[ret->n++] = number;
}

/* A binary search over the runs first…last with the number in the accumulator. Both halves follow their comparison, the
 * lower one at once; the way to the upper one may be longer than a conditional jump reaches, hence the plain jump. */
static void emit_search(struct program *p, const uint8_t *verdicts, const struct runs *runs, size_t first,
                        size_t last) {
        size_t middle = (first + last + 1) / 2, jump;

        if (first == last) {
                emit_verdict(p, verdicts[runs->start[first]]);
                return;
        }
        emit(p, BPF_JMP | BPF_JGE | BPF_K, 0, 1, runs->start[middle]);
        jump = emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
        emit_search(p, verdicts, runs, first, middle - 1);
        p->code[jump].k = p->n - jump - 1;
        emit_search(p, verdicts, runs, middle, last);
}

static void emit_architecture(struct program *p, const uint8_t *verdicts, bool has_x32) {
        struct runs runs;

        find_runs(verdicts, &runs);
        emit_load(p, offsetof(struct seccomp_data, nr));
        if (has_x32) { /* x32 uses x86-64's architecture with a bit in the number; nobody needs it: not there */
                emit(p, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT);
                emit_return(p, UNKNOWN);
        }
        emit_search(p, verdicts, &runs, 0, runs.n - 1);
}

struct sock_filter *seccomp_filter_compile(const struct seccomp_verdicts *verdicts, size_t *ret_n) {
        struct program p = { 0 };
        size_t jump;

        emit_load(&p, offsetof(struct seccomp_data, arch));
        emit(&p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64);
        jump = emit(&p, BPF_JMP | BPF_JA, 0, 0, 0);
        emit_architecture(&p, verdicts->of[0], true);
        p.code[jump].k = p.n - jump - 1;
        emit(&p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_I386);
        emit_return(&p, UNKNOWN);
        emit_architecture(&p, verdicts->of[1], false);
        *ret_n = p.n;
        return p.code;
}
