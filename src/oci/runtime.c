#include "oci/runtime.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/process.h"
#include "base/str.h"

#define MESSAGE_MAX 1024
#define OUTPUT_MAX (1024 * 1024)

static struct error *unreadable(const char *path, const char *class_name, struct error *err) {
        error_free(err);
        if (str_empty(class_name))
                return error_new(ERROR_UNAVAILABLE, "%s, which names the pod's OCI runtime, cannot be read", path);
        return error_new(ERROR_UNAVAILABLE, "%s, which names the OCI runtime of RuntimeClass \"%s\", cannot be read",
                         path, class_name);
}

struct error *oci_runtime_find(const char *run_folder, const char *class_name, const char *usual, char **ret) {
        _cleanup_free_ char *path = path_join(run_folder, OCI_PROGRAM_FILE), *written = NULL;
        struct error *err = file_read(path, PATH_MAX, &written, NULL);

        if (error_is(err, ERROR_NOT_FOUND) && str_empty(class_name))
                err = error_free(err);
        else if (err || str_empty(written))
                return unreadable(path, class_name, err);
        const char *name = written ?: usual;
        *ret = process_find_program(name);
        if (*ret)
                return NULL;
        if (!str_empty(class_name))
                return error_new(ERROR_UNAVAILABLE,
                                 "%s, the OCI runtime of RuntimeClass \"%s\", is not there or cannot be executed; no "
                                 "other may run this pod's containers",
                                 name, class_name);
        return error_new(ERROR_UNAVAILABLE, "%s is not installed (or not in PATH): install it, e.g. apt-get install %s",
                         name, name);
}

static bool is_called(const char *program, const char *name) {
        const char *slash = strrchr(program, '/');

        return streq(slash ? slash + 1 : program, name);
}

bool oci_runtime_can_leave_cgroups(const char *program) {
        return is_called(program, "crun");
}

bool oci_runtime_is_plain(const char *program) {
        return is_called(program, "crun") || is_called(program, "runc");
}

/* ---- argument lists ---- */

static char **argv_start(const struct oci_runtime *rt, const char *verb) {
        char **argv = strv_add(NULL, rt->program);

        argv = strv_add(argv, "--root");
        argv = strv_add(argv, rt->state_root);
        argv = strv_add(argv, "--log-format");
        argv = strv_add(argv, "json");
        if (rt->log) {
                argv = strv_add(argv, "--log");
                argv = strv_add(argv, rt->log);
        }
        if (rt->no_cgroups)
                argv = strv_add(argv, "--cgroup-manager=disabled");
        return strv_add(argv, verb);
}

static char **argv_option(char **argv, const char *option, const char *value) {
        if (!value)
                return argv;
        argv = strv_add(argv, option);
        return strv_add(argv, value);
}

char **oci_runtime_run_argv(const struct oci_runtime *rt, const char *id, const char *bundle, const char *pid_file,
                            const char *console_socket) {
        char **argv = argv_start(rt, "run");

        argv = strv_add(argv, "--detach");
        argv = argv_option(argv, "--bundle", bundle);
        argv = argv_option(argv, "--pid-file", pid_file);
        argv = argv_option(argv, "--console-socket", console_socket);
        return strv_add(argv, id);
}

char **oci_runtime_exec_argv(const struct oci_runtime *rt, const char *id, const char *process, const char *pid_file,
                             const char *console_socket, bool detach) {
        char **argv = argv_start(rt, "exec");

        if (detach)
                argv = strv_add(argv, "--detach");
        argv = argv_option(argv, "--process", process);
        argv = argv_option(argv, "--pid-file", pid_file);
        argv = argv_option(argv, "--console-socket", console_socket);
        return strv_add(argv, id);
}

char **oci_runtime_delete_argv(const struct oci_runtime *rt, const char *id, bool force) {
        char **argv = argv_start(rt, "delete");

        if (force)
                argv = strv_add(argv, "--force");
        return strv_add(argv, id);
}

char **oci_runtime_update_argv(const struct oci_runtime *rt, const char *id) {
        /* Not "-": crun opens /dev/stdin then, which a machine without udev need not have. */
        char **argv = argv_option(argv_start(rt, "update"), "--resources", "/proc/self/fd/0");

        return strv_add(argv, id);
}

/* ---- errors ---- */

/* The text of one line of the log: `{"msg": …, "level": "error", …}`, or the line as it is. NULL: a line that is no
 * error. */
static char *line_message(const char *line, size_t len) {
        json_t *entry = json_loadb(line, len, JSON_DISABLE_EOF_CHECK, NULL);
        const char *level = json_string_value(json_object_get(entry, "level"));
        const char *text = json_string_value(json_object_get(entry, "msg"));
        char *message = NULL;

        if (!json_is_object(entry))
                message = xstrndup(line, len);
        else if (text && (!level || streq(level, "error") || streq(level, "fatal")))
                message = xstrdup(text);
        json_decref(entry);
        return message;
}

static void make_printable(char *text) {
        size_t len = strlen(text);

        for (char *p = text; *p; p++)
                if (iscntrl((unsigned char)*p))
                        *p = ' ';
        if (len > MESSAGE_MAX) {
                len = MESSAGE_MAX;
                while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80) /* not in the middle of a character */
                        len--;
                text[len] = '\0';
        }
        while (len > 0 && text[len - 1] == ' ')
                text[--len] = '\0';
}

char *oci_runtime_log_message(const char *log, size_t len) {
        char *newest = NULL;

        for (const char *p = log, *end = log + len; p < end;) {
                const char *newline = memchr(p, '\n', end - p);
                size_t n = (newline ? newline : end) - p;
                char *message = n > 0 ? line_message(p, n) : NULL;

                if (message && *message) {
                        free(newest);
                        newest = message;
                } else
                        free(message);
                p += n + 1;
        }
        if (!newest)
                return xstrdup("");
        make_printable(newest);
        return newest;
}

/* How runtimes say that the container's own program is at fault. The first that is found counts: crun has the same
 * words for a file that is not there and one that may not be executed, and then the errno. */
static const struct {
        const char *text, *errno_text, *meaning;
        bool missing;
} causes[] = {
        { "executable", "ermission denied", "permission denied", false },
        { "executable", "not found", "executable file not found in $PATH", true },
        { "executable", "No such file", "executable file not found in $PATH", true },
        { "xec", "ermission denied", "permission denied", false },
        { "xec", "xec format error", "exec format error", false },
};

static const char *exec_cause(const char *log, bool *ret_missing) {
        *ret_missing = false;
        for (size_t i = 0; i < ARRAY_SIZE(causes); i++)
                if (strstr(log, causes[i].text) && strstr(log, causes[i].errno_text)) {
                        *ret_missing = causes[i].missing;
                        return causes[i].meaning;
                }
        return NULL;
}

static char *failure_detail(const char *log, int wait_status) {
        if (!str_empty(log))
                return xstrdup(log);
        if (wait_status == -1)
                return xstrdup("the OCI runtime could not be run");
        if (WIFSIGNALED(wait_status))
                return xasprintf("the OCI runtime was killed by signal %d", WTERMSIG(wait_status));
        return xasprintf("the OCI runtime ended with exit status %d and no message", WEXITSTATUS(wait_status));
}

void oci_failure_of(const char *log_message, int wait_status, const char *container_name, const char *program,
                    struct oci_failure *ret) {
        _cleanup_free_ char *detail = NULL;
        const char *cause = log_message ? exec_cause(log_message, &ret->command_missing) : NULL;

        if (!cause)
                ret->command_missing = false;
        ret->exit_code = 128;
        /* A runtime that is not there, or was killed, says nothing about the container. */
        ret->reason = wait_status == -1 || WIFSIGNALED(wait_status) ? "RunContainerError" : "StartError";
        if (cause && program)
                detail = xasprintf("exec: \"%s\": %s", program, cause);
        else
                detail = failure_detail(log_message, wait_status);
        ret->message = xasprintf("failed to start container \"%s\": %s", container_name, detail);
}

void oci_failure_release(struct oci_failure *failure) {
        free(failure->message);
        *failure = (struct oci_failure){ 0 };
}
