#include "net/cni.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "net/cni-record.h"

#define IFNAME "eth0"
#define PLUGIN_TIMEOUT_MS 30000
#define RECLAIMED_MOST 4 /* dead pods' networks taken back before one pod's is made: it waits for that */

/* ---- calling a plugin ---- */

static struct error *find_plugin(const struct attachment *a, const char *type, char **ret) {
        for (size_t i = 0; a->bin_dirs && a->bin_dirs[i]; i++) {
                _cleanup_free_ char *path = path_join(a->bin_dirs[i], type);
                if (access(path, X_OK) == 0) {
                        *ret = TAKE_PTR(path);
                        return NULL;
                }
        }
        _cleanup_free_ char *folders = strv_join(a->bin_dirs, ", ");
        return error_new(ERROR_UNAVAILABLE,
                         "CNI plugin \"%s\" of %s is not in %s: install it (Debian: apt-get install "
                         "containernetworking-plugins) or name its folder in cniBinDirs",
                         type, a->config.file, folders ? folders : "");
}

/* The namespace's path while it is there, else "", with which a plugin takes back what it can. */
static char *netns_path(const struct attachment *a) {
        char *path = xasprintf("/proc/%d/ns/net", (int)a->infra);
        struct stat st;

        if (a->infra > 0 && attachment_is_of_this_boot(a) && stat(path, &st) == 0 && st.st_ino == a->netns)
                return path;
        free(path);
        return xstrdup("");
}

static char **environment(const struct attachment *a, const char *command) {
        _cleanup_free_ char *folders = strv_join(a->bin_dirs, ":"), *netns = netns_path(a);
        const char *path = getenv("PATH");
        char **env = NULL;

        env = strv_add_take(env, xasprintf("PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"));
        env = strv_add_take(env, xasprintf("CNI_COMMAND=%s", command));
        env = strv_add_take(env, xasprintf("CNI_PATH=%s", folders ? folders : ""));
        if (streq(command, "STATUS") || streq(command, "GC"))
                return env;
        env = strv_add_take(env, xasprintf("CNI_CONTAINERID=%s", a->uid));
        env = strv_add_take(env, xasprintf("CNI_NETNS=%s", netns));
        env = strv_add(env, "CNI_IFNAME=" IFNAME);
        return strv_add_take(env, xasprintf("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=%s;K8S_POD_NAME=%s;"
                                            "K8S_POD_INFRA_CONTAINER_ID=%s;K8S_POD_UID=%s",
                                            a->ns, a->pod, a->uid, a->uid));
}

/* A plugin's configuration as it is given to it: with the list's name and version, the result of who came before, and
 * what is known of the capabilities that it says it has. */
static json_t *plugin_input(const struct attachment *a, const json_t *plugin, const json_t *previous,
                            const json_t *attachments) {
        json_t *input = json_copy((json_t *)plugin), *given = json_object(), *value;
        const json_t *capabilities = json_object_get(plugin, "capabilities");
        const char *key;

        json_object_del(input, "capabilities");
        json_object_foreach(a->runtime_config, key, value) if (json_is_true(json_object_get(capabilities, key)))
                json_object_set(given, key, value);
        if (json_object_size(given))
                json_object_set(input, "runtimeConfig", given);
        json_decref(given);
        json_object_set_new(input, "name", json_string(a->config.name));
        json_object_set_new(input, "cniVersion", json_string(a->config.version));
        if (previous)
                json_object_set(input, "prevResult", (json_t *)previous);
        if (attachments)
                json_object_set(input, "cni.dev/valid-attachments", (json_t *)attachments);
        return input;
}

/* What went wrong, in the plugin's words: an object with code, msg and details. */
static struct error *plugin_error(const char *type, const char *command, const json_t *answer, const char *complaint) {
        const char *message = json_string_value(json_object_get(answer, "msg"));
        const char *details = json_string_value(json_object_get(answer, "details"));

        return error_new(ERROR_UNAVAILABLE, "CNI plugin \"%s\": %s failed: %.1000s%s%.1000s", type, command,
                         !str_empty(message)     ? message
                         : !str_empty(complaint) ? complaint
                                                 : "it does not say why",
                         str_empty(details) ? "" : ": ", str_empty(details) ? "" : details);
}

/* *ret_answer: the JSON it printed; NULL: nothing. */
static struct error *plugin_call(const struct attachment *a, const char *command, const json_t *plugin,
                                 const json_t *previous, const json_t *attachments, json_t **ret_answer) {
        const char *type = json_string_value(json_object_get(plugin, "type"));
        json_auto_t *input = plugin_input(a, plugin, previous, attachments), *answer = NULL;
        _cleanup_free_ char *program = NULL, *text = json_dumps(input, JSON_COMPACT), *out = NULL, *complaint = NULL;
        _cleanup_strv_ char **env = environment(a, command);
        int status;
        struct error *err = find_plugin(a, type, &program);

        if (err)
                return err;
        char *argv[] = { program, NULL };
        struct process_options options = { .input = text, .env = env, .timeout_ms = PLUGIN_TIMEOUT_MS };
        err = process_run(argv, &options, &status, &out, &complaint);
        if (err)
                return error_context(err, "CNI plugin \"%s\": %s", type, command);
        answer = json_loads(out, 0, NULL);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return plugin_error(type, command, answer, complaint);
        if (ret_answer)
                *ret_answer = json_incref(answer);
        return NULL;
}

/* ---- the operations ---- */

/* Takes back what the plugins made, the last first. The first error is told, but all are called. */
static struct error *call_del(const struct attachment *a) {
        struct error *first = NULL;

        for (size_t i = json_array_size(a->config.plugins); i-- > 0;) {
                const json_t *plugin = json_array_get(a->config.plugins, i);
                struct error *err = plugin_call(a, "DEL", plugin, a->result, NULL, NULL);
                if (err && first)
                        error_free(err);
                else if (err)
                        first = err;
        }
        return first;
}

static struct error *call_add(struct attachment *a) {
        const json_t *plugin;
        size_t i;

        json_array_foreach(a->config.plugins, i, plugin) {
                json_t *answer = NULL;
                struct error *err = plugin_call(a, "ADD", plugin, a->result, NULL, &answer);
                if (!err && !json_is_object(answer))
                        err = error_new(ERROR_UNAVAILABLE, "CNI plugin \"%s\": ADD printed no result",
                                        json_string_value(json_object_get(plugin, "type")));
                if (err) {
                        json_decref(answer);
                        return err;
                }
                json_decref(a->result);
                a->result = answer;
        }
        return NULL;
}

static struct error *call_each(const struct attachment *a, const char *command, const json_t *attachments) {
        const json_t *plugin;
        size_t i;

        json_array_foreach(a->config.plugins, i, plugin) {
                struct error *err = plugin_call(a, command, plugin, a->result, attachments, NULL);
                if (err)
                        return err;
        }
        return NULL;
}

/* What fails stays on record for whoever attaches next: a plugin in trouble must not keep a pod from going away. */
static void undo(const struct attachment *a) {
        _cleanup_close_ int lock = -EBADF;
        _cleanup_error_ struct error *err = records_lock(a->store, false, &lock);

        if (!err)
                err = call_del(a);
        if (!err && unlink(a->path) < 0 && errno != ENOENT)
                err = error_errno(errno, "remove %s", a->path);
        if (err)
                log_warning("network of pod %s/%s: %s; this is tried again when the next pod starts", a->ns, a->pod,
                            error_message(err));
}

/* ---- pods that are gone ---- */

static bool is_alive(const struct store *store, const char *uid) {
        _cleanup_free_ char *folder = xasprintf("%s/pods/%s", store->run, uid);
        return file_exists(folder);
}

struct reclaim {
        const struct store *store;
        unsigned reclaimed;
};

static struct error *reclaim_dead(const char *uid, void *data) {
        struct reclaim *r = data;
        _cleanup_attachment_ struct attachment a = { 0 };
        bool found;

        if (is_alive(r->store, uid) || r->reclaimed >= RECLAIMED_MOST)
                return NULL;
        struct error *err = record_read(r->store, uid, &a, &found);
        if (err) { /* a damaged record must not keep every pod of the node from starting */
                log_warning("%s", error_message(err));
                error_free(err);
        } else if (found) {
                undo(&a);
                r->reclaimed++;
        }
        return NULL;
}

/* Every pod on record, dead ones too whose DEL failed: their time comes with the next DEL. */
static struct error *list_attachment(const char *uid, void *data) {
        json_array_append_new(data, json_pack("{s:s, s:s}", "containerID", uid, "ifname", IFNAME));
        return NULL;
}

/* Lets the plugins compare what they know with what there is; nobody may attach or detach meanwhile. */
static struct error *collect_garbage(const struct attachment *a) {
        json_auto_t *attachments = json_array();
        _cleanup_close_ int lock = -EBADF;
        struct error *err = records_lock(a->store, true, &lock);

        if (err || lock < 0)
                return err;
        err = records_each(a->store, list_attachment, attachments);
        return err ? err : call_each(a, "GC", attachments);
}

/* Takes back what dead pods had. */
static struct error *reclaim(const struct attachment *a) {
        struct reclaim r = { a->store, 0 };
        struct error *err = records_each(a->store, reclaim_dead, &r);

        if (err || !r.reclaimed || !cni_config_is_1_1(&a->config) || a->config.disable_gc)
                return err;
        err = collect_garbage(a);
        if (err)
                log_warning("%s", error_message(err)); /* what it did not find is no hindrance */
        error_free(err);
        return NULL;
}

/* ---- results ---- */

static bool is_pods_interface(const json_t *result, const json_t *ip) {
        const json_t *index = json_object_get(ip, "interface");
        const json_t *interface = json_array_get(json_object_get(result, "interfaces"), json_integer_value(index));

        if (!index || !interface) /* the plugin does not tell: there is but one */
                return true;
        return !str_empty(json_string_value(json_object_get(interface, "sandbox")));
}

/* "10.1.0.5/16" → "10.1.0.5"; false if it is none of the family. */
static bool address_parse(const char *text, int family, char *ret, size_t size) {
        uint8_t bytes[16];
        _cleanup_free_ char *address = text ? xstrndup(text, strcspn(text, "/")) : NULL;

        if (!address || inet_pton(family, address, bytes) != 1)
                return false;
        inet_ntop(family, bytes, ret, (socklen_t)size);
        return true;
}

static void interface_of(const json_t *result, struct net_result *ret) {
        const json_t *interface;
        size_t i;

        json_array_foreach(json_object_get(result, "interfaces"), i, interface) {
                const char *name = json_string_value(json_object_get(interface, "name"));
                const char *mac = json_string_value(json_object_get(interface, "mac"));
                bool pods = !str_empty(json_string_value(json_object_get(interface, "sandbox")));
                if (pods && streq_ptr(name, IFNAME)) {
                        snprintf(ret->mac, sizeof(ret->mac), "%s", mac ? mac : "");
                        ret->mtu = (unsigned)json_integer_value(json_object_get(interface, "mtu"));
                } else if (!pods && name && str_starts_with(name, "veth")) {
                        snprintf(ret->host_ifname, sizeof(ret->host_ifname), "%s", name);
                }
        }
}

struct error *cni_result_parse(const json_t *result, struct net_result *ret) {
        const json_t *ip;
        size_t i;

        *ret = (struct net_result){ 0 };
        snprintf(ret->ifname, sizeof(ret->ifname), "%s", IFNAME);
        json_array_foreach(json_object_get(result, "ips"), i, ip) {
                const char *address = json_string_value(json_object_get(ip, "address"));
                const char *gateway = json_string_value(json_object_get(ip, "gateway"));
                if (!is_pods_interface(result, ip))
                        continue;
                if (!*ret->ip4 && address_parse(address, AF_INET, ret->ip4, sizeof(ret->ip4)))
                        address_parse(gateway, AF_INET, ret->gateway4, sizeof(ret->gateway4));
                else if (!*ret->ip6 && address_parse(address, AF_INET6, ret->ip6, sizeof(ret->ip6)))
                        address_parse(gateway, AF_INET6, ret->gateway6, sizeof(ret->gateway6));
        }
        interface_of(result, ret);
        return *ret->ip4 || *ret->ip6
                       ? NULL
                       : error_new(ERROR_UNAVAILABLE, "the CNI plugins gave the pod no address (ips is empty)");
}

/* ---- what capabilities are told ---- */

static json_t *port_mappings(const struct net_request *request) {
        json_t *list = json_array();

        for (size_t i = 0; i < request->n_ports; i++) {
                const struct net_port *p = &request->ports[i];
                if (!p->host_port)
                        continue;
                _cleanup_free_ char *protocol = xstrdup(p->protocol ? p->protocol : "TCP");
                for (char *c = protocol; *c; c++)
                        *c = (char)(*c | 32); /* plugins write it in small letters */
                json_array_append_new(list, json_pack("{s:i, s:i, s:s, s:s}", "hostPort", (int)p->host_port,
                                                      "containerPort", (int)p->container_port, "protocol", protocol,
                                                      "hostIP", p->host_ip ? p->host_ip : ""));
        }
        return list;
}

static json_t *bandwidth(const struct net_request *request) {
        json_t *json = json_object();

        /* Bits a second, and bits of burst: as much as the kubelet's runtimes allow. */
        if (request->ingress_bits) {
                json_object_set_new(json, "ingressRate", json_integer((json_int_t)request->ingress_bits));
                json_object_set_new(json, "ingressBurst", json_integer(INT32_MAX));
        }
        if (request->egress_bits) {
                json_object_set_new(json, "egressRate", json_integer((json_int_t)request->egress_bits));
                json_object_set_new(json, "egressBurst", json_integer(INT32_MAX));
        }
        return json;
}

static json_t *runtime_config(const struct net_request *request) {
        json_t *json = json_object(), *ports = port_mappings(request), *rates = bandwidth(request);

        if (json_array_size(ports))
                json_object_set(json, "portMappings", ports);
        if (json_object_size(rates))
                json_object_set(json, "bandwidth", rates);
        json_decref(ports);
        json_decref(rates);
        return json;
}

/* A host port that nothing carries out would be a promise broken without a word. */
static struct error *check_capability(const struct attachment *a, const char *name) {
        const json_t *plugin;
        size_t i;

        if (!json_object_get(a->runtime_config, name))
                return NULL;
        json_array_foreach(
                a->config.plugins, i,
                plugin) if (json_is_true(json_object_get(json_object_get(plugin, "capabilities"), name))) return NULL;
        return error_new(ERROR_NOT_SUPPORTED,
                         "no plugin of %s has the capability \"%s\", which the pod's %s need: add the plugin \"%s\" to "
                         "the list",
                         a->config.file, name, streq(name, "bandwidth") ? "bandwidth annotations" : "host ports",
                         streq(name, "bandwidth") ? "bandwidth" : "portmap");
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
                                  .runtime_config = runtime_config(request) };
        a->ns = slash ? xstrndup(request->pod_name, slash - request->pod_name) : xstrdup("default");
        a->pod = xstrdup(slash ? slash + 1 : uid);
        if (fstat(netns_fd, &st) < 0)
                return error_errno(errno, "look at the pod's network namespace");
        a->netns = st.st_ino;
        struct error *err = cni_config_read(config->cni_conf_dir, &a->config);
        if (!err)
                err = check_capability(a, "portMappings");
        return err ? err : check_capability(a, "bandwidth");
}

static struct error *add(struct attachment *a, struct net_result *ret) {
        _cleanup_close_ int lock = -EBADF;
        struct error *err = records_lock(a->store, false, &lock);

        if (!err)
                err = record_write(a);
        if (!err)
                err = call_add(a);
        if (!err)
                err = cni_result_parse(a->result, ret);
        if (!err)
                err = record_write(a);
        if (err) /* DEL of everything, as the specification has it */
                undo(a);
        return err;
}

struct error *cni_attach(const struct store *store, const struct node_config *config, const char *pod_uid, int netns_fd,
                         const struct net_request *request, struct net_result *ret) {
        _cleanup_attachment_ struct attachment a = { 0 }, old = { 0 };
        bool found;
        struct error *err = attachment_init(store, config, pod_uid, netns_fd, request, &a);

        if (!err)
                err = record_read(store, pod_uid, &old, &found);
        if (err)
                return err;
        if (found && old.result && old.netns == a.netns && attachment_is_of_this_boot(&old))
                return cni_result_parse(old.result, ret);
        if (found)
                undo(&old);
        err = reclaim(&a);
        if (!err && cni_config_is_1_1(&a.config))
                err = call_each(&a, "STATUS", NULL);
        return err ? err : add(&a, ret);
}

struct error *cni_detach(const struct store *store, const char *pod_uid, bool *ret_mine) {
        _cleanup_free_ char *folder = records_folder(store), *name = xasprintf("%s.json", pod_uid);
        _cleanup_attachment_ struct attachment a = { 0 };
        struct error *err = record_read(store, pod_uid, &a, ret_mine);

        files_sweep(folder, name); /* nobody but the pod's own supervisor writes it, and that is not doing so now */
        if (!err && *ret_mine)
                undo(&a);
        return err;
}

struct error *cni_read(const struct store *store, const char *pod_uid, struct net_result *ret, bool *ret_mine) {
        _cleanup_attachment_ struct attachment a = { 0 };
        struct error *err = record_read(store, pod_uid, &a, ret_mine);

        if (err || !*ret_mine)
                return err;
        return a.result ? cni_result_parse(a.result, ret)
                        : error_new(ERROR_NOT_FOUND, "pod %s has no network", pod_uid);
}

struct error *cni_check(const struct store *store, const char *pod_uid) {
        _cleanup_attachment_ struct attachment a = { 0 };
        bool found;
        struct error *err = record_read(store, pod_uid, &a, &found);

        if (err)
                return err;
        if (!found || !a.result)
                return error_new(ERROR_NOT_FOUND, "pod %s has no network that CNI plugins made", pod_uid);
        return a.config.disable_check ? NULL : call_each(&a, "CHECK", NULL);
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
