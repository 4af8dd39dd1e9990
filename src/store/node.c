#include "store/node.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "store/cdi.h"
#include "store/network-problem.h"
#include "store/node-config.h"
#include "store/store.h"

/* A kubelet takes 110 pods unless told otherwise; a pod of husk's costs about a hundredth of one there. */
#define PODS_MAX 1000

/* Kubernetes' names of processor architectures (Go's GOARCH). */
static const char *node_architecture(const char *machine) {
        static const struct {
                const char *machine, *arch;
        } names[] = {
                { "x86_64", "amd64" }, { "aarch64", "arm64" },   { "armv7l", "arm" },  { "armv6l", "arm" },
                { "i686", "386" },     { "ppc64le", "ppc64le" }, { "s390x", "s390x" }, { "riscv64", "riscv64" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (streq(machine, names[i].machine))
                        return names[i].arch;
        return machine;
}

/* The host's name as a kubelet makes it a node's: lower case, without blanks. */
static char *node_name(void) {
        struct utsname u;
        uname(&u);
        char *name = xstrdup(u.nodename[0] ? u.nodename : "localhost");
        for (char *p = name; *p; p++)
                *p = (char)tolower((unsigned char)*p);
        return name;
}

json_t *node_new(struct store *store) {
        _cleanup_free_ char *name = node_name(), *uid = store_new_uid();
        struct utsname u;
        char stamp[RFC3339_MAX], version[24];

        uname(&u);
        const char *arch = node_architecture(u.machine);
        snprintf(version, sizeof(version), "%llu", (unsigned long long)store_next_resource_version(store));
        return json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s}}, s:{}}", "apiVersion", "v1",
                         "kind", "Node", "metadata", "name", name, "uid", uid, "resourceVersion", version,
                         "creationTimestamp", rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC, stamp), "labels",
                         "beta.kubernetes.io/arch", arch, "beta.kubernetes.io/os", "linux", "kubernetes.io/arch", arch,
                         "kubernetes.io/hostname", name, "kubernetes.io/os", "linux", "spec");
}

/* The address others reach this machine by: the one the kernel would send from towards the outside; nothing is sent. */
static bool outward_address(int family, char text[static INET6_ADDRSTRLEN]) {
        struct sockaddr_storage to = { .ss_family = (sa_family_t)family };
        struct sockaddr_in *to4 = (struct sockaddr_in *)&to;
        struct sockaddr_in6 *to6 = (struct sockaddr_in6 *)&to;
        socklen_t size = family == AF_INET ? sizeof(*to4) : sizeof(*to6);
        _cleanup_close_ int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return false;
        if (family == AF_INET) {
                to4->sin_port = htons(9);
                inet_pton(AF_INET, "192.0.2.1", &to4->sin_addr);
        } else {
                to6->sin6_port = htons(9);
                inet_pton(AF_INET6, "2001:db8::1", &to6->sin6_addr);
        }
        if (connect(fd, (struct sockaddr *)&to, size) < 0 || getsockname(fd, (struct sockaddr *)&to, &size) < 0)
                return false;
        return inet_ntop(family, family == AF_INET ? (void *)&to4->sin_addr : (void *)&to6->sin6_addr, text,
                         INET6_ADDRSTRLEN) != NULL;
}

/* Without a route outward: any IPv4 address of an interface that is up and no loopback. */
static bool any_address(char text[static INET6_ADDRSTRLEN]) {
        struct ifaddrs *list;
        bool found = false;

        if (getifaddrs(&list) < 0)
                return false;
        for (struct ifaddrs *i = list; i && !found; i = i->ifa_next)
                if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_UP) &&
                    !(i->ifa_flags & IFF_LOOPBACK))
                        found = inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, text,
                                          INET6_ADDRSTRLEN) != NULL;
        freeifaddrs(list);
        return found;
}

static json_t *node_addresses(const char *name) {
        char text[INET6_ADDRSTRLEN];
        json_t *addresses = json_array();
        bool found = false;

        if (outward_address(AF_INET, text)) {
                json_array_append_new(addresses, json_pack("{s:s, s:s}", "type", "InternalIP", "address", text));
                found = true;
        }
        if (outward_address(AF_INET6, text)) {
                json_array_append_new(addresses, json_pack("{s:s, s:s}", "type", "InternalIP", "address", text));
                found = true;
        }
        if (!found)
                json_array_append_new(addresses, json_pack("{s:s, s:s}", "type", "InternalIP", "address",
                                                           any_address(text) ? text : "127.0.0.1"));
        json_array_append_new(addresses, json_pack("{s:s, s:s}", "type", "Hostname", "address", name));
        return addresses;
}

/* Bytes of huge pages of one size the machine has, 0 if it has none of that size. */
static uint64_t hugepages(unsigned kib) {
        char path[96];
        _cleanup_free_ char *text = NULL;

        snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%ukB/nr_hugepages", kib);
        struct error *err = file_read(path, 64, &text, NULL);
        if (err) {
                error_free(err);
                return 0;
        }
        return strtoull(text, NULL, 10) * kib * 1024;
}

static json_t *node_resources(void) {
        struct sysinfo info;
        struct statvfs fs;
        json_t *resources = json_object();
        char text[48];

        sysinfo(&info);
        snprintf(text, sizeof(text), "%ld", sysconf(_SC_NPROCESSORS_ONLN));
        json_object_set_new(resources, "cpu", json_string(text));
        if (statvfs("/", &fs) == 0) {
                snprintf(text, sizeof(text), "%lluKi", (unsigned long long)fs.f_blocks * fs.f_frsize / 1024);
                json_object_set_new(resources, "ephemeral-storage", json_string(text));
        }
        static const struct {
                unsigned kib;
                const char *name;
        } sizes[] = { { 1048576, "hugepages-1Gi" }, { 2048, "hugepages-2Mi" } };
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                snprintf(text, sizeof(text), "%lluMi", (unsigned long long)hugepages(sizes[i].kib) >> 20);
                json_object_set_new(resources, sizes[i].name, json_string(streq(text, "0Mi") ? "0" : text));
        }
        snprintf(text, sizeof(text), "%lluKi", (unsigned long long)info.totalram * info.mem_unit / 1024);
        json_object_set_new(resources, "memory", json_string(text));
        snprintf(text, sizeof(text), "%d", PODS_MAX);
        json_object_set_new(resources, "pods", json_string(text));
        return resources;
}

/* A one-line file such as /etc/machine-id, or "". */
static char *line_of(const char *path) {
        char *text = NULL;
        struct error *err = file_read(path, 4096, &text, NULL);

        if (err) {
                error_free(err);
                return xstrdup("");
        }
        text[strcspn(text, "\n")] = '\0';
        return text;
}

static char *os_image(void) {
        _cleanup_free_ char *text = NULL;
        struct error *err = file_read("/etc/os-release", 65536, &text, NULL);
        const char *key = "PRETTY_NAME=";

        if (err) {
                error_free(err);
                return xstrdup("Linux");
        }
        char *p = str_starts_with(text, key) ? text : strstr(text, "\nPRETTY_NAME=");
        if (!p)
                return xstrdup("Linux");
        p = strchr(p, '=') + 1;
        if (*p == '"')
                p++;
        return xstrndup(p, strcspn(p, "\"\n"));
}

static json_t *node_info(void) {
        _cleanup_free_ char *machine_id = line_of("/etc/machine-id"), *system = os_image();
        struct utsname u;

        uname(&u);
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "architecture",
                         node_architecture(u.machine), "bootID", clock_boot_id(), "containerRuntimeVersion",
                         "husk://" HUSK_VERSION, "kernelVersion", u.release, "kubeProxyVersion", "", "kubeletVersion",
                         "v1.36.0+husk-" HUSK_VERSION, "machineID", machine_id, "operatingSystem", "linux", "osImage",
                         system, "systemUUID", machine_id);
}

/* Devices that pods can ask for by their kind, as extended resources. */
static void add_devices(const struct cdi_registry *devices, json_t *resources) {
        char text[24];

        for (size_t i = 0; i < devices->n; i++) {
                const char *kind = devices->devices[i].kind;

                if (i > 0 && streq(kind, devices->devices[i - 1].kind))
                        continue;
                snprintf(text, sizeof(text), "%zu", cdi_count(devices, kind));
                json_object_set_new(resources, kind, json_string(text));
        }
}

/* Said only when there is something to say: it is no condition of Kubernetes'. */
static void add_device_problems(const struct cdi_registry *devices, const char *since, json_t *conditions) {
        if (!devices->problems)
                return;
        _cleanup_free_ char *message = strv_join(devices->problems, "; ");
        json_array_append_new(conditions, json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "DeviceSpecificationsInvalid",
                                                    "status", "True", "lastTransitionTime", since, "reason",
                                                    "InvalidSpecification", "message", message));
}

/* In a kubelet's words, where CNI plugins make the network and were not ready when they were asked last. */
static json_t *ready_condition(const struct store *store, const struct node_config *config, const char *since,
                               const char *now) {
        _cleanup_free_ char *begun = NULL, *problem = config->cni_conf_dir ? network_problem_read(store, &begun) : NULL;
        _cleanup_free_ char *message = problem ? xasprintf("container runtime network not ready: NetworkReady=false "
                                                           "reason:NetworkPluginNotReady message:Network plugin "
                                                           "returns error: %s",
                                                           problem)
                                               : xstrdup("husk is ready to run pods");

        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", "Ready", "status", problem ? "False" : "True",
                         "lastHeartbeatTime", now, "lastTransitionTime", problem ? begun : since, "reason",
                         problem ? "KubeletNotReady" : "KubeletReady", "message", message);
}

void node_fill_status(const struct store *store, json_t *node) {
        _cleanup_node_config_ struct node_config config = { 0 };
        _cleanup_cdi_ struct cdi_registry devices = CDI_REGISTRY_INIT;
        const json_t *metadata = json_object_get(node, "metadata");
        const char *name = json_string_value(json_object_get(metadata, "name"));
        const char *since = json_string_value(json_object_get(metadata, "creationTimestamp"));
        json_t *resources = node_resources();
        char now[RFC3339_MAX];

        error_free(node_config_read(store, &config)); /* told to those whom it keeps from running */
        cdi_read(config.cdi_spec_dirs, &devices);
        add_devices(&devices, resources);
        rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC, now);
        json_t *conditions = json_array();
        json_array_append_new(conditions, ready_condition(store, &config, since ? since : now, now));
        add_device_problems(&devices, since ? since : now, conditions);
        json_object_set_new(node, "status",
                            json_pack("{s:o, s:O, s:o, s:o, s:{s:{s:i}}, s:o}", "addresses",
                                      node_addresses(name ? name : ""), "allocatable", resources, "capacity", resources,
                                      "conditions", conditions, "daemonEndpoints", "kubeletEndpoint", "Port", 0,
                                      "nodeInfo", node_info()));
}
