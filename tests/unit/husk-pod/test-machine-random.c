/* A million and more random events against the state machine, each followed by the checks of world.h. The seed is
 * printed; HUSK_SEED=<seed> runs that one pod again (HUSK_TRACE=1 shows its moves), HUSK_EVENTS=<n> asks for more. */
#include "world.h"

#define EVENTS_DEFAULT 1000000
#define EVENTS_PER_POD 400

static uint64_t below(struct world *w, uint64_t n) {
        return world_random(w) % n;
}

static bool one_in(struct world *w, uint64_t n) {
        return below(w, n) == 0;
}

#define PICK(w, ...) \
        ({ \
                static const char *const _choices[] = { __VA_ARGS__ }; \
                _choices[below(w, ARRAY_SIZE(_choices))]; \
        })

static void add_probe(struct world *w, struct strbuf *b, const char *name) {
        if (one_in(w, 3))
                strbuf_addf(b,
                            ",'%s':{'exec':{'command':['p']},'periodSeconds':%d,'failureThreshold':%d,'"
                            "initialDelaySeconds':%d%s}",
                            name, 1 + (int)below(w, 5), 1 + (int)below(w, 3), (int)below(w, 3),
                            one_in(w, 3) && !streq(name, "readinessProbe") ? ",'terminationGracePeriodSeconds':2" : "");
}

static void add_container(struct world *w, struct strbuf *b, const char *name, bool init) {
        const char *own = NULL;

        strbuf_addf(b, "%s{'name':'%s','image':'x','imagePullPolicy':'%s'", b->data[b->len - 1] == '[' ? "" : ",", name,
                    PICK(w, "Always", "IfNotPresent", "IfNotPresent", "Never"));
        if (init && one_in(w, 2))
                own = "Always";
        else if (one_in(w, 4))
                own = init ? PICK(w, "OnFailure", "Never") : PICK(w, "Always", "OnFailure", "Never");
        if (own)
                strbuf_addf(b, ",'restartPolicy':'%s'", own);
        if (own && one_in(w, 4))
                strbuf_addf(b, ",'restartPolicyRules':[{'action':'%s','exitCodes':{'operator':'%s','values':[2,3]}}]",
                            PICK(w, "Restart", "RestartAllContainers"), PICK(w, "In", "In", "NotIn"));
        if (!init || streq_ptr(own, "Always")) {
                add_probe(w, b, "startupProbe");
                add_probe(w, b, "livenessProbe");
                add_probe(w, b, "readinessProbe");
                if (one_in(w, 3))
                        strbuf_addf(b, ",'lifecycle':{'postStart':%s}",
                                    PICK(w, "{'exec':{'command':['p']}}", "{'sleep':{'seconds':1}}"));
                else if (one_in(w, 2))
                        strbuf_addf(b, ",'lifecycle':{'preStop':%s}",
                                    PICK(w, "{'exec':{'command':['p']}}", "{'sleep':{'seconds':3}}",
                                         "{'tcpSocket':{'port':1}}"));
        }
        strbuf_addc(b, '}');
}

static char *random_spec(struct world *w) {
        static const char *const init[] = { "i0", "i1", "i2" }, *const main[] = { "m0", "m1", "m2" };
        struct strbuf b = STRBUF_INIT;

        strbuf_addf(&b, "{'restartPolicy':'%s','terminationGracePeriodSeconds':%d,",
                    PICK(w, "Always", "OnFailure", "Never"), (int)below(w, 20));
        if (one_in(w, 20))
                strbuf_addf(&b, "'activeDeadlineSeconds':%d,", 1 + (int)below(w, 300));
        strbuf_adds(&b, "'initContainers':[");
        for (size_t i = 0, n = below(w, 4); i < n; i++)
                add_container(w, &b, init[i], true);
        strbuf_adds(&b, "],'containers':[");
        for (size_t i = 0, n = 1 + below(w, 3); i < n; i++)
                add_container(w, &b, main[i], false);
        strbuf_adds(&b, "]}");
        return strbuf_take(&b);
}

static void change_behaviour(struct world *w) {
        static const enum run_result results[] = { RUN_SUCCESS, RUN_SUCCESS, RUN_SUCCESS, RUN_FAILURE,
                                                   RUN_FAILURE, RUN_WARNING, RUN_ERROR };
        static const int64_t times[] = { 0, 0, SECONDS(0.1), SECONDS(3), FOR_EVER };
        static const int codes[] = { 0, 0, 1, 2, 137, 143 };

        for (size_t i = 0; i < w->n_programs; i++) {
                struct program *p = &w->programs[i];

                p->runs_ns = one_in(w, 3) ? SECONDS(below(w, 700)) : FOR_EVER;
                if (p->name[0] == 'i' && !one_in(w, 6))
                        p->runs_ns = SECONDS(below(w, 5));
                p->exit_code = codes[below(w, ARRAY_SIZE(codes))];
                p->ignores_term = one_in(w, 3);
                p->term_takes_ns = SECONDS(below(w, 10));
                p->term_exit_code = codes[below(w, ARRAY_SIZE(codes))];
                p->start_fails = one_in(w, 8) ? 1 + (int)below(w, _START_FAILURE_MAX) : 0;
                for (size_t k = 0; k < _RUN_KIND_MAX; k++) {
                        p->result[k] = results[below(w, ARRAY_SIZE(results))];
                        p->takes_ns[k] = times[below(w, ARRAY_SIZE(times))];
                }
        }
        w->sandbox_fails = one_in(w, 10) ? "no" : NULL;
        w->volumes_fail = one_in(w, 10) ? "no" : NULL;
        w->pull_fails = one_in(w, 4) ? "no" : NULL;
        w->absent_image = one_in(w, 4) ? PICK(w, "x", "y", "z") : NULL;
        w->admission = one_in(w, 20) ? ADMIT_WAIT : ADMIT_YES;
        w->resize_fails = one_in(w, 5) ? "no" : NULL;
        w->resize_takes = one_in(w, 2);
}

/* The node is tainted, or it is not any more; nobody deletes the pod for it at once. */
static void taint(struct world *w, bool tainted) {
        static char key[] = "k", effect[] = "NoExecute";
        V1Taint taint = V1_TAINT__INIT, *taints[] = { &taint };
        V1NodeSpec spec = V1_NODE_SPEC__INIT;
        V1ObjectMeta meta = V1_OBJECT_META__INIT;
        V1Node node = V1_NODE__INIT;

        taint.key = key;
        taint.effect = effect;
        spec.taints = taints;
        spec.n_taints = tainted;
        node.metadata = &meta;
        node.spec = &spec;
        pod_node_seen(w->pod, &node);
}

static void behave_well(struct world *w) {
        taint(w, false);
        for (size_t i = 0; i < w->n_programs; i++) {
                struct program *p = &w->programs[i];

                p->ignores_term = false;
                p->term_takes_ns = 0;
                p->start_fails = 0;
                for (size_t k = 0; k < _RUN_KIND_MAX; k++) {
                        p->result[k] = RUN_SUCCESS;
                        p->takes_ns[k] = 0;
                }
                p->runs_ns = FOR_EVER;
        }
        for (size_t i = 0; i < w->spec->spec->n_initcontainers; i++)
                if (!streq_ptr(w->spec->spec->initcontainers[i]->restartpolicy, "Always")) {
                        w->programs[i].runs_ns = 0;
                        w->programs[i].exit_code = 0;
                }
        w->sandbox_fails = w->volumes_fail = w->pull_fails = w->absent_image = w->resize_fails = NULL;
        w->admission = ADMIT_YES;
}

/* ---- events ---- */

/* Any of the answers that are due, not always the first. */
static void deliver_one(struct world *w) {
        size_t i = w->n_answers ? below(w, w->n_answers) : 0;
        struct answer a;

        if (!w->n_answers)
                return;
        a = w->answers[i];
        if (a.at_ns > w->now_ns)
                return;
        memmove(&w->answers[i], &w->answers[i + 1], (w->n_answers - i - 1) * sizeof(a));
        w->n_answers--;
        world_deliver(w, a);
}

static void clock_goes_on(struct world *w) {
        size_t i;
        int64_t next_ns = world_next(w, &i);

        if (next_ns == INT64_MAX || one_in(w, 10))
                next_ns = w->now_ns + SECONDS(below(w, 400));
        w->now_ns = MAX(w->now_ns, next_ns);
        if (w->now_ns >= w->wake_ns) {
                w->wake_ns = INT64_MAX;
                pod_step(w->pod);
        }
}

static void something_exits(struct world *w) {
        static const int codes[] = { 0, 0, 1, 2, 3, 137 };

        for (size_t i = 0; i < w->n_processes; i++)
                if (w->processes[i].alive && one_in(w, 3)) {
                        world_exit_at(w, w->processes[i].name, w->processes[i].attempt, w->now_ns,
                                      codes[below(w, ARRAY_SIZE(codes))], 0);
                        return;
                }
}

static void spec_changes(struct world *w) {
        static const char *const names[] = { "e0", "e1" };
        V1Pod *spec = api_copy(w->arena, &w->spec->base);
        V1PodSpec *s = spec->spec;

        switch (below(w, 6)) {
        case 0:
                s->containers[below(w, s->n_containers)]->image = api_arena_strdup(w->arena, PICK(w, "x", "y", "z"));
                w->image_changed = true;
                break;
        case 1:
                if (s->n_ephemeralcontainers < ARRAY_SIZE(names)) {
                        V1EphemeralContainer *e = api_new(w->arena, &v1_ephemeral_container__descriptor);

                        if (!e->ephemeralcontainercommon)
                                e->ephemeralcontainercommon =
                                        api_new(w->arena, &v1_ephemeral_container_common__descriptor);
                        e->ephemeralcontainercommon->name = api_arena_strdup(w->arena, names[s->n_ephemeralcontainers]);
                        e->ephemeralcontainercommon->image = api_arena_strdup(w->arena, "x");
                        world_add_program(w, names[s->n_ephemeralcontainers]);
                        *(V1EphemeralContainer **)api_arena_append(w->arena, &s->ephemeralcontainers,
                                                                   &s->n_ephemeralcontainers, sizeof(void *)) = e;
                        if (one_in(w, 2) && s->n_ephemeralcontainers == 2) { /* where a patch puts it */
                                s->ephemeralcontainers[1] = s->ephemeralcontainers[0];
                                s->ephemeralcontainers[0] = e;
                        }
                }
                break;
        case 2:
                s->has_activedeadlineseconds = true;
                s->activedeadlineseconds = (int64_t)below(w, 2000);
                break;
        case 3: {
                V1StringEntry *label = api_new(w->arena, &v1_string_entry__descriptor);

                label->key = label->value = api_arena_strdup(w->arena, PICK(w, "a", "b"));
                spec->metadata->labels = api_arena_alloc(w->arena, sizeof(void *));
                spec->metadata->labels[0] = label;
                spec->metadata->n_labels = 1;
                break;
        }
        default: {
                json_t *json = json_pack("{s:{s:s}}", "requests", "cpu", PICK(w, "1", "2", "3"));
                struct diagnostics diags = DIAGNOSTICS_INIT;
                void *resources = api_decode(json, &v1_resource_requirements__descriptor, w->arena, &diags);

                if (one_in(w, 2))
                        s->resources = resources;
                else
                        s->containers[0]->resources = resources;
                diagnostics_release(&diags);
                json_decref(json);
        }
        }
        spec->metadata->generation++;
        w->spec = spec;
        pod_spec_changed(w->pod, spec);
}

static void evict(struct world *w) {
        w->told_to_end = true;
        w->end_deadline_ns = w->now_ns; /* its grace is short: let the sidecars' order be */
        world_line(w, "evict");
        pod_evict(w->pod, "too much", 1);
}

/* The order of sidecars is checked against the deletion's grace; what was ending before has a grace of its own. */
static void delete_it(struct world *w) {
        world_delete(w, (int64_t)below(w, 30));
        if (w->spec->spec->has_activedeadlineseconds || w->sandbox_died)
                w->end_deadline_ns = w->now_ns;
}

static void nonsense(struct world *w) {
        struct container_exit end = { .exit_code = 1 };
        struct container_started started = { .id = "z", .n_groups = -1 };
        struct image_facts image = { 0 };
        const char *name = w->programs[below(w, w->n_programs)].name;
        const struct process *p = world_process(w, name);
        unsigned stale = p && p->attempt ? (unsigned)below(w, p->attempt) : 1000;

        switch (below(w, 9)) {
        case 0:
                pod_sandbox_started(w->pod, 1000, NULL);
                break;
        case 1:
                pod_sandbox_stopped(w->pod, 1000);
                break;
        case 2:
                pod_container_exited(w->pod, name, stale, &end);
                break;
        case 3:
                pod_container_started(w->pod, name, stale, &started);
                break;
        case 4:
                pod_container_start_failed(w->pod, name, stale, START_CREATE_ERROR, "x", NULL);
                break;
        case 5:
                pod_run_done(w->pod, below(w, 1000000) + 1000000, RUN_FAILURE, "x");
                break;
        case 6:
                pod_image_pulled(w->pod, "never asked for", &image);
                break;
        case 7:
                pod_set_condition(w->pod, "x.y/z", PICK(w, "True", "False"), NULL, NULL);
                break;
        default:
                pod_step(w->pod);
        }
}

/* The supervisor is killed; some things die while nobody looks. */
static void supervisor_dies(struct world *w) {
        json_t *state, *events = json_incref(w->events);
        struct container_exit end;
        size_t kept = 0;

        /* Half of the starts that were asked for had not got as far as a process. */
        for (size_t i = 0; i < w->n_processes; i++) {
                struct process *p = &w->processes[i];

                if (p->told || !world_has_answer(w, ANSWER_START, p->name, p->attempt) || one_in(w, 2))
                        continue;
                world_remove_answer(w, ANSWER_EXIT, p->name, p->attempt);
                memmove(p, p + 1, (--w->n_processes - i) * sizeof(*p));
                i--;
        }
        state = pod_save(w->pod);
        world_line(w, "the supervisor dies");
        pod_free(w->pod);
        /* Questions go with the one who asked; what lives goes on living, or ends. */
        for (size_t i = 0; i < w->n_answers; i++)
                if (w->answers[i].kind == ANSWER_EXIT)
                        w->answers[kept++] = w->answers[i];
        w->n_answers = kept;
        w->n_active = 0;
        w->n_pulling = 0;
        w->resizing = false;
        w->now_ns += SECONDS(below(w, 3));
        w->pod = pod_restore(w->ops, w, w->spec, state, events, true);
        if (!w->sandbox_exists || one_in(w, 10)) /* gone, or not to be found: which is the same */
                w->sandbox_died = true;
        else
                pod_sandbox_found(w->pod, w->sandbox_attempt, NULL);
        for (size_t i = 0; i < w->n_processes; i++) {
                struct process *p = &w->processes[i];
                struct container_started started = { .id = "found", .n_groups = -1, .realtime_ns = world_realtime(w) };

                if (!p->alive)
                        continue;
                if (!one_in(w, 10)) {
                        p->told = true;
                        pod_container_found(w->pod, p->name, p->attempt, &started);
                        continue;
                }
                p->alive = false;
                p->ended_ns = w->now_ns;
                p->exit_code = 137;
                world_remove_answer(w, ANSWER_EXIT, p->name, p->attempt);
                end = (struct container_exit){ .exit_code = 137,
                                               .finished_at_ns = world_realtime(w),
                                               .finished_monotonic_ns = w->now_ns };
                if (one_in(w, 2))
                        pod_container_exited(w->pod, p->name, p->attempt, &end);
                else if (!p->told) { /* lost, and nobody ever knew of it: it may be started under the same number */
                        memmove(p, p + 1, (--w->n_processes - i) * sizeof(*p));
                        i--;
                }
        }
        pod_restored(w->pod);
        json_decref(state);
        json_decref(events);
}

static void random_event(struct world *w) {
        unsigned dice = (unsigned)below(w, 1000);

        if (dice < 600)
                deliver_one(w);
        else if (dice < 800)
                clock_goes_on(w);
        else if (dice < 870)
                something_exits(w);
        else if (dice < 920)
                nonsense(w);
        else if (dice < 950)
                change_behaviour(w);
        else if (dice < 960) {
                w->sandbox_died = true;
                pod_sandbox_died(w->pod, w->sandbox_attempt);
        } else if (dice < 970)
                pod_objects_changed(w->pod);
        else if (dice < 978)
                pod_node_changed(w->pod);
        else if (dice < 980)
                taint(w, one_in(w, 2));
        else if (dice < 988)
                spec_changes(w);
        else if (dice < 996)
                supervisor_dies(w);
        else if (dice < 997)
                evict(w);
        else if (dice < 998)
                delete_it(w);
        else
                deliver_one(w);
}

/* Left alone by fate, it comes to rest where its spec wants it: everything up, or the pod at its end. */
static void check_that_it_settles(struct world *w) {
        behave_well(w);
        for (size_t i = 0; i < w->n_active; i++) { /* every question gets its answer in the end */
                struct answer a = {
                        .kind = ANSWER_RUN, .at_ns = w->now_ns, .id = w->active[i].id, .result = RUN_SUCCESS
                };
                bool waits = false;

                for (size_t j = 0; j < w->n_answers; j++)
                        waits |= w->answers[j].kind == ANSWER_RUN && w->answers[j].id == a.id;
                if (!waits)
                        world_answer(w, a);
        }
        for (size_t i = 0; i < w->n_processes; i++)
                if (w->processes[i].alive && w->processes[i].role == ROLE_INIT)
                        world_exit_at(w, w->processes[i].name, w->processes[i].attempt, w->now_ns, 0, 0);
        world_run_until(w, w->now_ns + SECONDS(3600));
        if (w->finished)
                return;
        if (w->told_to_end)
                BREACH(w, "does not end");
        pod_node_changed(w->pod);
        world_run_until(w, w->now_ns + SECONDS(3600));
        if (w->finished)
                return;
        if (!streq(w->status->phase, "Running") && !w->restarts_all) /* a rule may go round for ever */
                BREACH(w, "rests as %s", w->status->phase);
        for (size_t i = 0; i < w->status->n_containerstatuses; i++) {
                const V1ContainerStatus *s = w->status->containerstatuses[i];

                if (!s->state->running && !s->state->terminated && !w->restarts_all)
                        BREACH(w, "%s rests as %s", s->name, world_state_text(s->state));
        }
        world_delete(w, 5);
        world_run_until(w, w->now_ns + SECONDS(60));
        if (!w->finished)
                BREACH(w, "is not gone a minute after its deletion");
}

/* Saving and publishing cost more than deciding: one pod in sixteen does all of it, so that the others can be many. */
static struct pod_ops frugal_ops;

static unsigned live_once(uint64_t seed) {
        struct world w = { .seed = seed };
        _cleanup_free_ char *spec = NULL;
        unsigned n;

        (void)world_random(&w);
        spec = random_spec(&w);
        if (getenv("HUSK_SEED"))
                print_message("%s\n", spec);
        {
                uint64_t state = w.seed;

                world_init(&w, spec);
                w.seed = state;
                w.first_seed = seed;
        }
        if (seed % 16) {
                pod_free(w.pod);
                w.ops = &frugal_ops;
                w.pod = pod_new(&frugal_ops, &w, w.spec);
        }
        w.quiet = !getenv("HUSK_TRACE");
        pod_step(w.pod);
        for (n = 0; n < EVENTS_PER_POD && !w.finished; n++)
                random_event(&w);
        if (!w.finished)
                check_that_it_settles(&w);
        world_release_all(&w);
        return n + 1;
}

TEST(a_million_random_events_break_no_invariant) {
        const char *seed_text = getenv("HUSK_SEED"), *events_text = getenv("HUSK_EVENTS");
        uint64_t seed = 0, wanted = EVENTS_DEFAULT, done = 0;

        frugal_ops = world_ops;
        frugal_ops.save = NULL;
        frugal_ops.publish_events = NULL;
        if (!getenv("HUSK_TRACE"))
                frugal_ops.trace = NULL;
        if (events_text)
                assert_true(str_to_u64(events_text, &wanted));
        if (seed_text) {
                assert_true(str_to_u64(seed_text, &seed));
                live_once(seed);
                return;
        }
        seed = (uint64_t)clock_realtime_ns();
        print_message("seed %llu\n", (unsigned long long)seed);
        while (done < wanted)
                done += live_once(seed++);
}
