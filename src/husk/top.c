/* top.c - `husk top pod`: what pods and their containers use, from their cgroups. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "husk/container.h"
#include "husk/selection.h"
#include "husk/table.h"
#include "husk/verbs.h"
#include "sandbox/cgroup.h"

#define SAMPLE_NS (250 * NSEC_PER_MSEC) /* over which processor time is measured */
#define MIB (1024 * 1024)

static struct selection selection;
static bool containers, no_headers, sum;
static const char *sort_by;

const struct flag top_flags[] = {
        { "containers", 0, FLAG_BOOL, &containers, NULL, NULL, "One line for each container" },
        FLAG_ALL_NAMESPACES(selection),
        FLAG_SELECTOR(selection),
        FLAG_FIELD_SELECTOR(selection),
        { "sort-by", 0, FLAG_TEXT, &sort_by, "cpu|memory", NULL, "The largest first" },
        { "no-headers", 0, FLAG_BOOL, &no_headers, NULL, NULL, "Leave the titles of the columns out" },
        { "use-protocol-buffers", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "nothing is sent" },
        { "sum", 0, FLAG_BOOL, &sum, NULL, NULL, "Print the sum below" },
        { 0 },
};

struct sample {
        char *ns, *pod, *container; /* container NULL: the whole pod */
        char *cgroup;
        struct cgroup_usage before, after;
        bool gone;
        int64_t milli_cpu;
};

struct samples {
        struct sample *items;
        size_t n;
};

static void samples_release(struct samples *s) {
        for (size_t i = 0; i < s->n; i++) {
                free(s->items[i].ns);
                free(s->items[i].pod);
                free(s->items[i].container);
                free(s->items[i].cgroup);
        }
        free(s->items);
}

static void add_sample(struct samples *s, const json_t *pod, const char *container, char *cgroup) {
        s->items = xreallocarray(s->items, s->n + 1, sizeof(*s->items));
        s->items[s->n++] = (struct sample){
                .ns = xstrdup(object_namespace(pod)),
                .pod = xstrdup(object_name(pod)),
                .container = xstrdup(container),
                .cgroup = cgroup,
        };
}

static enum pod_qos qos_of(const json_t *pod) {
        const char *qos = field_text_or(pod, "status.qosClass", "");

        for (enum pod_qos q = POD_QOS_GUARANTEED; q <= POD_QOS_BEST_EFFORT; q++)
                if (streq(pod_qos_string(q), qos))
                        return q;
        return POD_QOS_BEST_EFFORT;
}

static void add_pod(struct samples *s, const struct store *store, const json_t *pod) {
        _cleanup_free_ char *path = cgroup_pod_path(store, field_text_or(pod, "metadata.uid", ""), qos_of(pod));
        _cleanup_free_ const char **names = container_names_in_order(pod);

        if (!containers) {
                add_sample(s, pod, NULL, TAKE_PTR(path));
                return;
        }
        for (size_t i = 0; names[i]; i++) {
                const json_t *status = container_status(pod, names[i]);
                const char *id = strstr(field_text_or(status, "containerID", ""), "://");
                if (id && field_at(status, "state.running"))
                        add_sample(s, pod, names[i], cgroup_container_path(path, id + 3));
        }
}

static void measure(struct samples *s) {
        struct timespec pause = { .tv_nsec = SAMPLE_NS };
        int64_t begin = clock_monotonic_ns();

        for (size_t i = 0; i < s->n; i++) {
                struct error *err = cgroup_usage(s->items[i].cgroup, &s->items[i].before);
                s->items[i].gone = err != NULL;
                error_free(err);
        }
        nanosleep(&pause, NULL);
        int64_t passed = MAX(clock_monotonic_ns() - begin, 1);
        for (size_t i = 0; i < s->n; i++) {
                struct sample *sample = &s->items[i];
                struct error *err = cgroup_usage(sample->cgroup, &sample->after);
                sample->gone |= err != NULL;
                error_free(err);
                int64_t used = (int64_t)(sample->after.cpu_ns - sample->before.cpu_ns);
                sample->milli_cpu = (MAX(used, 0) * 1000 + passed - 1) / passed;
        }
}

static int compare(const void *a, const void *b) {
        const struct sample *x = a, *y = b;
        uint64_t mx = x->after.memory_working_set, my = y->after.memory_working_set;

        if (streq(sort_by, "cpu"))
                return (x->milli_cpu < y->milli_cpu) - (x->milli_cpu > y->milli_cpu);
        return (mx < my) - (mx > my);
}

static void add_row(struct table *table, const struct sample *sample) {
        table_row(table);
        if (selection.all_namespaces)
                table_cell(table, sample->ns);
        table_cell(table, sample->pod);
        if (containers)
                table_cell(table, sample->container);
        table_cellf(table, "%" PRId64 "m", sample->milli_cpu);
        table_cellf(table, "%" PRIu64 "Mi", sample->after.memory_working_set / MIB);
}

static void print_samples(const struct samples *s) {
        _cleanup_table_ struct table table = TABLE_INIT;
        struct sample total = { .ns = (char *)"", .pod = (char *)"", .container = (char *)"" };

        if (!no_headers) {
                table_row(&table);
                if (selection.all_namespaces)
                        table_cell(&table, "NAMESPACE");
                table_cell(&table, containers ? "POD" : "NAME");
                if (containers)
                        table_cell(&table, "NAME");
                table_cell(&table, "CPU(cores)");
                table_cell(&table, "MEMORY(bytes)");
        }
        for (size_t i = 0; i < s->n; i++) {
                if (s->items[i].gone)
                        continue;
                add_row(&table, &s->items[i]);
                total.milli_cpu += s->items[i].milli_cpu;
                total.after.memory_working_set += s->items[i].after.memory_working_set;
        }
        if (sum)
                add_row(&table, &total);
        table_print(&table, stdout);
}

struct error *top_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_(samples_release) struct samples s = { 0 };
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        const struct api_kind *kind = NULL;
        struct store *store;
        struct error *err;
        json_t *pod;
        size_t i;

        if (arguments->n_words)
                kind = api_kind_lookup(arguments->words[0]);
        if (!kind || !streq(kind->kind, "Pod"))
                return usage_error(
                        "expected `husk top pod [NAME…]`: husk measures pods, for the machine there is top(1)");
        if (sort_by && !streq(sort_by, "cpu") && !streq(sort_by, "memory"))
                return usage_error("--sort-by accepts only cpu or memory");
        err = cli_store(cli, &store);
        if (!err)
                err = selection_parse(cli, &selection, arguments->words, arguments->n_words, NULL, &requests);
        if (err)
                return err;
        _cleanup_json_ json_t *pods = requests_load(cli, &requests, &selection);
        json_array_foreach(pods, i, pod) add_pod(&s, store, pod);
        if (s.n == 0 && !cli->status) {
                fprintf(stderr, "No resources found in %s namespace.\n", cli_namespace(cli));
                return NULL;
        }
        measure(&s);
        if (sort_by)
                qsort(s.items, s.n, sizeof(*s.items), compare);
        print_samples(&s);
        return NULL;
}
