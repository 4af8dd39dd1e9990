/* exec.c - `husk exec`: a command in a running container.
 *
 * husk becomes the OCI runtime: it enters the pod's mount namespace, hands over a process.json made from the
 * container's own config.json, and executes `crun exec` with the caller's terminal and descriptors. Nothing stands
 * between the caller and the command: no copy, no proxy, and its exit status is the runtime's. A helper beside it sees
 * to it that the command does not outlive its caller (guard.h). */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/file.h"
#include "base/str.h"
#include "husk/container.h"
#include "husk/guard.h"
#include "husk/selection.h"
#include "husk/window.h"
#include "server/supervisor.h"
#include "oci/runtime.h"
#include "oci/spec.h"
#include "sandbox/cgroup.h"
#include "husk/verbs.h"

#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

static const char *container;
static bool use_stdin, use_tty, quiet;

const struct flag exec_flags[] = {
        { "container", 'c', FLAG_TEXT, &container, "NAME", NULL,
          "The container (default: see the annotation kubectl.kubernetes.io/default-container, else the first)" },
        { "stdin", 'i', FLAG_BOOL, &use_stdin, NULL, NULL, "Pass standard input to the command" },
        { "tty", 't', FLAG_BOOL, &use_tty, NULL, NULL, "Give the command a terminal" },
        { "quiet", 'q', FLAG_BOOL, &quiet, NULL, NULL, "Print only what the command prints" },
        { "filename", 'f', FLAG_REFUSED, NULL, "FILE", NULL, "name the pod: husk exec POD -- COMMAND" },
        { "pod-running-timeout", 0, FLAG_ACCEPTED, NULL, "TIME", NULL, "a pod is named, and runs or does not" },
        { 0 },
};

/* ---- is there such a program? ---- */

static const char *environment_get(const json_t *config, const char *name) {
        size_t len = strlen(name), i;
        const char *found = NULL;
        json_t *entry;

        json_array_foreach(field_at(config, "process.env"), i, entry) {
                const char *text = json_string_value(entry);
                if (text && strncmp(text, name, len) == 0 && text[len] == '=')
                        found = text + len + 1;
        }
        return found;
}

/* 0: can be executed, as far as can be seen from here; else the exit status that says why not. */
static int check_path(int root, const char *path) {
        _cleanup_close_ int fd = open_in_root(root, path, O_PATH, 0);
        struct stat st;

        if (fd == -ENOENT || fd == -ENOTDIR)
                return EXIT_NOT_FOUND;
        if (fd < 0 || fstat(fd, &st) < 0)
                return 0; /* links below /proc and the like: the runtime decides */
        return S_ISREG(st.st_mode) && (st.st_mode & 0111) ? 0 : EXIT_NOT_EXECUTABLE;
}

/* Looks for the program as the runtime will: crun itself ends with 1 for one that does not exist, where shells, ssh and
 * the people who read exit statuses expect 127, and 126 for what is no program. */
static int check_program(const struct running *running, const char *program) {
        _cleanup_free_ char *root_path = xasprintf("/proc/%d/root", running->pid);
        _cleanup_close_ int root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        const char *path = environment_get(running->config, "PATH");
        int worst = EXIT_NOT_FOUND;

        if (root < 0)
                return 0;
        if (strchr(program, '/')) {
                const char *cwd = field_text_or(running->config, "process.cwd", "/");
                _cleanup_free_ char *full = *program == '/' ? xstrdup(program) : path_join(cwd, program);
                return check_path(root, full);
        }
        _cleanup_strv_ char **folders =
                strv_split(path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ':');
        for (size_t i = 0; folders[i]; i++) {
                _cleanup_free_ char *full = path_join(*folders[i] ? folders[i] : ".", program);
                int status = check_path(root, full);
                if (status == 0)
                        return 0;
                if (status == EXIT_NOT_EXECUTABLE)
                        worst = status;
        }
        return worst;
}

/* ---- handing over ---- */

/* A file without a name that the runtime reads by its number. */
static struct error *process_file(const json_t *process, char **ret_path) {
        _cleanup_free_ char *text = json_dumps(process, JSON_COMPACT);
        int fd = memfd_create("process.json", 0);

        if (fd < 0)
                return error_errno(errno, "make process.json");
        struct error *err = fd_write_all(fd, text, strlen(text));
        if (err)
                return err;
        lseek(fd, 0, SEEK_SET);
        *ret_path = xasprintf("/proc/self/fd/%d", fd);
        return NULL;
}

static void add_terminal_type(json_t *process) {
        const char *term = getenv("TERM");
        _cleanup_free_ char *entry = xasprintf("TERM=%s", term ? term : "xterm");
        json_array_append_new(json_object_get(process, "env"), json_string(entry));
}

/* A program that opens /dev/stdout anew needs a pipe to be its own user's. The OCI runtime gives it away, but not to a
 * user of another user namespace. Files and terminals of the caller are nobody else's. */
static void give_pipes(const struct running *running) {
        uint64_t root = 0, uid, gid;
        struct statfs fs;

        if (!running_map_id(running, "uid_map", 0, &root) || root == 0 ||
            !running_map_id(running, "uid_map", field_number(running->config, "process.user.uid", 0), &uid) ||
            !running_map_id(running, "gid_map", field_number(running->config, "process.user.gid", 0), &gid))
                return;
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC && fchown(fd, (uid_t)uid, (gid_t)gid) < 0)
                        continue; /* what is not given cannot be opened anew, no more */
}

/* The pod's view of /dev/null is on a read-only mount, so that nobody can be made its owner (husk-pod/oci-program.c).
 */
static void take_null(bool no_input) {
        struct stat st, null;

        if (stat("/dev/null", &null) < 0)
                return;
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
                bool is_null = fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == null.st_rdev;
                if (!is_null && !(fd == STDIN_FILENO && no_input))
                        continue;
                int own = open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY);
                if (own >= 0 && own != fd) {
                        dup2(own, fd);
                        close(own);
                }
        }
}

/* What the OCI runtime executes in a container whose cgroup it has not made is where it is itself. */
static struct error *enter_cgroup(const struct running *running) {
        _cleanup_cgroup_entry_ struct cgroup_entry entry = { 0 };
        const char *path = field_text_or(running->config, "linux.cgroupsPath", "");

        if (!*path)
                return NULL;
        struct error *err = cgroup_entry_open(path, &entry);
        int errnum = err ? 0 : cgroup_entry_take(entry.fds, entry.n);
        return errnum ? error_errno(errnum, "enter cgroup %s", path) : err;
}

static struct error *run_command(struct store *store, const json_t *pod, const struct running *running,
                                 char **command) {
        const char *uid = field_text_or(pod, "metadata.uid", "");
        _cleanup_free_ char *run = store_pod_run_folder(store, uid);
        _cleanup_free_ char *state_root = path_join(run, "crun");
        _cleanup_json_ json_t *process = oci_process_for_exec(running->config, command, use_tty);
        _cleanup_free_ char *path = NULL, *program = NULL;
        struct error *err;

        if (use_tty)
                add_terminal_type(process);
        err = use_tty ? NULL : guard_command();
        if (!err)
                err = process_file(process, &path);
        if (!err)
                err = supervisor_enter_mounts(store, uid);
        if (!err)
                err = oci_runtime_find(run, field_text(pod, "spec.runtimeClassName"), "crun", &program);
        if (err)
                return err;
        take_null(!use_stdin && !use_tty);
        give_pipes(running);
        if (use_tty) {
                err = window_follow();
                if (err)
                        return err;
        }
        if (oci_runtime_can_leave_cgroups(program) && cgroup_runtime_is_inside()) {
                err = enter_cgroup(running);
                if (err)
                        return err;
        }
        const struct oci_runtime runtime = { .program = program, .state_root = state_root };
        _cleanup_strv_ char **argv = oci_runtime_exec_argv(&runtime, running->id, path, NULL, NULL, false);
        execvp(argv[0], argv);
        return error_errno(errno, "run %s", argv[0]);
}

static struct error *check_words(const struct arguments *a) {
        if (a->n_words == 0 || a->dash == 0)
                return usage_error("pod, type/name must be specified");
        if (a->dash < 0 && a->n_words > 1)
                return usage_error(
                        "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead");
        if (a->dash > 1)
                return usage_error("exactly one pod is expected before `--`");
        if (a->n_words < 2)
                return usage_error("you must specify at least one command for the container");
        return NULL;
}

struct error *exec_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_running_ struct running running = RUNNING_INIT;
        _cleanup_json_ json_t *pod = NULL;
        struct store *store;
        const char *name;
        struct error *err;

        err = check_words(arguments);
        if (!err)
                err = cli_store(cli, &store);
        if (!err)
                err = pod_load(cli, arguments->words[0], &pod);
        if (!err)
                err = container_choose(pod, container, quiet, &name);
        if (!err)
                err = container_open(store, pod, name, &running);
        if (err)
                return err;
        if (use_tty && !isatty(STDIN_FILENO)) {
                fprintf(stderr, "Unable to use a TTY - input is not a terminal or the right kind of file\n");
                use_tty = false;
        }
        char **command = arguments->words + 1;
        cli->status = check_program(&running, command[0]);
        if (cli->status) {
                fprintf(stderr, "error: exec: \"%s\": %s in container %s\n", command[0],
                        cli->status == EXIT_NOT_FOUND ? "executable file not found" : "not an executable file", name);
                return NULL;
        }
        return run_command(store, pod, &running, command);
}
