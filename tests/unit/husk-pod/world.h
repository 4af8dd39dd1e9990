/* world.h - a fake world behind a pod's state machine: a virtual clock, and a runtime that answers as it is told.
 *
 * Operations are written down as lines ("start app/0", "ask app/0", "sandbox-start 0") and turned into answers that
 * wait in a queue; world_run() delivers what is due, world_advance() moves the clock from deadline to deadline. What
 * the containers, pulls, probes and hooks do is set beforehand in plain fields. Every operation is checked against the
 * invariants of docs/lifecycle.md as it comes: a breach fails the test at once. */
#pragma once

#include "test.h"

#include <stdio.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/str.h"
#include "husk-pod/pod-private.h" /* for when its grace is over, which nothing else tells */
#include "husk-pod/pod.h"
#include "husk-pod/restart.h"

#define SECONDS(n) ((int64_t)((n)*1e9 + 0.5))
#define FOR_EVER INT64_MAX

/* How one container's program behaves. */
struct program {
        const char *name;
        int64_t runs_ns; /* then it exits; FOR_EVER */
        int exit_code;
        bool ignores_term;
        int64_t term_takes_ns;
        int term_exit_code;
        int start_fails;     /* enum start_failure + 1; 0: starts */
        const char *message; /* termination message, or of the failed start */
        bool oom;
        /* answers of probes and hooks, and how long they take; hooks of FOR_EVER never answer */
        enum run_result result[_RUN_KIND_MAX];
        int64_t takes_ns[_RUN_KIND_MAX];
        const char *output;
};

struct process {
        char name[32];
        unsigned attempt, sandbox;
        enum container_role role;
        bool alive, asked;
        bool told; /* the machine knows that it was started */
        int exit_code;
        int64_t started_ns, ended_ns;
        char image[64];
};

/* A probe or hook under way. */
struct active_run {
        uint64_t id;
        char container[32];
        enum run_kind kind;
};

enum answer_kind {
        ANSWER_SANDBOX,
        ANSWER_SANDBOX_GONE,
        ANSWER_VOLUMES,
        ANSWER_IMAGE,
        ANSWER_START,
        ANSWER_EXIT,
        ANSWER_RUN,
        ANSWER_RESIZE
};
struct answer {
        enum answer_kind kind;
        int64_t at_ns;
        char name[64];
        unsigned attempt;
        uint64_t id;
        enum run_result result;
        int exit_code, signal;
};

struct world {
        struct pod *pod;
        const struct pod_ops *ops;
        int64_t now_ns, realtime_ns, wake_ns;
        uint64_t seed, first_seed; /* of the random numbers: as it is, and as it was for this run */
        struct api_arena *arena;
        V1Pod *spec;

        struct program programs[12];
        size_t n_programs;
        struct process processes[64];
        size_t n_processes;
        struct answer answers[256];
        size_t n_answers;
        struct active_run active[64];
        size_t n_active;
        char pulling[8][64];
        size_t n_pulling;

        bool sandbox_exists;
        bool hold_sandbox; /* making one never ends */
        unsigned sandbox_attempt;
        const char *sandbox_fails, *volumes_fail, *pull_fails, *pull_reason;
        const char *absent_image; /* the one image that is not here */
        bool hold_pull;           /* the pull never answers */
        enum admission admission;
        char admission_message[200];
        const char *admission_reason;
        bool claimed;
        const char *victims[4];  /* whom admission would push aside */
        struct strbuf disrupted; /* lines "uid reason: message" */
        unsigned n_renewed;
        const char *resize_fails;
        size_t resize_reaches; /* so many runs are resized before it fails */
        bool resize_takes;     /* the answer comes later */
        bool resizing;         /* it is on its way */
        struct resized_run resized[8];
        char resized_names[8][32];
        size_t n_resized;
        bool finished;
        enum pod_end end;
        bool told_to_end;        /* deleted or evicted: nothing may be started any more */
        int64_t end_deadline_ns; /* when the grace of that is over */
        bool sandbox_died;
        bool restarts_all;  /* the spec has a rule RestartAllContainers */
        bool was_probed;    /* a liveness or startup probe has failed once: policies bend */
        bool image_changed; /* at some time: a restart whatever the policy, and without back-off */
        bool quiet;         /* do not write lines (random test) */
        struct strbuf lines;
        json_t *events, *state;
        struct api_arena *status_arena;
        V1PodStatus *status; /* copy of the last published */
        unsigned n_published, n_saved, n_runs;
};

#define BREACH(w, ...) \
        do { \
                print_error("seed %llu: ", (unsigned long long)(w)->first_seed); \
                fail_msg(__VA_ARGS__); \
        } while (0)

static inline bool world_traces(void) {
        static int traces = -1;

        if (traces < 0)
                traces = getenv("HUSK_TRACE") != NULL;
        return traces;
}

static inline void world_line(struct world *w, const char *format, ...) {
        va_list ap;
        char line[300];

        if (w->quiet)
                return;
        va_start(ap, format);
        vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        strbuf_addf(&w->lines, "%s\n", line);
        if (world_traces())
                print_message("%10.3f   %s\n", (double)w->now_ns / 1e9, line);
}

static inline struct program *world_program(struct world *w, const char *name) {
        for (size_t i = 0; i < w->n_programs; i++)
                if (streq(w->programs[i].name, name))
                        return &w->programs[i];
        fail_msg("no program %s", name);
        return NULL;
}

static inline struct process *world_process(struct world *w, const char *name) {
        for (size_t i = w->n_processes; i-- > 0;)
                if (streq(w->processes[i].name, name))
                        return &w->processes[i];
        return NULL;
}

static inline bool world_alive(struct world *w, const char *name) {
        for (size_t i = 0; i < w->n_processes; i++)
                if (streq(w->processes[i].name, name) && w->processes[i].alive)
                        return true;
        return false;
}

static inline size_t world_count_alive(const struct world *w) {
        size_t n = 0;

        for (size_t i = 0; i < w->n_processes; i++)
                n += w->processes[i].alive;
        return n;
}

static inline void world_answer(struct world *w, struct answer a) {
        if (w->n_answers == ARRAY_SIZE(w->answers))
                BREACH(w, "too many questions");
        w->answers[w->n_answers++] = a;
}

/* ---- the operations ---- */

static int64_t world_monotonic(void *ctx) {
        return ((struct world *)ctx)->now_ns;
}

static int64_t world_realtime(void *ctx) {
        struct world *w = ctx;

        return w->realtime_ns + w->now_ns;
}

static uint64_t world_random(void *ctx) {
        struct world *w = ctx;

        w->seed = w->seed * 6364136223846793005ULL + 1442695040888963407ULL;
        return w->seed >> 20;
}

static void world_wake_at(void *ctx, int64_t at_ns) {
        ((struct world *)ctx)->wake_ns = at_ns;
}

static void world_admit(void *ctx, struct admission_result *ret) {
        struct world *w = ctx;

        *ret = (struct admission_result){ .admission = w->admission };
        snprintf(ret->reason, sizeof(ret->reason), "%s", w->admission_reason ?: "Unschedulable");
        snprintf(ret->message, sizeof(ret->message), "%s", w->admission_message);
        snprintf(ret->node, sizeof(ret->node), "node1");
        for (size_t i = 0; i < ARRAY_SIZE(w->victims) && w->victims[i]; i++) {
                ret->nominated = true;
                snprintf(ret->victims[ret->n_victims++], sizeof(ret->victims[0]), "%s", w->victims[i]);
        }
        w->claimed |= w->admission == ADMIT_YES;
        world_line(w, "admit");
}

static void world_release(void *ctx) {
        struct world *w = ctx;

        w->claimed = false;
}

static void world_claim_renew(void *ctx) {
        struct world *w = ctx;

        if (!w->claimed)
                BREACH(w, "a claim is renewed that is not held");
        w->n_renewed++;
}

static void world_pod_disrupt(void *ctx, const char *uid, const char *reason, const char *message) {
        struct world *w = ctx;

        if (w->finished)
                BREACH(w, "%s is disrupted by a pod that has finished", uid);
        if (!w->quiet)
                strbuf_addf(&w->disrupted, "%s %s: %s\n", uid, reason, message);
}

static void world_sandbox_start(void *ctx, unsigned attempt) {
        struct world *w = ctx;

        if (w->sandbox_exists)
                BREACH(w, "a second sandbox (%u beside %u)", attempt, w->sandbox_attempt);
        if (world_count_alive(w))
                BREACH(w, "a new sandbox while a container of the old one runs");
        if (w->finished)
                BREACH(w, "a sandbox for a pod that has finished");
        world_line(w, "sandbox-start %u", attempt);
        w->sandbox_attempt = attempt;
        w->sandbox_exists = w->sandbox_fails == NULL;
        if (w->told_to_end)
                BREACH(w, "a sandbox for a pod that ends");
        if (!w->hold_sandbox)
                world_answer(w, (struct answer){ .kind = ANSWER_SANDBOX, .at_ns = w->now_ns, .attempt = attempt });
}

static void world_sandbox_stop(void *ctx, unsigned attempt) {
        struct world *w = ctx;

        if (world_count_alive(w))
                BREACH(w, "the sandbox is stopped under a running container");
        world_line(w, "sandbox-stop %u", attempt);
        w->sandbox_exists = false;
        world_answer(w, (struct answer){ .kind = ANSWER_SANDBOX_GONE, .at_ns = w->now_ns, .attempt = attempt });
}

static void world_volumes_setup(void *ctx) {
        struct world *w = ctx;

        world_line(w, "volumes");
        world_answer(w, (struct answer){ .kind = ANSWER_VOLUMES, .at_ns = w->now_ns });
}

static enum image_presence world_image_lookup(void *ctx, const char *image, struct image_facts *ret) {
        struct world *w = ctx;
        static char id[100];

        if (strchr(image, '!'))
                return IMAGE_INVALID_NAME;
        if (w->absent_image && streq(image, w->absent_image))
                return IMAGE_ABSENT;
        snprintf(id, sizeof(id), "%s@sha256:1", image);
        *ret = (struct image_facts){ .id = id, .name = image };
        return IMAGE_PRESENT;
}

static void world_image_pull(void *ctx, const char *image) {
        struct world *w = ctx;
        struct answer a = { .kind = ANSWER_IMAGE, .at_ns = w->now_ns };

        for (size_t i = 0; i < w->n_pulling; i++)
                if (streq(w->pulling[i], image))
                        BREACH(w, "%s is pulled twice at a time", image);
        snprintf(w->pulling[w->n_pulling++], sizeof(w->pulling[0]), "%s", image);

        world_line(w, "pull %s", image);
        snprintf(a.name, sizeof(a.name), "%s", image);
        if (!w->hold_pull)
                world_answer(w, a);
}

/* Ordinary init containers have ended well and sidecars have been up, in this sandbox, before what comes after them. */
static inline void world_check_order(struct world *w, const struct container_run *run) {
        const V1PodSpec *spec = w->spec->spec;

        if (run->role == ROLE_EPHEMERAL)
                return;
        for (size_t i = 0; i < spec->n_initcontainers; i++) {
                const V1Container *c = spec->initcontainers[i];
                const struct process *p = world_process(w, c->name);

                if (streq(c->name, run->name))
                        break;
                if (!p || p->sandbox != run->sandbox)
                        BREACH(w, "%s is started before %s", run->name, c->name);
                if (!streq_ptr(c->restartpolicy, "Always") && (p->alive || p->exit_code != 0))
                        BREACH(w, "%s is started though %s has not ended well", run->name, c->name);
        }
        for (size_t i = 0; run->role == ROLE_INIT && i < spec->n_containers; i++)
                if (world_alive(w, spec->containers[i]->name))
                        BREACH(w, "%s is started while %s runs", run->name, spec->containers[i]->name);
}

/* What the restart policy forbids, and what back-off puts off. `p` is the run before. */
static inline void world_check_policy(struct world *w, const struct container_run *run, const struct process *p) {
        const V1PodSpec *spec = w->spec->spec;
        const char *policy = run->spec->restartpolicy ?: spec->restartpolicy ?: "Always";
        bool same = p && p->sandbox == run->sandbox && streq(p->image, run->spec->image) && p->ended_ns;

        if (!same || run->role == ROLE_SIDECAR || w->restarts_all)
                return;
        if (run->role == ROLE_EPHEMERAL)
                BREACH(w, "ephemeral %s is started again", run->name);
        if (run->role == ROLE_INIT && p->exit_code == 0)
                BREACH(w, "%s is run again though it ended well", run->name);
        if (!w->was_probed && !w->image_changed && run->spec->n_restartpolicyrules == 0 &&
            (streq(policy, "Never") || (streq(policy, "OnFailure") && p->exit_code == 0)))
                BREACH(w, "%s is restarted against policy %s after %d", run->name, policy, p->exit_code);
        if (run->attempt >= 2 && p->attempt == run->attempt - 1 && p->ended_ns - p->started_ns < SECONDS(500) &&
            !w->image_changed && w->now_ns - p->ended_ns < SECONDS(10))
                BREACH(w, "%s/%u is restarted after %.3f s", run->name, run->attempt,
                       (double)(w->now_ns - p->ended_ns) / 1e9);
}

static void world_container_start(void *ctx, const struct container_run *run) {
        struct world *w = ctx;
        struct answer a = { .kind = ANSWER_START, .at_ns = w->now_ns, .attempt = run->attempt };
        struct process *p = world_process(w, run->name);

        if (!w->sandbox_exists || w->sandbox_attempt != run->sandbox)
                BREACH(w, "%s is started without its sandbox", run->name);
        if (world_alive(w, run->name))
                BREACH(w, "%s is started twice", run->name);
        if (p && run->attempt <= p->attempt)
                BREACH(w, "%s: attempt %u again", run->name, run->attempt);
        if (w->finished || w->told_to_end)
                BREACH(w, "%s is started in a pod that ends", run->name);
        world_check_order(w, run);
        world_check_policy(w, run, p);
        world_line(w, "start %s/%u", run->name, run->attempt);
        snprintf(a.name, sizeof(a.name), "%s", run->name);
        a.exit_code = world_program(w, run->name)->start_fails;
        if (!a.exit_code) {
                if (w->n_processes == ARRAY_SIZE(w->processes)) { /* forget the oldest dead */
                        size_t i = 0;

                        while (w->processes[i].alive)
                                i++;
                        memmove(&w->processes[i], &w->processes[i + 1],
                                (w->n_processes - i - 1) * sizeof(*w->processes));
                        w->n_processes--;
                }
                p = &w->processes[w->n_processes++];
                *p = (struct process){ .attempt = run->attempt,
                                       .sandbox = run->sandbox,
                                       .role = run->role,
                                       .alive = true,
                                       .started_ns = w->now_ns };
                snprintf(p->image, sizeof(p->image), "%s", run->spec->image);
                snprintf(p->name, sizeof(p->name), "%s", run->name);
        }
        world_answer(w, a);
}

static inline bool world_has_answer(const struct world *w, enum answer_kind kind, const char *name, unsigned attempt) {
        for (size_t i = 0; i < w->n_answers; i++)
                if (w->answers[i].kind == kind && streq(w->answers[i].name, name) && w->answers[i].attempt == attempt)
                        return true;
        return false;
}

static inline bool world_remove_answer(struct world *w, enum answer_kind kind, const char *name, unsigned attempt) {
        for (size_t i = 0; i < w->n_answers; i++)
                if (w->answers[i].kind == kind && streq(w->answers[i].name, name) && w->answers[i].attempt == attempt) {
                        w->answers[i] = w->answers[--w->n_answers];
                        return true;
                }
        return false;
}

/* The process of a container ends at that time, with that code. */
static inline void world_exit_at(struct world *w, const char *name, unsigned attempt, int64_t at_ns, int code,
                                 int signal) {
        struct answer a = {
                .kind = ANSWER_EXIT, .at_ns = at_ns, .attempt = attempt, .exit_code = code, .signal = signal
        };

        world_remove_answer(w, ANSWER_EXIT, name, attempt);
        snprintf(a.name, sizeof(a.name), "%s", name);
        world_answer(w, a);
}

/* Sidecars are asked to end after the mains, and the one that was started last is asked first. */
static inline void world_check_turn_to_stop(struct world *w, const char *sidecar) {
        const V1PodSpec *spec = w->spec->spec;
        bool after = false;

        for (size_t i = 0; i < spec->n_containers; i++)
                if (world_alive(w, spec->containers[i]->name))
                        BREACH(w, "sidecar %s is stopped before %s", sidecar, spec->containers[i]->name);
        for (size_t i = 0; i < spec->n_initcontainers; i++) {
                const V1Container *c = spec->initcontainers[i];

                if (after && streq_ptr(c->restartpolicy, "Always") && world_alive(w, c->name))
                        BREACH(w, "sidecar %s is stopped before %s", sidecar, c->name);
                after |= streq(c->name, sidecar);
        }
}

static void world_container_signal(void *ctx, const struct container_run *run, enum stop_signal signal) {
        struct world *w = ctx;
        struct program *program = world_program(w, run->name);
        struct process *p = world_process(w, run->name);

        world_line(w, "%s %s/%u", signal == STOP_KILL ? "kill" : "ask", run->name, run->attempt);
        if (!p || !p->alive || p->attempt != run->attempt)
                return;
        if (signal == STOP_ASK && !p->asked && run->role == ROLE_SIDECAR && w->told_to_end &&
            w->now_ns < w->end_deadline_ns)
                world_check_turn_to_stop(w, run->name);
        p->asked = true;
        if (signal == STOP_KILL)
                world_exit_at(w, run->name, run->attempt, w->now_ns, 137, 9);
        else if (!program->ignores_term)
                world_exit_at(w, run->name, run->attempt, w->now_ns + program->term_takes_ns, program->term_exit_code,
                              0);
}

static void world_container_remove(void *ctx, const struct container_run *run) {
        struct world *w = ctx;
        struct process *p = world_process(w, run->name);

        if (p && p->alive && p->attempt == run->attempt)
                BREACH(w, "%s is removed while it runs", run->name);
}

static inline void world_resized(struct world *w) {
        w->resizing = false;
        pod_resized(w->pod, w->resized, w->n_resized, w->resize_fails);
}

/* The runs that are resized, as "resize a/0 b/0"; "resize" alone is the pod's cgroup. */
static void world_resize(void *ctx, const struct container_run *runs, size_t n) {
        struct world *w = ctx;
        _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;

        if (!w->sandbox_exists)
                BREACH(w, "a pod without a sandbox is resized");
        if (w->resizing)
                BREACH(w, "a pod is resized twice at a time");
        w->resizing = true;
        w->n_resized = 0;
        for (size_t i = 0; i < n; i++) {
                struct process *p = world_process(w, runs[i].name);

                if (!p || p->attempt != runs[i].attempt)
                        BREACH(w, "%s/%u is resized and is not there", runs[i].name, runs[i].attempt);
                strbuf_addf(&names, " %s/%u", runs[i].name, runs[i].attempt);
                if (w->resize_fails && w->resize_reaches <= i)
                        continue;
                char *name = w->resized_names[w->n_resized];
                snprintf(name, sizeof(w->resized_names[0]), "%s", runs[i].name);
                w->resized[w->n_resized++] = (struct resized_run){ name, runs[i].attempt };
        }
        world_line(w, "resize%s", strbuf_str(&names));
        if (w->resize_takes)
                world_answer(w, (struct answer){ .kind = ANSWER_RESIZE, .at_ns = w->now_ns });
        else
                world_resized(w);
}

static inline void world_end_run(struct world *w, uint64_t id) {
        for (size_t i = 0; i < w->n_active; i++)
                if (w->active[i].id == id) {
                        w->active[i] = w->active[--w->n_active];
                        return;
                }
}

static void world_run_start(void *ctx, const struct action_run *run) {
        static const char *const names[] = { "startup", "liveness", "readiness", "postStart", "preStop" };
        struct world *w = ctx;
        struct program *program = world_program(w, run->container);

        if (!world_alive(w, run->container))
                BREACH(w, "%s: a %s where nothing runs", run->container, names[run->kind]);
        for (size_t i = 0; i < w->n_active; i++)
                if (w->active[i].kind == run->kind && streq(w->active[i].container, run->container))
                        BREACH(w, "%s: two of %s at a time", run->container, names[run->kind]);
        w->active[w->n_active] = (struct active_run){ .id = run->id, .kind = run->kind };
        snprintf(w->active[w->n_active++].container, sizeof(w->active[0].container), "%s", run->container);
        w->was_probed |= (run->kind == RUN_LIVENESS_PROBE || run->kind == RUN_STARTUP_PROBE) &&
                         program->result[run->kind] == RUN_FAILURE;
        w->n_runs++;
        world_line(w, "%s %s", names[run->kind], run->container);
        if (program->takes_ns[run->kind] != FOR_EVER)
                world_answer(w, (struct answer){ .kind = ANSWER_RUN,
                                                 .at_ns = w->now_ns + program->takes_ns[run->kind],
                                                 .id = run->id,
                                                 .result = program->result[run->kind] });
}

static void world_run_cancel(void *ctx, uint64_t id) {
        struct world *w = ctx;

        world_line(w, "cancel");
        world_end_run(w, id);
        for (size_t i = 0; i < w->n_answers; i++)
                if (w->answers[i].kind == ANSWER_RUN && w->answers[i].id == id) {
                        w->answers[i] = w->answers[--w->n_answers];
                        return;
                }
}

/* What is shown running runs, what runs is not shown as ended, and only a pod whose parts are ready is ready. */
static inline void world_check_container(struct world *w, const V1ContainerStatus *s) {
        bool alive = world_alive(w, s->name);

        if (s->state->running && !alive)
                BREACH(w, "%s is shown running", s->name);
        if ((s->ready || s->started) && !alive && !(s->state->terminated && s->state->terminated->exitcode == 0))
                BREACH(w, "%s is shown ready", s->name);
        if (!!s->state->running + !!s->state->waiting + !!s->state->terminated != 1)
                BREACH(w, "%s is not in one state", s->name);
        if (s->laststate->terminated && s->restartcount == 0 && s->state->running)
                BREACH(w, "%s has a last state and no restart", s->name);
}

static inline void world_check_status(struct world *w, const V1PodStatus *status) {
        bool ready = true;

        for (size_t i = 0; i < status->n_initcontainerstatuses; i++)
                world_check_container(w, status->initcontainerstatuses[i]);
        for (size_t i = 0; i < status->n_ephemeralcontainerstatuses; i++)
                world_check_container(w, status->ephemeralcontainerstatuses[i]);
        for (size_t i = 0; i < status->n_containerstatuses; i++) {
                world_check_container(w, status->containerstatuses[i]);
                ready &= status->containerstatuses[i]->ready;
        }
        for (size_t i = 0; i < status->n_conditions; i++)
                if (streq(status->conditions[i]->type, "Ready") && streq(status->conditions[i]->status, "True") &&
                    !ready)
                        BREACH(w, "the pod is Ready, its containers are not");
}

static void world_publish_status(void *ctx, const V1PodStatus *status, bool terminal) {
        struct world *w = ctx;

        if (w->status && (streq(w->status->phase, "Succeeded") || streq(w->status->phase, "Failed")) &&
            !streq(w->status->phase, status->phase))
                BREACH(w, "phase %s after %s", status->phase, w->status->phase);
        if (terminal && world_count_alive(w))
                BREACH(w, "phase %s while a container runs", status->phase);
        world_check_status(w, status);
        w->n_published++;
        api_arena_free(w->status_arena);
        w->status_arena = api_arena_new();
        w->status = api_copy(w->status_arena, &status->base);
}

static void world_publish_events(void *ctx, const json_t *events) {
        struct world *w = ctx;

        json_decref(w->events);
        w->events = json_incref((json_t *)events);
}

static void world_save(void *ctx, const json_t *state) {
        struct world *w = ctx;

        w->n_saved++;
        json_decref(w->state);
        w->state = json_deep_copy(state);
}

static void world_trace(void *ctx, const char *line) {
        if (world_traces())
                print_message("%10.3f %s\n", (double)((struct world *)ctx)->now_ns / 1e9, line);
}

static void world_finished(void *ctx, enum pod_end end) {
        struct world *w = ctx;

        if (w->finished)
                BREACH(w, "finished twice");
        if (world_count_alive(w) || w->sandbox_exists)
                BREACH(w, "finished with something left");
        if (w->claimed)
                BREACH(w, "finished with its claim held");
        w->finished = true;
        w->end = end;
        world_line(w, "finished");
}

static const struct pod_ops world_ops = {
        .monotonic_ns = world_monotonic,
        .realtime_ns = world_realtime,
        .random = world_random,
        .wake_at = world_wake_at,
        .admit = world_admit,
        .release = world_release,
        .claim_renew = world_claim_renew,
        .pod_disrupt = world_pod_disrupt,
        .sandbox_start = world_sandbox_start,
        .sandbox_stop = world_sandbox_stop,
        .volumes_setup = world_volumes_setup,
        .image_lookup = world_image_lookup,
        .image_pull = world_image_pull,
        .container_start = world_container_start,
        .container_signal = world_container_signal,
        .container_remove = world_container_remove,
        .resize = world_resize,
        .run_start = world_run_start,
        .run_cancel = world_run_cancel,
        .publish_status = world_publish_status,
        .publish_events = world_publish_events,
        .save = world_save,
        .trace = world_trace,
        .finished = world_finished,
};

/* ---- delivering ---- */

static inline void world_deliver_start(struct world *w, const struct answer *a) {
        struct program *program = world_program(w, a->name);
        static const int64_t groups[] = { 0, 10 };
        struct container_started started = {
                .pid = 100, .pid_start_time = 1, .realtime_ns = world_realtime(w), .groups = groups, .n_groups = 2
        };
        char id[80];

        if (a->exit_code) {
                pod_container_start_failed(w->pod, a->name, a->attempt, (enum start_failure)a->exit_code - 1,
                                           program->message ?: "it cannot", NULL);
                return;
        }
        snprintf(id, sizeof(id), "%s-%u", a->name, a->attempt);
        started.id = id;
        if (world_process(w, a->name) && world_process(w, a->name)->attempt == a->attempt)
                world_process(w, a->name)->told = true;
        if (program->runs_ns != FOR_EVER && world_alive(w, a->name))
                world_exit_at(w, a->name, a->attempt, w->now_ns + program->runs_ns, program->exit_code, 0);
        pod_container_started(w->pod, a->name, a->attempt, &started);
}

static inline void world_deliver(struct world *w, struct answer a) {
        if (world_traces())
                print_message("%10.3f answer %d %s/%u\n", (double)w->now_ns / 1e9, a.kind, a.name, a.attempt);

        static const char *const ips[] = { "10.88.0.2", NULL }, *const host_ips[] = { "192.0.2.1", NULL };
        const struct sandbox_facts facts = { .ips = ips, .host_ips = host_ips };
        struct image_facts image = { .id = "sha256:2", .size = 1000, .pull_ns = SECONDS(1.5), .waited_ns = SECONDS(2) };

        switch (a.kind) {
        case ANSWER_SANDBOX:
                if (w->sandbox_exists && w->sandbox_attempt == a.attempt)
                        pod_sandbox_started(w->pod, a.attempt, &facts);
                else
                        pod_sandbox_failed(w->pod, a.attempt, w->sandbox_fails ?: "it is gone");
                break;
        case ANSWER_SANDBOX_GONE:
                pod_sandbox_stopped(w->pod, a.attempt);
                break;
        case ANSWER_VOLUMES:
                if (w->volumes_fail)
                        pod_volumes_failed(w->pod, (char *const[]){ (char *)w->volumes_fail, NULL });
                else
                        pod_volumes_ready(w->pod);
                break;
        case ANSWER_IMAGE:
                for (size_t i = 0; i < w->n_pulling; i++)
                        if (streq(w->pulling[i], a.name)) {
                                memmove(w->pulling[i], w->pulling[w->n_pulling - 1], sizeof(w->pulling[0]));
                                w->n_pulling--;
                                break;
                        }
                if (w->pull_fails)
                        pod_image_failed(w->pod, a.name, w->pull_reason, w->pull_fails);
                else
                        pod_image_pulled(w->pod, a.name, &image);
                break;
        case ANSWER_START:
                world_deliver_start(w, &a);
                break;
        case ANSWER_EXIT: {
                struct process *p = world_process(w, a.name);
                struct program *program = world_program(w, a.name);
                struct container_exit end = { .exit_code = a.exit_code,
                                              .signal = a.signal,
                                              .oom_killed = program->oom && p && !p->asked,
                                              .finished_at_ns = world_realtime(w),
                                              .message = program->message };

                if (p && p->attempt == a.attempt) {
                        p->alive = false;
                        p->told = true;
                        p->exit_code = a.exit_code;
                        p->ended_ns = w->now_ns;
                }
                pod_container_exited(w->pod, a.name, a.attempt, &end);
                break;
        }
        case ANSWER_RESIZE:
                world_resized(w);
                break;
        case ANSWER_RUN:
                world_end_run(w, a.id);
                pod_run_done(w->pod, a.id, a.result, "said so");
                break;
        }
}

static inline int64_t world_next(const struct world *w, size_t *ret_index) {
        int64_t at_ns = w->wake_ns;

        *ret_index = SIZE_MAX;
        for (size_t i = 0; i < w->n_answers; i++)
                if (w->answers[i].at_ns < at_ns || (w->answers[i].at_ns == at_ns && *ret_index == SIZE_MAX)) {
                        at_ns = w->answers[i].at_ns;
                        *ret_index = i;
                }
        return at_ns;
}

/* Goes on until the clock would pass `until_ns`, delivering answers and the timer in order. */
static inline void world_run_until(struct world *w, int64_t until_ns) {
        unsigned rounds = 0;
        size_t i;

        while (!w->finished && world_next(w, &i) <= until_ns) {
                int64_t at_ns = world_next(w, &i);

                w->now_ns = MAX(w->now_ns, at_ns);
                if (i == SIZE_MAX) {
                        w->wake_ns = INT64_MAX;
                        pod_step(w->pod);
                } else {
                        struct answer a = w->answers[i];

                        memmove(&w->answers[i], &w->answers[i + 1], (w->n_answers - i - 1) * sizeof(a));
                        w->n_answers--;
                        world_deliver(w, a);
                }
                if (++rounds > 2000000)
                        BREACH(w, "does not settle");
        }
        w->now_ns = MAX(w->now_ns, until_ns);
}

static inline void world_run(struct world *w) {
        world_run_until(w, w->now_ns);
}

static inline void world_advance(struct world *w, double seconds) {
        world_run_until(w, w->now_ns + SECONDS(seconds));
}

/* ---- making ---- */

static inline V1Pod *world_decode(struct world *w, const char *spec) {
        json_error_t error;
        _cleanup_free_ char *text =
                xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"namespace\":"
                          "\"default\",\"uid\":\"u1\",\"generation\":1},\"spec\":%s}",
                          spec);
        struct diagnostics diags = DIAGNOSTICS_INIT;
        json_t *json;
        V1Pod *pod;

        for (char *p = text; *p; p++) /* JSON with single quotes reads better in C */
                if (*p == '\'')
                        *p = '"';
        json = json_loads(text, 0, &error);
        if (!json)
                fail_msg("%s: %s", error.text, text);
        pod = api_decode(json, &v1_pod__descriptor, w->arena, &diags);
        if (!pod || diags.n)
                fail_msg("bad spec: %s", text);
        diagnostics_release(&diags);
        json_decref(json);
        return pod;
}

static inline void world_add_program(struct world *w, const char *name) {
        struct program *p = &w->programs[w->n_programs++];

        *p = (struct program){ .name = name, .runs_ns = FOR_EVER, .term_takes_ns = 0, .term_exit_code = 143 };
}

static inline void world_init(struct world *w, const char *spec) {
        *w = (struct world){ .now_ns = SECONDS(1000),
                             .realtime_ns = SECONDS(1700000000),
                             .wake_ns = INT64_MAX,
                             .seed = 1,
                             .first_seed = 1 };
        w->arena = api_arena_new();
        w->spec = world_decode(w, spec);
        for (size_t i = 0; i < w->spec->spec->n_initcontainers; i++)
                world_add_program(w, w->spec->spec->initcontainers[i]->name);
        for (size_t i = 0; i < w->spec->spec->n_containers; i++)
                world_add_program(w, w->spec->spec->containers[i]->name);
        for (size_t i = 0; i < w->spec->spec->n_ephemeralcontainers; i++)
                world_add_program(w, w->spec->spec->ephemeralcontainers[i]->ephemeralcontainercommon->name);
        w->restarts_all = restart_may_restart_everything(w->spec->spec);
        w->ops = &world_ops;
        w->pod = pod_new(w->ops, w, w->spec);
}

static inline void world_release_all(struct world *w) {
        pod_free(w->pod);
        api_arena_free(w->arena);
        api_arena_free(w->status_arena);
        json_decref(w->events);
        json_decref(w->state);
        strbuf_release(&w->lines);
        strbuf_release(&w->disrupted);
}
#define _cleanup_world_ _cleanup_(world_release_all)

/* ---- acting ---- */

static inline void world_delete(struct world *w, int64_t grace) {
        V1Pod *spec = api_copy(w->arena, &w->spec->base);

        spec->metadata->deletiontimestamp = api_time_new(w->arena, world_realtime(w) / NSEC_PER_SEC + grace);
        spec->metadata->has_deletiongraceperiodseconds = true;
        spec->metadata->deletiongraceperiodseconds = grace;
        w->spec = spec;
        w->end_deadline_ns =
                w->told_to_end ? MIN(w->end_deadline_ns, w->now_ns + SECONDS(grace)) : w->now_ns + SECONDS(grace);
        if (w->pod->state == POD_TERMINATING) /* it was ending by itself: a deletion makes that no longer */
                w->end_deadline_ns = MIN(w->end_deadline_ns, w->pod->stop_deadline_ns);
        w->told_to_end = true;
        if (world_traces())
                print_message("%10.3f   delete, grace %lld\n", (double)w->now_ns / 1e9, (long long)grace);
        pod_spec_changed(w->pod, spec);
}

static inline void world_die(struct world *w, const char *name, int exit_code) {
        struct process *p = world_process(w, name);

        world_exit_at(w, name, p->attempt, w->now_ns, exit_code, 0);
        world_run(w);
}

/* ---- looking ---- */

static inline const V1ContainerStatus *world_status(struct world *w, const char *name) {
        const V1PodStatus *s = w->status;

        for (size_t i = 0; s && i < s->n_initcontainerstatuses; i++)
                if (streq(s->initcontainerstatuses[i]->name, name))
                        return s->initcontainerstatuses[i];
        for (size_t i = 0; s && i < s->n_containerstatuses; i++)
                if (streq(s->containerstatuses[i]->name, name))
                        return s->containerstatuses[i];
        for (size_t i = 0; s && i < s->n_ephemeralcontainerstatuses; i++)
                if (streq(s->ephemeralcontainerstatuses[i]->name, name))
                        return s->ephemeralcontainerstatuses[i];
        fail_msg("no status of %s", name);
        return NULL;
}

/* "running", "waiting/CrashLoopBackOff", "terminated/Error" */
static inline const char *world_state_text(const V1ContainerState *s) {
        static char buf[200];

        if (s->running)
                return "running";
        if (s->waiting)
                snprintf(buf, sizeof(buf), "waiting/%s", s->waiting->reason);
        else if (s->terminated)
                snprintf(buf, sizeof(buf), "terminated/%s", s->terminated->reason);
        else
                return "none";
        return buf;
}

static inline const char *world_state(struct world *w, const char *name) {
        return world_state_text(world_status(w, name)->state);
}

static inline const char *world_last_state(struct world *w, const char *name) {
        return world_state_text(world_status(w, name)->laststate);
}

static inline const V1PodCondition *world_condition(struct world *w, const char *type) {
        for (size_t i = 0; i < w->status->n_conditions; i++)
                if (streq(w->status->conditions[i]->type, type))
                        return w->status->conditions[i];
        return NULL;
}

static inline const char *world_condition_text(struct world *w, const char *type) {
        static char buf[300];
        const V1PodCondition *c = world_condition(w, type);

        if (!c)
                return "absent";
        snprintf(buf, sizeof(buf), "%s%s%s", c->status, c->reason ? "/" : "", c->reason ?: "");
        return buf;
}

/* How often the event was seen; 0: never. `message` may be NULL for any. */
static inline int world_event(struct world *w, const char *reason, const char *message) {
        size_t i;
        json_t *e;
        int count = 0;

        json_array_foreach(w->events, i,
                           e) if (streq(json_string_value(json_object_get(e, "reason")), reason) &&
                                  (!message || streq(json_string_value(json_object_get(e, "message")), message)))
                count += (int)json_integer_value(json_object_get(e, "count"));
        return count;
}

/* The lines since last time, and forgets them. */
static inline char *world_take_lines(struct world *w) {
        return strbuf_take(&w->lines);
}

#define assert_lines(w, expected) \
        do { \
                _cleanup_free_ char *_lines = world_take_lines(w); \
                assert_string_equal(_lines, expected); \
        } while (0)
