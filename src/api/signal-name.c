#include "api/signal-name.h"

#include <signal.h>

#include "base/str.h"

/* clang-format off */
const char *const signal_names[] = {
        "SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE",
        "SIGHUP", "SIGILL", "SIGINT", "SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE",
        "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGRTMAX", "SIGRTMAX-1", "SIGRTMAX-10",
        "SIGRTMAX-11", "SIGRTMAX-12", "SIGRTMAX-13", "SIGRTMAX-14", "SIGRTMAX-2", "SIGRTMAX-3", "SIGRTMAX-4",
        "SIGRTMAX-5", "SIGRTMAX-6", "SIGRTMAX-7", "SIGRTMAX-8", "SIGRTMAX-9", "SIGRTMIN", "SIGRTMIN+1",
        "SIGRTMIN+10", "SIGRTMIN+11", "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14", "SIGRTMIN+15", "SIGRTMIN+2",
        "SIGRTMIN+3", "SIGRTMIN+4", "SIGRTMIN+5", "SIGRTMIN+6", "SIGRTMIN+7", "SIGRTMIN+8", "SIGRTMIN+9",
        "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP",
        "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH",
        "SIGXCPU", "SIGXFSZ",
        NULL,
};

static const struct {
        const char *name; /* without "SIG" */
        int number;
} plain[] = {
        /* of two names for one number the common one comes first */
        { "ABRT", SIGABRT }, { "ALRM", SIGALRM }, { "BUS", SIGBUS }, { "CHLD", SIGCHLD }, { "CONT", SIGCONT },
        { "FPE", SIGFPE }, { "HUP", SIGHUP }, { "ILL", SIGILL }, { "INT", SIGINT }, { "IO", SIGIO },
        { "KILL", SIGKILL }, { "PIPE", SIGPIPE }, { "PROF", SIGPROF }, { "PWR", SIGPWR }, { "QUIT", SIGQUIT },
        { "SEGV", SIGSEGV }, { "STKFLT", SIGSTKFLT }, { "STOP", SIGSTOP }, { "SYS", SIGSYS }, { "TERM", SIGTERM },
        { "TRAP", SIGTRAP }, { "TSTP", SIGTSTP }, { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU }, { "URG", SIGURG },
        { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "VTALRM", SIGVTALRM }, { "WINCH", SIGWINCH }, { "XCPU", SIGXCPU },
        { "XFSZ", SIGXFSZ }, { "CLD", SIGCLD }, { "IOT", SIGIOT }, { "POLL", SIGPOLL },
};
/* clang-format on */

/* "RTMIN", "RTMIN+3", "RTMAX-2": `sign` and a number of at most 30 behind the word; 0 if it is not that. */
static int real_time(const char *rest, char sign, int base) {
        uint64_t n;

        if (!*rest)
                return base;
        if (*rest != sign || !str_to_u64(rest + 1, &n) || n > (uint64_t)(SIGRTMAX - SIGRTMIN))
                return 0;
        return sign == '+' ? base + (int)n : base - (int)n;
}

int signal_from_name(const char *name) {
        uint64_t n;

        if (str_empty(name))
                return 0;
        if (str_to_u64(name, &n))
                return n > 0 && n < (uint64_t)_NSIG ? (int)n : 0;
        if (str_starts_with(name, "SIG"))
                name += strlen("SIG");
        if (str_starts_with(name, "RTMIN"))
                return real_time(name + strlen("RTMIN"), '+', SIGRTMIN);
        if (str_starts_with(name, "RTMAX"))
                return real_time(name + strlen("RTMAX"), '-', SIGRTMAX);
        for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
                if (streq(plain[i].name, name))
                        return plain[i].number;
        return 0;
}

const char *signal_to_name(int number) {
        static const char *const *const end = signal_names + ARRAY_SIZE(signal_names) - 1;

        for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
                if (plain[i].number == number)
                        for (const char *const *n = signal_names; n < end; n++)
                                if (streq(*n + strlen("SIG"), plain[i].name))
                                        return *n;
        for (const char *const *n = signal_names; n < end; n++)
                if (str_starts_with(*n, "SIGRT") && signal_from_name(*n) == number)
                        return *n;
        return NULL;
}
