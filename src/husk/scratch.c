#include "husk/scratch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/str.h"

struct error *scratch_folder(const char *prefix, char **ret) {
        const char *below = getenv("TMPDIR");
        _cleanup_free_ char *path = xasprintf("%s/%s-XXXXXX", str_empty(below) ? "/tmp" : below, prefix);

        if (!mkdtemp(path))
                return error_errno(errno, "make a folder %s", path);
        *ret = TAKE_PTR(path);
        return NULL;
}

struct error *scratch_write(const char *folder, const char *name, const char *text) {
        _cleanup_free_ char *path = path_join(folder, name);
        return file_replace(path, text, strlen(text), 0600, 0);
}

struct error *scratch_run(const char *command, const char *const *arguments, int *ret) {
        _cleanup_free_ char *line = xasprintf("%s \"$@\"", command);
        const char *argv[16] = { "sh", "-c", line, "sh" };
        struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
        size_t n = 4;
        int status;

        while (*arguments && n < ARRAY_SIZE(argv) - 1)
                argv[n++] = *arguments++;
        fflush(stdout);
        /* ^C in an editor is the editor's. */
        sigaction(SIGINT, &ignore, &before);
        pid_t pid = fork();
        if (pid < 0)
                return error_errno(errno, "start %s", command);
        if (pid == 0) {
                sigaction(SIGINT, &before, NULL);
                execvp("sh", (char *const *)argv);
                _exit(127);
        }
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        sigaction(SIGINT, &before, NULL);
        *ret = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return NULL;
}
