/* tree.c - `husk tree`: a pod as what it is, a group of processes that share namespaces.
 *
 * For each process of the pod: its container, its place below its parent, and a letter for each namespace it shares
 * with the pod's other containers. Namespaces are compared by the inodes below /proc/PID/ns. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "husk/container.h"
#include "husk/selection.h"
#include "husk/table.h"
#include "husk/verbs.h"

#define COMMAND_COLUMNS 60

static bool show_inodes, show_full;

const struct flag tree_flags[] = {
        { "full", 0, FLAG_BOOL, &show_full, NULL, NULL, "Show whole command lines" },
        { "inodes", 0, FLAG_BOOL, &show_inodes, NULL, NULL, "Show the namespaces' numbers instead of letters" },
        { 0 },
};

static const char *const namespaces[] = { "net", "ipc", "uts", "pid", "mnt", "user", "cgroup" };
#define N_NAMESPACES ARRAY_SIZE(namespaces)

struct process {
        pid_t pid, parent;
        char *command;
        uint64_t inodes[N_NAMESPACES]; /* 0: could not be read */
        bool shown;
};

struct tree {
        struct process *processes; /* all of the machine, in the order of their pids */
        size_t n;
        uint64_t own[N_NAMESPACES]; /* of husk itself: the node's */
        struct {
                uint64_t inode;
                char letter;
        } letters[N_NAMESPACES][32];
        size_t n_letters[N_NAMESPACES];
};

static void tree_release(struct tree *t) {
        for (size_t i = 0; i < t->n; i++)
                free(t->processes[i].command);
        free(t->processes);
}

/* ---- reading /proc ---- */

static void read_namespaces(const char *pid, uint64_t ret[static N_NAMESPACES]) {
        for (size_t i = 0; i < N_NAMESPACES; i++) {
                _cleanup_free_ char *path = xasprintf("/proc/%s/ns/%s", pid, namespaces[i]);
                struct stat st;
                ret[i] = stat(path, &st) == 0 ? st.st_ino : 0;
        }
}

/* A container chooses its own command line: none of it may move the terminal's cursor. */
static char *read_command(const char *pid) {
        _cleanup_free_ char *path = xasprintf("/proc/%s/cmdline", pid);
        char *text = NULL;
        size_t len = 0;
        struct error *err = file_read(path, 1 << 16, &text, &len);

        error_free(err);
        while (len && (unsigned char)text[len - 1] <= ' ')
                text[--len] = '\0';
        for (size_t i = 0; i < len; i++)
                if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
                        text[i] = ' ';
        return text ? text : xstrdup("");
}

static bool read_parent(const char *pid, pid_t *ret) {
        _cleanup_free_ char *path = xasprintf("/proc/%s/stat", pid);
        _cleanup_free_ char *text = NULL;
        struct error *err = file_read(path, 4096, &text, NULL);

        error_free(err);
        const char *p = text ? strrchr(text, ')') : NULL;
        char state;
        return p && sscanf(p + 1, " %c %d", &state, ret) == 2 && state != 'Z';
}

static int compare_pids(const void *a, const void *b) {
        return ((const struct process *)a)->pid - ((const struct process *)b)->pid;
}

static void read_processes(struct tree *t) {
        struct dirent *entry;
        DIR *dir = opendir("/proc");

        while (dir && (entry = readdir(dir))) {
                struct process p = { 0 };
                uint64_t pid;
                if (!str_to_u64(entry->d_name, &pid) || !read_parent(entry->d_name, &p.parent))
                        continue;
                p.pid = pid;
                read_namespaces(entry->d_name, p.inodes);
                p.command = read_command(entry->d_name);
                t->processes = xreallocarray(t->processes, t->n + 1, sizeof(p));
                t->processes[t->n++] = p;
        }
        if (dir)
                closedir(dir);
        if (t->n)
                qsort(t->processes, t->n, sizeof(*t->processes), compare_pids);
        read_namespaces("self", t->own);
}

/* ---- drawing ---- */

/* "-" for the node's own, else a letter: the first one met is A. */
static char letter_of(struct tree *t, size_t ns, uint64_t inode) {
        if (!inode)
                return '?';
        if (inode == t->own[ns])
                return '-';
        for (size_t i = 0; i < t->n_letters[ns]; i++)
                if (t->letters[ns][i].inode == inode)
                        return t->letters[ns][i].letter;
        size_t n = t->n_letters[ns];
        if (n == ARRAY_SIZE(t->letters[ns]) || n >= 26)
                return '*';
        t->letters[ns][n].inode = inode;
        t->letters[ns][n].letter = (char)('A' + n);
        t->n_letters[ns]++;
        return t->letters[ns][n].letter;
}

static void add_command(struct table *table, const char *command, int depth) {
        size_t len = strlen(command), shown = len;

        if (len > COMMAND_COLUMNS && !show_full)
                for (shown = COMMAND_COLUMNS; shown && ((unsigned char)command[shown] & 0xc0) == 0x80;)
                        shown--; /* not inside a character */
        table_cellf(table, "%*s%s%.*s%s", 2 * MAX(depth - 1, 0), "", depth ? "`-" : "", (int)shown, command,
                    shown < len ? "…" : "");
}

static void add_process(struct tree *t, struct table *table, struct process *p, const char *owner, int depth) {
        table_row(table);
        table_cell(table, owner);
        table_cellf(table, "%d", p->pid);
        for (size_t i = 0; i < N_NAMESPACES; i++)
                if (show_inodes)
                        table_cellf(table, "%" PRIu64, p->inodes[i]);
                else
                        table_cellf(table, "%c", letter_of(t, i, p->inodes[i]));
        add_command(table, p->command, depth);
        p->shown = true;
        for (size_t i = 0; i < t->n; i++)
                if (t->processes[i].parent == p->pid && !t->processes[i].shown)
                        add_process(t, table, &t->processes[i], owner, depth + 1);
}

static struct process *find_process(struct tree *t, pid_t pid) {
        for (size_t i = 0; i < t->n; i++)
                if (t->processes[i].pid == pid)
                        return &t->processes[i];
        return NULL;
}

static void add_titles(struct table *table) {
        table_row(table);
        table_cell(table, "CONTAINER");
        table_cell(table, "PID");
        for (size_t i = 0; i < N_NAMESPACES; i++) {
                char title[16];
                size_t n = 0;
                for (; namespaces[i][n] && n < sizeof(title) - 1; n++)
                        title[n] = namespaces[i][n] - ('a' - 'A');
                title[n] = '\0';
                table_cell(table, title);
        }
        table_cell(table, "COMMAND");
}

/* husk's own processes: their programs' names say enough, their arguments are the same folders for all. */
static void shorten_command(struct process *p) {
        p->command[strcspn(p->command, " ")] = '\0';
        char *slash = strrchr(p->command, '/');
        if (slash)
                memmove(p->command, slash + 1, strlen(slash));
}

/* The keeper is found by its name and the pod's uid on the command line; infra process and supervisor are its children.
 */
static struct process *find_keeper(struct tree *t, const char *uid) {
        for (size_t i = 0; i < t->n; i++)
                if (strstr(t->processes[i].command, "husk-keeper") && strstr(t->processes[i].command, uid))
                        return &t->processes[i];
        return NULL;
}

static bool runs_program(const struct process *p, const char *program) {
        size_t len = strcspn(p->command, " ");
        const char *slash = memrchr(p->command, '/', len);
        const char *name = slash ? slash + 1 : p->command;

        return strlen(program) == (size_t)(p->command + len - name) && !memcmp(name, program, strlen(program));
}

static void add_child(struct tree *t, struct table *table, const struct process *keeper, const char *program,
                      const char *title) {
        for (size_t i = 0; keeper && i < t->n; i++) {
                struct process *p = &t->processes[i];
                if (p->parent != keeper->pid || p->shown || !runs_program(p, program))
                        continue;
                shorten_command(p);
                add_process(t, table, p, title, 0);
        }
}

static void add_containers(struct tree *t, struct table *table, struct store *store, const json_t *pod) {
        _cleanup_free_ const char **names = container_names_in_order(pod);

        for (size_t i = 0; names[i]; i++) {
                _cleanup_running_ struct running running = RUNNING_INIT;
                struct error *missing = container_open(store, pod, names[i], &running);
                struct process *p = missing ? NULL : find_process(t, running.pid);
                error_free(missing);
                if (p)
                        add_process(t, table, p, names[i], 0);
        }
}

struct error *tree_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_(tree_release) struct tree t = { 0 };
        _cleanup_table_ struct table table = TABLE_INIT;
        _cleanup_json_ json_t *pod = NULL;
        struct store *store;
        struct error *err;

        if (arguments->n_words != 1)
                return usage_error("expected the name of one pod");
        err = cli_store(cli, &store);
        if (!err)
                err = pod_load(cli, arguments->words[0], &pod);
        if (err)
                return err;
        read_processes(&t);
        add_titles(&table);
        /* The infra process holds what the others join, so it stands first; the keeper is the parent of all and last.
         */
        struct process *keeper = find_keeper(&t, field_text_or(pod, "metadata.uid", "?"));
        add_child(&t, &table, keeper, "husk-infra", "(infra)");
        add_containers(&t, &table, store, pod);
        add_child(&t, &table, keeper, "husk-pod", "(supervisor)");
        if (keeper) {
                shorten_command(keeper);
                add_process(&t, &table, keeper, "(keeper)", 0);
        }
        table_print(&table, stdout);
        if (!show_inodes)
                printf("\nOne letter in a column is one namespace; - is this machine's own.\n");
        return NULL;
}
