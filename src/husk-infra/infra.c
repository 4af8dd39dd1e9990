/* husk-infra - the first process of a pod: it holds the pod's namespaces open by existing.
 *
 * Where the containers share one pid namespace (shareProcessNamespace) it is PID 1 there and reaps what loses its
 * parent. It has nothing that a container could take from it: no descriptors, no environment, not dumpable (so its
 * /proc entries belong to root), a user of its own and an empty read-only root; the last two are made by its creator,
 * src/sandbox, the rest here because execve(2) would undo it. SIGTERM and SIGINT end it. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
        sigset_t signals;
        siginfo_t info;

        prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L);
        prctl(PR_SET_NAME, (long)"husk-infra", 0L, 0L, 0L); /* started by descriptor, its name would be a number */
        close_range(0, ~0U, 0);

        /* Waiting for signals, not handling them: PID 1 of a pid namespace gets only those that it blocks or handles.
         */
        sigemptyset(&signals);
        sigaddset(&signals, SIGCHLD);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigprocmask(SIG_SETMASK, &signals, NULL);
        for (;;) {
                int signal = sigwaitinfo(&signals, &info);
                if (signal == SIGTERM || signal == SIGINT)
                        return 0;
                do
                        info.si_pid = 0;
                while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL) == 0 && info.si_pid);
        }
}
