#include "net/cni-job.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "net/cni-plugin.h"
#include "net/cni-result.h"
#include "store/network-problem.h"

#define DEAD_MOST 4       /* dead pods whose networks are taken back before one pod's is made: it waits for that */
#define LOCKED_WAIT_MS 50 /* until the lock of the records is tried again */
#define AGAIN_MOST 3      /* how often a plugin that says "try again later" is asked again */
#define AGAIN_WAIT_MS 1000

/* One command for each plugin of an attachment's configuration. */
struct chain {
        bool active;
        struct attachment *of;
        enum cni_command command;
        size_t n_done;
        unsigned n_again;    /* of the plugin that is to be called now */
        json_t *attachments; /* for GC */
        struct error *err;   /* ends the chain, but for GC */
        bool timed_out;
};

struct phase {
        /* Starts a chain, or has nothing to do (which is also so after an error: job->err). */
        void (*begin)(struct net_job *job);
        /* The chain has ended. Takes the error. A phase that sets job->repeat begins once more. */
        void (*end)(struct net_job *job, struct error *err);
};

struct net_job {
        const struct store *store;
        struct node_config config;
        const struct phase *const *phase; /* the one that is due; NULL: the end */
        bool repeat, strict, abandoned;
        struct attachment own, old;
        struct chain chain;
        struct cni_call call;
        int lock;      /* of the records, while a chain is under way that needs it */
        int dead_lock; /* of the dead pod's record that `old` is */
        int wait_ms;
        char **dead;
        bool dead_listed;
        size_t n_dead, n_reclaimed; /* looked at; taken back */
        char **common;              /* versions that all plugins asked so far speak; NULL: none was asked */
        struct error *err;
};

/* ---- chains ---- */

static void chain_start(struct net_job *job, struct attachment *of, enum cni_command command) {
        job->chain = (struct chain){ .active = true, .of = of, .command = command };
}

static bool is_done(const struct chain *chain) {
        return chain->n_done == json_array_size(chain->of->config.plugins) || (chain->err && chain->command != CNI_GC);
}

static const json_t *chain_plugin(const struct chain *chain) {
        const json_t *plugins = chain->of->config.plugins;
        size_t n = json_array_size(plugins);

        return json_array_get(plugins, chain->command == CNI_DEL ? n - 1 - chain->n_done : chain->n_done);
}

static const json_t *chain_previous(const struct chain *chain) {
        const struct attachment *a = chain->of;

        switch (chain->command) {
        case CNI_ADD:
                return a->partial;
        case CNI_DEL:
                return cni_config_is_0_4(&a->config) ? (a->result ? a->result : a->partial) : NULL;
        case CNI_CHECK:
                return a->result;
        default:
                return NULL;
        }
}

/* ADD and DEL, of whichever pod, may not meet GC. False: not now. */
static bool chain_lock(struct net_job *job) {
        if (job->lock >= 0 || (job->chain.command != CNI_ADD && job->chain.command != CNI_DEL))
                return true;
        struct error *err = records_lock(job->store, false, &job->lock);
        if (err || job->lock >= 0) {
                error_keep_first(&job->chain.err, err);
                return true;
        }
        return false;
}

static void chain_end(struct net_job *job) {
        struct error *err = TAKE_PTR(job->chain.err);

        job->chain.active = false;
        json_decref(TAKE_PTR(job->chain.attachments));
        job->lock = fd_close(job->lock);
        (*job->phase)->end(job, err);
}

/* Which of the versions that are offered does this plugin speak, too? */
static void versions_narrow(struct net_job *job, const json_t *answer) {
        char **offered = job->common ? job->common : job->own.config.offered, **left = xcalloc(1, sizeof(*left));
        const json_t *spoken = json_object_get(answer, "supportedVersions"), *item;
        size_t i;

        for (char **v = offered; v && *v; v++)
                json_array_foreach(spoken, i, item) if (streq_ptr(json_string_value(item), *v)) {
                        left = strv_add(left, *v);
                        break;
                }
        strv_free(job->common);
        job->common = left;
}

static void chain_go_on(struct net_job *job, json_t *answer) {
        struct chain *chain = &job->chain;

        if (chain->command == CNI_ADD) {
                json_decref(chain->of->partial);
                chain->of->partial = json_incref(answer);
                if (job->abandoned) /* for DEL to know it */
                        error_free(record_write(chain->of));
        } else if (chain->command == CNI_VERSION && json_is_array(json_object_get(answer, "supportedVersions")))
                versions_narrow(job, answer);
        chain->n_done++;
        chain->n_again = 0;
}

static void chain_failed(struct net_job *job, struct error *err, int code) {
        struct chain *chain = &job->chain;

        if (chain->command == CNI_DEL && code == CNI_TRY_AGAIN_LATER && chain->n_again < AGAIN_MOST) {
                chain->n_again++;
                job->wait_ms = AGAIN_WAIT_MS;
                error_free(err);
        } else if (chain->command == CNI_VERSION) { /* who does not know it is asked nothing by it */
                error_free(err);
                chain->n_done++;
        } else {
                error_keep_first(&chain->err, err);
                chain->n_done++;
        }
}

/* ---- phases ---- */

/* What is there of a dead or an earlier sandbox is DELeted; it goes from the record only then. */
static struct error *taken_back(struct net_job *job, struct error *err) {
        if (!err && unlink(job->old.path) < 0 && errno != ENOENT)
                err = error_errno(errno, "remove %s", job->old.path);
        return err;
}

static void warn_of(const struct attachment *a, struct error *err) {
        log_warning("network of pod %s/%s: %s; this is tried again when the next pod starts", a->ns, a->pod,
                    error_message(err));
        error_free(err);
}

static void old_begin(struct net_job *job) {
        if (job->old.path)
                chain_start(job, &job->old, CNI_DEL);
}

static void old_end(struct net_job *job, struct error *err) {
        err = taken_back(job, err);
        if (err && job->strict)
                job->err = error_context(err, "take back the network that an earlier sandbox of the pod had");
        else if (err)
                warn_of(&job->old, err);
        attachment_clear(&job->old);
}

static void version_begin(struct net_job *job) {
        if (strv_len(job->own.config.offered) > 1)
                chain_start(job, &job->own, CNI_VERSION);
}

static void version_end(struct net_job *job, struct error *err) {
        struct cni_config *config = &job->own.config;

        if (!err && job->common && !*job->common) {
                _cleanup_free_ char *offered = strv_join(config->offered, ", ");
                err = error_new(ERROR_NOT_SUPPORTED, "%s: its plugins have none of its versions (%s) in common",
                                config->file, offered);
        }
        if (!err && job->common)
                str_replace(&config->version, job->common[0]);
        job->err = err;
}

/* Not dead are also those that have not come back yet since the machine started: their own supervisors will take back
 * what an earlier sandbox had. */
static bool is_alive(const struct store *store, const char *uid) {
        _cleanup_free_ char *running = xasprintf("%s/pods/%s", store->run, uid),
                            *kept = xasprintf("%s/pods/%s", store->root, uid);
        return file_exists(running) || file_exists(kept);
}

static struct error *add_dead(const char *uid, void *data) {
        struct net_job *job = data;

        if (!streq(uid, job->own.uid) && !is_alive(job->store, uid))
                job->dead = strv_add(job->dead, uid);
        return NULL;
}

/* Those that fail again and again must not stand before all others for ever. */
static void rotate(char **list) {
        size_t n = strv_len(list), by = n ? (size_t)(clock_monotonic_ns() / NSEC_PER_MSEC) % n : 0;
        _cleanup_free_ char **copy = xcalloc(n + 1, sizeof(*copy));

        for (size_t i = 0; i < n; i++)
                copy[i] = list[(i + by) % n];
        for (size_t i = 0; i < n; i++)
                list[i] = copy[i];
}

/* The next one that nobody else is about. */
static struct error *dead_take(struct net_job *job, bool *ret_found) {
        const char *uid = job->dead[job->n_dead++];
        struct error *err = record_lock(job->store, uid, &job->dead_lock);

        *ret_found = false;
        if (!err && job->dead_lock >= 0)
                err = record_read_healed(job->store, &job->config, uid, &job->old, ret_found);
        return err;
}

static void dead_begin(struct net_job *job) {
        if (!job->dead_listed) {
                job->dead_listed = true;
                job->err = records_each(job->store, add_dead, job);
                rotate(job->dead);
        }
        while (!job->err && job->dead && job->dead[job->n_dead] && job->n_dead < DEAD_MOST) {
                bool found;
                _cleanup_error_ struct error *err = dead_take(job, &found);
                if (err) /* one that cannot be read must not keep every pod of the node from starting */
                        log_warning("%s", error_message(err));
                else if (found) {
                        chain_start(job, &job->old, CNI_DEL);
                        return;
                }
                job->dead_lock = fd_close(job->dead_lock);
        }
}

static void dead_end(struct net_job *job, struct error *err) {
        _cleanup_free_ char *folder = records_folder(job->store), *name = xasprintf("%s.json", job->old.uid);

        err = taken_back(job, err);
        if (err) {
                warn_of(&job->old, err);
        } else {
                job->n_reclaimed++;
                files_sweep(folder, name);
        }
        job->repeat = !job->chain.timed_out; /* the others would hang, too, and a pod waits */
        job->dead_lock = fd_close(job->dead_lock);
        attachment_clear(&job->old);
}

/* Every pod on record, dead ones too whose DEL failed: their time comes with the next DEL. */
static struct error *add_attachment(const char *uid, void *data) {
        json_array_append_new(data, json_pack("{s:s, s:s}", "containerID", uid, "ifname", CNI_IFNAME));
        return NULL;
}

/* Lets the plugins compare what they know with what there is, if nobody attaches or detaches just now. Never by half a
 * list. */
static void gc_begin(struct net_job *job) {
        if (!job->n_reclaimed || !cni_config_is_1_1(&job->own.config) || job->own.config.disable_gc)
                return;
        _cleanup_close_ int lock = -EBADF;
        json_auto_t *attachments = json_array();
        _cleanup_error_ struct error *err = records_lock(job->store, true, &lock);
        if (!err && lock >= 0)
                err = records_each(job->store, add_attachment, attachments);
        if (err)
                log_warning("%s", error_message(err));
        if (err || lock < 0)
                return;
        chain_start(job, &job->own, CNI_GC);
        job->chain.attachments = json_incref(attachments);
        job->lock = TAKE_FD(lock);
}

static void gc_end(struct net_job *job, struct error *err) {
        if (err)
                log_warning("%s", error_message(err)); /* what it did not find is no hindrance */
        error_free(err);
}

/* Older plugins are not asked: a network that is configured is ready. */
static void status_begin(struct net_job *job) {
        if (cni_config_is_1_1(&job->own.config))
                chain_start(job, &job->own, CNI_STATUS);
        else
                network_problem_tell(job->store, NULL);
}

static void status_end(struct net_job *job, struct error *err) {
        network_problem_tell(job->store, err ? error_message(err) : NULL);
        job->err = error_context(err, "the network is not ready");
}

/* Nothing is on record for plugins that are not even there: nobody could take it back. */
static void add_begin(struct net_job *job) {
        job->err = cni_plugins_find(&job->own);
        if (!job->err)
                job->err = record_write(&job->own);
        if (!job->err)
                chain_start(job, &job->own, CNI_ADD);
}

static void add_end(struct net_job *job, struct error *err) {
        struct net_result result;

        if (!err)
                err = cni_result_parse(job->own.partial, &result);
        if (!err)
                job->own.result = TAKE_PTR(job->own.partial);
        if (job->own.result || job->own.partial) /* for DEL to know it */
                error_keep_first(&err, record_write(&job->own));
        job->err = err;
}

static void check_begin(struct net_job *job) {
        chain_start(job, &job->own, CNI_CHECK);
}

static void check_end(struct net_job *job, struct error *err) {
        job->err = err;
}

static const struct phase phase_old = { old_begin, old_end }, phase_version = { version_begin, version_end },
                          phase_dead = { dead_begin, dead_end }, phase_gc = { gc_begin, gc_end },
                          phase_status = { status_begin, status_end }, phase_add = { add_begin, add_end },
                          phase_check = { check_begin, check_end };

static const struct phase *const attaching[] = { &phase_old,    &phase_version, &phase_dead, &phase_gc,
                                                 &phase_status, &phase_add,     NULL };
static const struct phase *const detaching[] = { &phase_old, NULL };
static const struct phase *const checking[] = { &phase_check, NULL };
static const struct phase *const asking[] = { &phase_version, &phase_status, NULL };

/* ---- steps ---- */

/* The next phase that has something to do; false: there is none. */
static bool begin(struct net_job *job) {
        while (!job->chain.active && *job->phase && !job->err) {
                (*job->phase)->begin(job);
                if (!job->chain.active)
                        job->phase++;
        }
        return job->chain.active;
}

static void end_chain(struct net_job *job) {
        job->repeat = false;
        chain_end(job);
        if (!job->repeat)
                job->phase++;
}

static struct error *make_call(struct net_job *job, struct net_call *ret) {
        const struct chain *chain = &job->chain;
        struct error *err = cni_call_make(chain->of, chain->command, chain_plugin(chain), chain_previous(chain),
                                          chain->attachments, &job->call);
        if (err)
                return err;
        *ret = (struct net_call){ .argv = job->call.argv,
                                  .env = job->call.env,
                                  .input = job->call.input,
                                  .output_max = CNI_OUTPUT_MAX,
                                  .timeout_ms = (int)job->config.cni_timeout_s * 1000 };
        return NULL;
}

static enum net_job_step wait(struct net_call *ret, int ms) {
        *ret = (struct net_call){ .wait_ms = ms };
        return NET_JOB_WAIT;
}

enum net_job_step net_job_next(struct net_job *job, struct net_call *ret) {
        while (!job->abandoned && begin(job)) {
                if (is_done(&job->chain)) {
                        end_chain(job);
                        continue;
                }
                if (job->wait_ms) {
                        int ms = job->wait_ms;
                        job->wait_ms = 0;
                        return wait(ret, ms);
                }
                if (!chain_lock(job))
                        return wait(ret, LOCKED_WAIT_MS);
                if (is_done(&job->chain))
                        continue;
                struct error *err = make_call(job, ret);
                if (!err)
                        return NET_JOB_RUN;
                chain_failed(job, err, 0);
        }
        return NET_JOB_DONE;
}

void net_job_answer(struct net_job *job, const struct net_answer *answer) {
        struct chain *chain = &job->chain;
        json_t *json = NULL;
        int code = 0;
        struct error *err = cni_answer_read(cni_plugin_type(chain_plugin(chain)), chain->command, answer, &json, &code);

        if (answer->timed_out)
                err = error_context(err, "after %u s (cniTimeoutSeconds)", job->config.cni_timeout_s);

        cni_call_release(&job->call);
        chain->timed_out |= answer->timed_out;
        if (err)
                chain_failed(job, err, code);
        else
                chain_go_on(job, json);
        json_decref(json);
}

void net_job_abandon(struct net_job *job) {
        job->abandoned = true;
        if (job->chain.active && job->chain.command == CNI_ADD && job->own.partial) /* for DEL to know it */
                error_free(record_write(&job->own));
}

struct error *net_job_error(struct net_job *job) {
        if (job->abandoned && !job->err)
                return error_new(ERROR_CONFLICT, "nobody wants the network any more");
        return TAKE_PTR(job->err);
}

struct net_job *net_job_free(struct net_job *job) {
        if (!job)
                return NULL;
        cni_call_release(&job->call);
        attachment_clear(&job->own);
        attachment_clear(&job->old);
        json_decref(job->chain.attachments);
        error_free(job->chain.err);
        error_free(job->err);
        fd_close(job->lock);
        fd_close(job->dead_lock);
        strv_free(job->dead);
        strv_free(job->common);
        node_config_release(&job->config);
        free(job);
        return NULL;
}

/* ---- making one ---- */

static void take(struct attachment *to, struct attachment *from) {
        if (!from)
                return;
        *to = *from;
        *from = (struct attachment){ 0 };
}

static struct net_job *job_new(const struct store *store, const struct node_config *config,
                               const struct phase *const *phases, struct attachment *own, struct attachment *old) {
        struct net_job *job = new0(struct net_job);

        job->store = store;
        job->config.cni_conf_dir = config->cni_conf_dir ? xstrdup(config->cni_conf_dir) : NULL;
        job->config.cni_bin_dirs = strv_copy(config->cni_bin_dirs);
        job->config.cni_timeout_s = config->cni_timeout_s;
        job->phase = phases;
        job->lock = job->dead_lock = -EBADF;
        take(&job->own, own);
        take(&job->old, old);
        return job;
}

struct net_job *cni_job_attach(const struct store *store, const struct node_config *config, struct attachment *own,
                               struct attachment *old) {
        struct net_job *job = job_new(store, config, attaching, own, old);
        job->strict = true;
        return job;
}

struct net_job *cni_job_detach(const struct store *store, const struct node_config *config, struct attachment *old,
                               bool strict) {
        struct net_job *job = job_new(store, config, detaching, NULL, old);
        job->strict = strict;
        return job;
}

struct net_job *cni_job_check(const struct store *store, const struct node_config *config, struct attachment *own) {
        return job_new(store, config, checking, own, NULL);
}

struct net_job *cni_job_status(const struct store *store, const struct node_config *config, struct attachment *own) {
        return job_new(store, config, asking, own, NULL);
}
