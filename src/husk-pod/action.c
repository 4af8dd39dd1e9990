/* action.c - carries out one probe or hook for a container and answers with pod_run_done(). */
#include "husk-pod/runtime.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/str.h"
#include "husk-pod/probe-io.h"
#include "husk-pod/probe-url.h"
#include "oci/spec.h"
#include "sandbox/cgroup.h"

#define OUTPUT_MAX (10 * 1024) /* of an exec probe, as a kubelet keeps it */
#define KILL_GRACE_NS (2 * NSEC_PER_SEC)
#define DESCRIPTORS_KEPT_MAX 256 /* of husk-pod as a whole, when files of cgroups are kept open */

static const char *const kind_names[] = {
        [RUN_STARTUP_PROBE] = "startup", [RUN_LIVENESS_PROBE] = "liveness", [RUN_READINESS_PROBE] = "readiness",
        [RUN_POST_START] = "poststart",  [RUN_PRE_STOP] = "prestop",
};

struct action {
        struct runtime *rt;
        struct action *next;
        uint64_t id;
        struct probe_io *io;

        /* exec */
        struct loop_command *command;
        struct loop_timer *timer; /* the timeout; then, until the end is seen, a harder one */
        bool timed_out;
        bool hook;   /* its output goes into a status, not into an event */
        char *words; /* the command, for messages */
        char *files; /* path below which .json, .log and .pid lie */
        int64_t timeout_ns;
};

static char *file_of(const struct action *a, const char *suffix) {
        return xasprintf("%s.%s", a->files, suffix);
}

static struct action *action_free(struct action *a) {
        probe_io_free(a->io);
        loop_command_free(a->command);
        loop_timer_free(a->timer);
        free(a->words);
        free(a->files);
        free(a);
        return NULL;
}

static void action_unlink(struct action *a) {
        struct action **p = &a->rt->actions;
        while (*p != a)
                p = &(*p)->next;
        *p = a->next;
}

static void answer(struct action *a, enum run_result result, const char *output) {
        struct runtime *rt = a->rt;
        uint64_t id = a->id;

        action_unlink(a);
        action_free(a);
        pod_run_done(rt->pod, id, result, output);
}

/* ---- exec ---- */

/* The process in the container, which is no child of the OCI runtime that it could take with it. */
static void kill_inside(struct action *a) {
        _cleanup_free_ char *path = file_of(a, "pid"), *text = NULL;
        _cleanup_error_ struct error *err = file_read(path, 64, &text, NULL);
        uint64_t pid;

        if (err)
                return;
        text[strcspn(text, "\n")] = '\0';
        if (!str_to_u64(text, &pid) || pid < 2 || pid > INT32_MAX)
                return;
        _cleanup_close_ int pidfd = process_open((pid_t)pid, 0);
        /* Only if it is the OCI runtime's child still: a pid file may be old. */
        if (pidfd >= 0 && process_parent((pid_t)pid) == loop_command_pid(a->command))
                pidfd_signal(pidfd, SIGKILL);
}

static void exec_timed_out(void *arg) {
        struct action *a = arg;

        if (a->timed_out) { /* killing the command was not enough */
                loop_command_signal(a->command, SIGKILL);
                return;
        }
        a->timed_out = true;
        kill_inside(a);
        loop_timer_set(a->timer, KILL_GRACE_NS);
}

/* What the OCI runtime says in its log, if it was not the command that failed. */
static char *exec_runtime_message(struct action *a) {
        _cleanup_free_ char *path = file_of(a, "log"), *text = NULL;
        size_t len;
        _cleanup_error_ struct error *err = file_read(path, 1 << 20, &text, &len);
        return err || !len ? xstrdup("") : oci_runtime_log_message(text, len);
}

/* As a kubelet words it, output in Go's quotes. */
static char *hook_failure(const struct action *a, const struct loop_command_result *result) {
        struct strbuf text = STRBUF_INIT;

        strbuf_addf(&text, "command '%s' exited with %d: %s, message: ", a->words, result->exit.si_status,
                    result->errors);
        _cleanup_free_ char *both = xasprintf("%s%s", result->output, result->errors);
        strbuf_add_quoted(&text, both);
        return strbuf_take(&text);
}

/* What the next run would take for its own. An empty log it would not, nor a pid that is no child of its OCI runtime:
 * after a success, as a rule, nothing has to be removed. */
static void forget_files(const char *pid, const char *log) {
        unlink(pid);
        unlink(log);
}

static bool has_text(const char *path) {
        struct stat st;
        return stat(path, &st) == 0 && st.st_size > 0;
}

static void exec_done(void *arg, struct loop_command_result *result) {
        struct action *a = arg;
        _cleanup_free_ char *message = NULL, *pid = file_of(a, "pid"), *log = file_of(a, "log");
        bool success = result->exit.si_code == CLD_EXITED && result->exit.si_status == 0;

        a->command = NULL;
        message = result->failure           ? xstrdup(result->failure)
                  : success || a->timed_out ? xstrdup("")
                                            : exec_runtime_message(a);
        if (!success || has_text(log))
                forget_files(pid, log);
        if (a->timed_out) {
                _cleanup_free_ char *text = xasprintf("command timed out: \"%s\" timed out after %llds", a->words,
                                                      (long long)(a->timeout_ns / NSEC_PER_SEC));
                answer(a, RUN_FAILURE, text);
        } else if (success) {
                answer(a, RUN_SUCCESS, result->output);
        } else if (*message) {
                answer(a, RUN_ERROR, message);
        } else if (a->hook) {
                _cleanup_free_ char *text = hook_failure(a, result);
                answer(a, RUN_FAILURE, text);
        } else {
                answer(a, RUN_FAILURE, result->output);
        }
}

/* process.json: the container's own process with another argv. Made once for each probe of a run. */
static struct error *process_file_make(const struct instance *i, const V1ExecAction *exec, const char *path) {
        _cleanup_free_ char *config = path_join(i->bundle, "config.json"), *text = NULL;
        _cleanup_strv_ char **argv = NULL;
        json_error_t mistake;

        if (file_exists(path))
                return NULL;
        json_t *spec = json_load_file(config, 0, &mistake);
        if (!spec)
                return error_new(ERROR_INTERNAL, "%s: %s", config, mistake.text);
        for (size_t n = 0; n < exec->n_command; n++)
                argv = strv_add(argv, exec->command[n]);
        json_t *process = oci_process_for_exec(spec, argv, false);
        text = json_dumps(process, JSON_COMPACT);
        json_decref(process);
        json_decref(spec);
        if (!text)
                return error_new(ERROR_INTERNAL, "%s: not JSON", path);
        return file_replace(path, text, strlen(text), 0600, 0);
}

static char *words_of(const V1ExecAction *exec) {
        struct strbuf words = STRBUF_INIT;
        for (size_t n = 0; n < exec->n_command; n++)
                strbuf_addf(&words, "%s%s", n ? " " : "", exec->command[n]);
        return strbuf_take(&words);
}

/* Where the command enters the container's cgroup. A probe comes again and again: a quarter of what it takes of
 * husk-pod would be to open these files, so they stay open as long as husk-pod has few. (On v2 the OCI runtime does
 * it.) */
static struct error *entry_open(struct instance *i) {
        return i->entry.n ? NULL : cgroup_entry_open(i->cgroup, &i->entry);
}

static void entry_settle(struct instance *i) {
        if (i->entry.n && i->entry.fds[i->entry.n - 1] >= DESCRIPTORS_KEPT_MAX)
                cgroup_entry_close(&i->entry);
}

static struct error *exec_start(struct action *a, const struct action_run *run) {
        struct instance *i = instance_running(a->rt, run->container);
        struct error *err;

        if (!i)
                return error_new(ERROR_UNAVAILABLE, "container %s is not running", run->container);
        a->words = words_of(run->exec);
        a->files = xasprintf("%s/%s", i->bundle, kind_names[run->kind]);
        _cleanup_free_ char *process = file_of(a, "json"), *log = file_of(a, "log"), *pid = file_of(a, "pid");
        struct oci_runtime oci;
        err = runtime_oci(a->rt, log, &oci);
        if (!err)
                err = process_file_make(i, run->exec, process);
        if (err)
                return err;
        if (!(i->probed & 1u << run->kind)) /* a husk-pod before this one may have been killed meanwhile */
                forget_files(pid, log);
        i->probed |= 1u << run->kind;
        err = oci.no_cgroups ? entry_open(i) : NULL;
        if (err)
                return err;
        _cleanup_strv_ char **argv = oci_runtime_exec_argv(&oci, i->id, process, pid, NULL, false);
        struct loop_command_options options = {
                .argv = argv,
                .gather_output = true,
                .gather_errors = a->hook,
                .merge = !a->hook,
                .output_max = OUTPUT_MAX,
                .linger_ms = 20,
                .enter = i->entry.fds,
                .n_enter = i->entry.n,
        };
        if (id_map_is_set(&a->rt->ids)) { /* else the OCI runtime does it */
                options.pipe_uid = id_map_outside(&a->rt->ids, (uint32_t)i->uid);
                options.pipe_gid = id_map_outside(&a->rt->ids, (uint32_t)i->gid);
        }
        err = loop_command_new(a->rt->loop, &options, exec_done, a, &a->command);
        entry_settle(i);
        if (!err && run->timeout_ns > 0)
                loop_timer_set(a->timer, run->timeout_ns);
        return err;
}

/* ---- the network ---- */

/* A number, or the name of one of the container's ports. */
static bool port_of(const V1Container *c, const V1IntOrString *port, uint16_t *ret) {
        uint64_t n = 0;

        if (!port)
                return false;
        if (!port->strval || !*port->strval) {
                n = port->has_intval && port->intval > 0 ? (uint64_t)port->intval : 0;
        } else {
                for (size_t i = 0; i < c->n_ports && !n; i++)
                        if (streq_ptr(c->ports[i]->name, port->strval))
                                n = (uint64_t)c->ports[i]->containerport;
                if (!n)
                        str_to_u64(port->strval, &n);
        }
        *ret = (uint16_t)n;
        return n > 0 && n < 65536;
}

static void io_done(void *arg, enum run_result result, const char *message) {
        struct action *a = arg;
        a->io = NULL;
        answer(a, result, message);
}

static const char *host_of(const struct action *a, const char *asked) {
        if (!str_empty(asked))
                return asked;
        return a->rt->sb.pod_ips && a->rt->sb.pod_ips[0] ? a->rt->sb.pod_ips[0] : "127.0.0.1";
}

/* TLS would cost every supervisor several megabytes: husk-probe does it, and exits with an enum run_result. */
static void tls_probe_done(void *arg, struct loop_command_result *result) {
        struct action *a = arg;
        int status = result->exit.si_code == CLD_EXITED ? result->exit.si_status : RUN_ERROR;

        a->command = NULL;
        result->output[strcspn(result->output, "\n")] = '\0';
        answer(a, status >= RUN_SUCCESS && status <= RUN_ERROR ? (enum run_result)status : RUN_ERROR, result->output);
}

static struct error *tls_probe_start(struct action *a, const struct action_run *run) {
        const V1HTTPGetAction *http = run->http_get;
        _cleanup_strv_ char **argv = NULL;
        _cleanup_free_ char *program = NULL;
        uint16_t port;
        struct error *err = process_find_sister("husk-probe", &program);

        if (err)
                return err;
        if (!port_of(run->spec, http->port, &port))
                return error_new(ERROR_INVALID, "the container has no such port");
        argv = strv_add(argv, program);
        argv = strv_add(argv, a->hook ? "https-any" : "https");
        argv = strv_add(argv, host_of(a, http->host));
        argv = strv_add_take(argv, xasprintf("%u", port));
        argv = strv_add_take(argv, probe_request_path(http->path ? http->path : ""));
        argv = strv_add_take(argv, xasprintf("%lld", (long long)(run->timeout_ns / NSEC_PER_MSEC)));
        for (size_t i = 0; i < http->n_httpheaders; i++)
                argv = strv_add_take(argv, xasprintf("%s: %s", http->httpheaders[i]->name,
                                                     http->httpheaders[i]->value ? http->httpheaders[i]->value : ""));
        struct loop_command_options options = {
                .argv = argv,
                .gather_output = true,
                .output_max = OUTPUT_MAX,
                .timeout_ns = run->timeout_ns ? run->timeout_ns + NSEC_PER_SEC : 0,
        };
        return loop_command_new(a->rt->loop, &options, tls_probe_done, a, &a->command);
}

/* A kubelet finds out when it is about to ask, and takes it for an answer. */
static void refuse_header(struct action *a, const V1HTTPGetAction *http, const char *name) {
        _cleanup_free_ char *path = probe_request_path(http->path ? http->path : "");
        _cleanup_free_ char *text =
                xasprintf("Get \"%s\": net/http: invalid header field value for \"%s\"", path, name);

        answer(a, RUN_FAILURE, text);
}

static struct error *network_start(struct action *a, const struct action_run *run) {
        struct probe_io_request request = { .timeout_ns = run->timeout_ns };
        _cleanup_free_ char *path = NULL;
        bool port_known;

        if (run->http_get) {
                const V1HTTPGetAction *http = run->http_get;
                const char *bad = probe_bad_header(http->httpheaders, http->n_httpheaders);
                if (bad) {
                        refuse_header(a, http, bad);
                        return NULL;
                }
                if (streq_ptr(http->scheme, "HTTPS"))
                        return tls_probe_start(a, run);
                request.kind = PROBE_IO_HTTP;
                request.host = host_of(a, http->host);
                request.path = path = probe_request_path(http->path ? http->path : "");
                request.headers = http->httpheaders;
                request.n_headers = http->n_httpheaders;
                request.any_status = a->hook;
                port_known = port_of(run->spec, http->port, &request.port);
        } else if (run->tcp_socket) {
                request.kind = PROBE_IO_TCP;
                request.host = host_of(a, run->tcp_socket->host);
                port_known = port_of(run->spec, run->tcp_socket->port, &request.port);
        } else {
                request.kind = PROBE_IO_GRPC;
                request.host = host_of(a, NULL);
                request.service = run->grpc->service;
                request.port = (uint16_t)run->grpc->port;
                port_known = run->grpc->port > 0;
        }
        if (!port_known)
                return error_new(ERROR_INVALID, "the container has no such port");
        a->io = probe_io_new(a->rt->loop, &request, io_done, a);
        return NULL;
}

/* ---- both ---- */

void action_start(void *ctx, const struct action_run *run) {
        struct runtime *rt = ctx;
        struct action *a = new0(struct action);

        a->rt = rt;
        a->id = run->id;
        a->timeout_ns = run->timeout_ns;
        a->hook = run->kind == RUN_POST_START || run->kind == RUN_PRE_STOP;
        a->timer = loop_timer_new(rt->loop, exec_timed_out, a);
        a->next = rt->actions;
        rt->actions = a;
        _cleanup_error_ struct error *err = run->exec ? exec_start(a, run) : network_start(a, run);
        if (err)
                answer(a, RUN_ERROR, error_message(err));
}

/* A command that was cancelled is killed inside the container, too; nobody waits for it. */
void action_cancel(void *ctx, uint64_t id) {
        struct runtime *rt = ctx;

        for (struct action *a = rt->actions; a; a = a->next) {
                if (a->id != id)
                        continue;
                if (a->command && a->files)
                        kill_inside(a);
                action_unlink(a);
                action_free(a);
                return;
        }
}

void actions_release(struct runtime *rt) {
        while (rt->actions) {
                struct action *a = rt->actions;
                rt->actions = a->next;
                action_free(a);
        }
}
