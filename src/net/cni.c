#include "net/cni.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "net/cni-capability.h"
#include "net/cni-job.h"
#include "net/cni-plugin.h"
#include "net/cni-result.h"
#include "store/network-problem.h"

/* Without one the node's network is not ready. */
static struct error *read_config(const struct store *store, const struct node_config *config, struct cni_config *ret) {
        struct error *err = cni_config_read(config->cni_conf_dir, ret);

        if (err)
                network_problem_tell(store, error_message(err));
        return err;
}

/* ---- attaching and detaching ---- */

static struct error *attachment_init(const struct store *store, const struct node_config *config, const char *uid,
                                     int netns_fd, const struct net_request *request, struct attachment *a) {
        const char *slash = request->pod_name ? strchr(request->pod_name, '/') : NULL;
        struct stat st;

        *a = (struct attachment){ .store = store,
                                  .uid = xstrdup(uid),
                                  .path = record_path(store, uid),
                                  .bin_dirs = strv_copy(config->cni_bin_dirs),
                                  .infra = request->infra_pid,
                                  .boot = xstrdup(clock_boot_id()),
                                  .runtime_config = cni_capabilities_of(request) };
        a->ns = slash ? xstrndup(request->pod_name, slash - request->pod_name) : xstrdup("default");
        a->pod = xstrdup(slash ? slash + 1 : uid);
        if (fstat(netns_fd, &st) < 0)
                return error_errno(errno, "look at the pod's network namespace");
        a->netns = st.st_ino;
        struct error *err = read_config(store, config, &a->config);
        return err ? err : cni_capabilities_check(&a->config, a->runtime_config);
}

struct error *cni_attach(const struct store *store, const struct node_config *config, const char *pod_uid, int netns_fd,
                         const struct net_request *request, struct net_result *ret, struct net_job **ret_job) {
        _cleanup_attachment_ struct attachment a = { 0 }, old = { 0 };
        bool found;
        struct error *err = record_read_healed(store, config, pod_uid, &old, &found);

        *ret_job = NULL;
        if (!err)
                err = attachment_init(store, config, pod_uid, netns_fd, request, &a);
        if (err)
                return err;
        if (found && old.result && old.netns == a.netns && attachment_is_of_this_boot(&old))
                return cni_result_parse(old.result, ret);
        *ret_job = cni_job_attach(store, config, &a, &old);
        return NULL;
}

struct error *cni_detach(const struct store *store, const char *pod_uid, bool strict, struct net_job **ret_job) {
        _cleanup_free_ char *folder = records_folder(store), *name = xasprintf("%s.json", pod_uid);
        _cleanup_free_ char *path = path_join(folder, name);
        _cleanup_node_config_ struct node_config config = { 0 };
        _cleanup_attachment_ struct attachment old = { 0 };
        bool found = false;

        *ret_job = NULL;
        files_sweep(folder, name); /* nobody but the pod's own supervisor writes it, and that is not doing so now */
        if (!file_exists(path))
                return NULL;
        /* What a faulty configuration says of others is of no interest here. */
        _cleanup_error_ struct error *faulty = node_config_read(store, &config);
        struct error *err = faulty ? record_read(store, pod_uid, &old, &found)
                                   : record_read_healed(store, &config, pod_uid, &old, &found);
        if (faulty)
                config.cni_timeout_s = NODE_CONFIG_CNI_TIMEOUT_S;
        if (!err && found)
                *ret_job = cni_job_detach(store, &config, &old, strict);
        return err;
}

/* ---- looking ---- */

struct error *cni_read(const struct store *store, const char *pod_uid, struct net_result *ret, bool *ret_mine) {
        _cleanup_attachment_ struct attachment a = { 0 };
        struct error *err = record_read(store, pod_uid, &a, ret_mine);

        if (err || !*ret_mine)
                return err;
        return a.result ? cni_result_parse(a.result, ret)
                        : error_new(ERROR_NOT_FOUND, "pod %s has no network", pod_uid);
}

/* Does the job's work, and frees it. */
static struct error *finish(struct net_job *job) {
        struct error *err = net_job_run(job);

        net_job_free(job);
        return err;
}

struct error *cni_check(const struct store *store, const char *pod_uid) {
        _cleanup_node_config_ struct node_config config = { 0 };
        _cleanup_attachment_ struct attachment a = { 0 };
        bool found;
        struct error *err = record_read(store, pod_uid, &a, &found);

        if (!err && (!found || !a.result))
                err = error_new(ERROR_NOT_FOUND, "pod %s has no network that CNI plugins made", pod_uid);
        if (!err)
                err = node_config_read(store, &config);
        if (err || a.config.disable_check || !cni_config_is_0_4(&a.config))
                return err;
        return finish(cni_job_check(store, &config, &a));
}

struct error *cni_status(const struct store *store, const struct node_config *config) {
        _cleanup_attachment_ struct attachment a = { .store = store, .bin_dirs = strv_copy(config->cni_bin_dirs) };
        struct error *err = read_config(store, config, &a.config);

        return err ? err : finish(cni_job_status(store, config, &a));
}

char *cni_summary(const struct node_config *config) {
        struct cni_config list = { 0 };
        _cleanup_strv_ char **types = NULL;
        const json_t *plugin;
        char *text;
        size_t i;

        _cleanup_error_ struct error *err = cni_config_read(config->cni_conf_dir, &list);
        if (err)
                return NULL;
        json_array_foreach(list.plugins, i, plugin) types = strv_add(types, cni_plugin_type(plugin));
        _cleanup_free_ char *names = strv_join(types, ", ");
        text = xasprintf("network \"%s\" of %s: %s", list.name, list.file, names);
        cni_config_release(&list);
        return text;
}

struct each {
        const struct store *store;
        void (*f)(const char *uid, const char *pod_name, const struct net_result *result, void *data);
        void *data;
};

static struct error *each_read(const char *uid, void *data) {
        const struct each *each = data;
        _cleanup_attachment_ struct attachment a = { 0 };
        struct net_result result;
        bool found;
        _cleanup_error_ struct error *err = record_read(each->store, uid, &a, &found);

        if (err || !found || !a.result)
                return NULL;
        err = cni_result_parse(a.result, &result);
        if (!err) {
                _cleanup_free_ char *name = xasprintf("%s/%s", a.ns, a.pod);
                each->f(uid, name, &result, each->data);
        }
        return NULL;
}

struct error *cni_each(const struct store *store,
                       void (*f)(const char *uid, const char *pod_name, const struct net_result *result, void *data),
                       void *data) {
        struct each each = { store, f, data };
        return records_each(store, each_read, &each);
}
