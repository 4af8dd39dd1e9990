/* pretend lock FILE [handles]: holds the record lock of a file, as husk-keeper does, says so, and ends with status 7 at
 * SIGUSR2 if it handles that signal. pretend ANYTHING ELSE: sleeps under whatever name and arguments it was given. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void answer(int signal) {
        (void)signal;
        _exit(7);
}

int main(int argc, char **argv) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        if (argc > 2 && !strcmp(argv[1], "lock")) {
                int fd = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
                if (argc > 3)
                        signal(SIGUSR2, answer);
                if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0)
                        return 1;
                puts("locked");
                fflush(stdout);
        }
        for (;;)
                pause();
}
