#include "huskd/archives.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "image/image.h"

#define CHANGED (IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define SETTLE_NS (100 * NSEC_PER_MSEC)
#define RETRY_NS (5 * 60 * NSEC_PER_SEC) /* after a full disk, say */
#define RECORD_MAX (16 << 20)
#define OUTPUT_MAX (1 << 20)

static const char *const endings[] = { ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst" };

/* Which content a file had when it was looked at. */
struct identity {
        int64_t size, changed_ns;
};

/* A file of the folder that is to be taken in, or of which something was told. */
struct archive {
        struct archive *next;
        char *file;
        struct identity identity;
        bool waits;
        bool failed; /* told; not tried again until it is another file, or it `may_pass` and the time has come */
        bool may_pass;
};

struct archives {
        struct loop *loop;
        struct store *store;
        char *folder, *record_path;
        struct loop_watch *watch; /* NULL: the folder could not be watched */
        struct loop_timer *settle, *retry;
        json_t *record; /* by the file's name: {"size", "changed", "images"} */
        struct archive *first;
        struct archive *loading;
        struct loop_command *command;
        loop_callback changed;
        void *arg;
};

/* ---- what was taken in ---- */

static void record_read(struct archives *a) {
        _cleanup_free_ char *text = NULL;
        size_t len;
        _cleanup_error_ struct error *err = file_read(a->record_path, RECORD_MAX, &text, &len);

        a->record = err ? NULL : json_loadb(text, len, 0, NULL);
        if (!json_is_object(a->record)) { /* then all are taken in once more, which changes nothing */
                json_decref(a->record);
                a->record = json_object();
        }
}

static void record_write(struct archives *a) {
        _cleanup_free_ char *text = json_dumps(a->record, JSON_COMPACT | JSON_SORT_KEYS);
        _cleanup_error_ struct error *err = file_replace(a->record_path, text, strlen(text), 0600, FILE_DURABLE);

        if (err)
                log_warning("%s", error_message(err));
}

static bool identity_equal(struct identity a, struct identity b) {
        return a.size == b.size && a.changed_ns == b.changed_ns;
}

static bool image_is_here(const struct archives *a, const char *name) {
        _cleanup_image_ struct image *image = NULL;
        _cleanup_error_ struct error *err = image_open(a->store, name, &image);

        return !err;
}

static bool is_taken_in(const struct archives *a, const char *file, struct identity identity) {
        const json_t *entry = json_object_get(a->record, file), *images = json_object_get(entry, "images");
        struct identity taken = { json_integer_value(json_object_get(entry, "size")),
                                  json_integer_value(json_object_get(entry, "changed")) };
        json_t *name;
        size_t i;

        if (!entry || !identity_equal(taken, identity))
                return false;
        json_array_foreach(images, i,
                           name) if (!json_is_string(name) || !image_is_here(a, json_string_value(name))) return false;
        return true;
}

/* ---- looking at the folder ---- */

static bool is_archive_name(const char *file) {
        for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
                if (str_ends_with(file, endings[i]))
                        return true;
        return false;
}

static bool identity_of(const struct archives *a, const char *file, struct identity *ret) {
        _cleanup_free_ char *path = path_join(a->folder, file);
        struct stat st;

        if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
                return false;
        *ret = (struct identity){ st.st_size, st.st_ctim.tv_sec * NSEC_PER_SEC + st.st_ctim.tv_nsec };
        return true;
}

static struct archive *archive_find(const struct archives *a, const char *file) {
        for (struct archive *f = a->first; f; f = f->next)
                if (streq(f->file, file))
                        return f;
        return NULL;
}

static struct archive *archive_add(struct archives *a, const char *file) {
        struct archive **end = &a->first, *f = new0(struct archive);

        while (*end)
                end = &(*end)->next;
        f->file = xstrdup(file);
        *end = f;
        return f;
}

static void archive_forget(struct archives *a, struct archive *f) {
        struct archive **p = &a->first;

        while (*p && *p != f)
                p = &(*p)->next;
        if (*p)
                *p = f->next;
        free(f->file);
        free(f);
}

static void consider(struct archives *a, const char *file) {
        struct archive *f = archive_find(a, file);
        struct identity identity;

        if (file[0] == '.' || !identity_of(a, file, &identity) || (f && f == a->loading) ||
            is_taken_in(a, file, identity))
                return;
        if (f && f->failed && identity_equal(f->identity, identity))
                return;
        if (!f)
                f = archive_add(a, file);
        f->identity = identity;
        f->waits = is_archive_name(file);
        f->failed = !f->waits;
        f->may_pass = false;
        if (!f->waits)
                log_warning(
                        "%s/%s is passed over: no archive of images has such an ending (.tar, .tar.gz, .tgz, .tar.zst "
                        "or .tzst)",
                        a->folder, file);
}

static int by_name(const struct dirent **x, const struct dirent **y) {
        return strcmp((*x)->d_name, (*y)->d_name);
}

/* Of what is gone there is nothing more to tell. */
static void forget_removed(struct archives *a) {
        for (struct archive *f = a->first, *next; f; f = next) {
                struct identity ignored;
                next = f->next;
                if (f != a->loading && !identity_of(a, f->file, &ignored))
                        archive_forget(a, f);
        }
}

static void load_next(struct archives *a);
static void folder_watch(struct archives *a);

void archives_look(struct archives *a) {
        struct dirent **list = NULL;
        int n;

        if (!a->watch)
                folder_watch(a);
        n = scandir(a->folder, &list, NULL, by_name);
        if (n < 0 && errno != ENOENT)
                log_warning("image archives: open %s: %s", a->folder, strerror(errno));
        for (int i = 0; i < n; i++) {
                consider(a, list[i]->d_name);
                free(list[i]);
        }
        free(list);
        forget_removed(a);
        load_next(a);
}

/* ---- taking one in ---- */

/* Names of the images, from husk-image's output: a JSON object a line. */
static json_t *images_of(char *output) {
        json_t *images = json_array();
        char *save = NULL;

        for (char *line = strtok_r(output, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                json_auto_t *json = json_loads(line, 0, NULL);
                json_t *name = json_object_get(json, "reference");
                if (!json_is_string(name))
                        name = json_object_get(json, "id");
                if (json_is_string(name))
                        json_array_append(images, name);
        }
        return images;
}

static void taken_in(struct archives *a, struct archive *f, char *output) {
        json_t *images = images_of(output);
        const char *file;
        json_t *entry;
        void *next;

        log_info("took in %s/%s: %zu image name%s", a->folder, f->file, json_array_size(images),
                 json_array_size(images) == 1 ? "" : "s");
        json_object_set_new(a->record, f->file,
                            json_pack("{s:I, s:I, s:o}", "size", (json_int_t)f->identity.size, "changed",
                                      (json_int_t)f->identity.changed_ns, "images", images));
        json_object_foreach_safe(a->record, next, file, entry) {
                struct identity ignored;
                if (!identity_of(a, file, &ignored))
                        json_object_del(a->record, file);
        }
        record_write(a);
        archive_forget(a, f);
}

static void could_not(struct archives *a, struct archive *f, int status, const char *message) {
        f->failed = true;
        f->may_pass = status == IMAGE_EXIT_NO_SPACE || status == IMAGE_EXIT_FAILED;
        log_warning("%s/%s was not taken in%s: %s", a->folder, f->file,
                    f->may_pass ? ", it is tried again in five minutes" : "", message);
        if (f->may_pass)
                loop_timer_set(a->retry, RETRY_NS);
}

static void load_done(void *arg, struct loop_command_result *result) {
        struct archives *a = arg;
        struct archive *f = a->loading;
        int status = result->exit.si_code == CLD_EXITED ? result->exit.si_status : IMAGE_EXIT_FAILED;
        struct identity now;

        a->command = NULL;
        a->loading = NULL;
        result->errors[strcspn(result->errors, "\n")] = '\0';
        if (!identity_of(a, f->file, &now)) /* removed meanwhile */
                archive_forget(a, f);
        else if (!identity_equal(now, f->identity)) /* replaced meanwhile */
                f->waits = true;
        else if (status == IMAGE_EXIT_OK)
                taken_in(a, f, result->output);
        else
                could_not(a, f, status, *result->errors ? result->errors : "husk-image did not end well");
        archives_look(a);
        a->changed(a->arg);
}

static struct error *load_begin(struct archives *a, struct archive *f) {
        _cleanup_free_ char *program = NULL, *path = path_join(a->folder, f->file);
        struct error *err = process_find_sister("husk-image", &program);
        char self[16];

        if (err)
                return err;
        snprintf(self, sizeof(self), "%d", getpid());
        char *argv[] = { program, "--root",     a->store->root, "--run", a->store->run, "--end-with", self, "load",
                         "--pin", "--progress", "none",         "-o",    "json",        "--",         path, NULL };
        struct loop_command_options options = {
                .argv = argv, .gather_output = true, .gather_errors = true, .output_max = OUTPUT_MAX
        };
        return loop_command_new(a->loop, &options, load_done, a, &a->command);
}

static void load_next(struct archives *a) {
        for (struct archive *f = a->first; f && !a->loading; f = f->next) {
                if (!f->waits)
                        continue;
                f->waits = false;
                _cleanup_error_ struct error *err = load_begin(a, f);
                if (err)
                        could_not(a, f, IMAGE_EXIT_FAILED, error_message(err));
                else
                        a->loading = f;
        }
}

/* ---- from start to end ---- */

static void settled(void *arg) {
        struct archives *a = arg;

        archives_look(a);
        a->changed(a->arg);
}

/* The time has come for what could not be taken in for a reason that may pass. */
static void try_again(void *arg) {
        struct archives *a = arg;

        for (struct archive *f = a->first; f; f = f->next)
                if (f->may_pass)
                        f->failed = f->may_pass = false;
        settled(a);
}

static void folder_changed(void *arg, uint32_t events, const char *name) {
        struct archives *a = arg;

        if (name[0] == '.' && !(events & (IN_Q_OVERFLOW | IN_IGNORED)))
                return; /* being copied */
        if (events & (IN_IGNORED | IN_MOVE_SELF | IN_DELETE_SELF | IN_UNMOUNT))
                a->watch = loop_watch_free(a->watch);
        loop_timer_set(a->settle, SETTLE_NS);
}

static void folder_watch(struct archives *a) {
        _cleanup_error_ struct error *err = mkdir_parents(a->folder, 0755);

        if (!err)
                err = loop_watch_new(a->loop, a->folder, CHANGED, folder_changed, a, &a->watch);
        if (err)
                log_warning("no image archives: %s", error_message(err));
}

struct archives *archives_new(struct loop *loop, struct store *store, const char *folder, loop_callback changed,
                              void *arg) {
        struct archives *a = new0(struct archives);

        *a = (struct archives){ .loop = loop,
                                .store = store,
                                .folder = xstrdup(folder),
                                .record_path = path_join(store->root, "archives.json"),
                                .changed = changed,
                                .arg = arg };
        a->settle = loop_timer_new(loop, settled, a);
        a->retry = loop_timer_new(loop, try_again, a);
        record_read(a);
        archives_look(a);
        return a;
}

struct archives *archives_free(struct archives *a) {
        if (!a)
                return NULL;
        loop_command_free(a->command);
        loop_watch_free(a->watch);
        loop_timer_free(a->settle);
        loop_timer_free(a->retry);
        while (a->first)
                archive_forget(a, a->first);
        json_decref(a->record);
        free(a->folder);
        free(a->record_path);
        free(a);
        return NULL;
}

size_t archives_waiting(const struct archives *a) {
        size_t n = a->loading != NULL;

        for (const struct archive *f = a->first; f; f = f->next)
                n += f->waits;
        return n;
}

bool archives_own(const struct archives *a, pid_t pid) {
        return a && a->command && loop_command_pid(a->command) == pid;
}
