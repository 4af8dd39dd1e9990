/* husk-image prune and gc */
#include "husk-image/prune.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/str.h"
#include "husk-image/content.h"
#include "husk-image/gc.h"
#include "husk-image/names.h"
#include "image/disk.h"
#include "image/layout.h"
#include "store/node-config.h"

static void print_collected(const struct options *o, char *const *untagged, const struct gc_result *result) {
        char size[SIZE_TEXT];

        if (o->json) {
                json_auto_t *names = json_array(), *ids = json_array(), *json = NULL;
                for (size_t i = 0; untagged && untagged[i]; i++)
                        json_array_append_new(names, json_string(untagged[i]));
                for (size_t i = 0; result->ids && result->ids[i]; i++)
                        json_array_append_new(ids, json_string(result->ids[i]));
                json = json_pack("{s:O, s:O, s:i, s:i, s:I}", "untagged", names, "deleted", ids, "layers",
                                 (int)result->layers, "blobs", (int)result->blobs, "bytes", (json_int_t)result->bytes);
                _cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);
                puts(text);
                return;
        }
        for (size_t i = 0; untagged && untagged[i]; i++)
                printf("Untagged: %s\n", untagged[i]);
        for (size_t i = 0; result->ids && result->ids[i]; i++)
                printf("Deleted: %s\n", result->ids[i]);
        if (result->layers || result->blobs)
                printf("Freed: %s (%zu layers, %zu blobs)\n", size_format(result->bytes, size), result->layers,
                       result->blobs);
}

struct error *collect(struct context *context, char *const *ids, char *const *untagged) {
        struct gc_result result = { 0 };
        bool done;
        struct error *err = gc_collect(context->images, ids, false, &done, &result);

        if (!err && !done)
                log_warning("images are being pulled: what is not needed any more goes with the next rm or prune");
        if (!err && !context->silent)
                print_collected(context->options, untagged, &result);
        gc_result_release(&result);
        return err;
}

/* An image that no pod uses and that nothing keeps. */
struct candidate {
        char *id;
        time_t used; /* when a container of it was started last; else when it came */
};

/* What may be removed at all, beside the names of everything. */
struct stock {
        struct names names;
        struct candidate *list;
        size_t n;
};

static void stock_release(struct stock *stock) {
        names_release(&stock->names);
        for (size_t i = 0; i < stock->n; i++)
                free(stock->list[i].id);
        free(stock->list);
}
#define _cleanup_stock_ _cleanup_(stock_release)

/* What husk removes by itself must be what a pull can bring again: of what was loaded the archive may be far away. */
static bool is_kept(const struct names *names, const char *id, bool by_itself) {
        for (size_t i = 0; i < names->n; i++)
                if ((names->list[i].pinned || (by_itself && names->list[i].loaded)) && streq(names->list[i].id, id))
                        return true;
        return false;
}

static void add_candidate(struct stock *stock, const char *images, const char *id) {
        _cleanup_free_ char *path = layout_image(images, id);
        struct stat st;

        if (stat(path, &st) < 0)
                return; /* gone meanwhile */
        stock->list = xreallocarray(stock->list, stock->n + 1, sizeof(*stock->list));
        stock->list[stock->n++] = (struct candidate){ xstrdup(id), st.st_mtime };
}

static int by_use(const void *a, const void *b) {
        const struct candidate *x = a, *y = b;
        return x->used < y->used ? -1 : x->used > y->used;
}

/* Candidates, the one not used for longest first. */
static struct error *stock_take(struct context *context, bool by_itself, struct stock *ret) {
        _cleanup_strv_ char **in_use = NULL, **ids = NULL;
        struct error *err = gc_in_use(context->store, &in_use);

        if (!err)
                err = names_read(context->images, &ret->names);
        if (!err)
                err = image_record_ids(context->images, &ids);
        if (err)
                return err;
        for (size_t i = 0; ids && ids[i]; i++) {
                _cleanup_strv_ char **names = names_of(&ret->names, ids[i]);
                if (!is_kept(&ret->names, ids[i], by_itself) && !gc_is_used(in_use, ids[i], names))
                        add_candidate(ret, context->images, ids[i]);
        }
        if (ret->n)
                qsort(ret->list, ret->n, sizeof(*ret->list), by_use);
        return NULL;
}

static void mark_names(const struct names *names, char *const *ids, bool *removed, char ***untagged) {
        for (size_t i = 0; i < names->n; i++)
                if (strv_contains(ids, names->list[i].id)) {
                        removed[i] = true;
                        *untagged = strv_add(*untagged, names->list[i].text);
                }
}

/* Removes the images with these ids and all their names. */
static struct error *remove_images(struct context *context, const struct names *names, char *const *ids) {
        _cleanup_free_ bool *removed = xcalloc(names->n + 1, sizeof(*removed));
        _cleanup_strv_ char **untagged = NULL;

        mark_names(names, ids, removed, &untagged);
        struct error *err = names_remove(names, removed);
        return err ? err : collect(context, ids, untagged);
}

struct error *verb_prune(struct context *context) {
        _cleanup_stock_ struct stock stock = { 0 };
        _cleanup_strv_ char **ids = NULL;
        struct error *err = content_prepare(context->images);

        if (!err)
                err = content_sweep(context->images, 0);
        if (!err)
                err = stock_take(context, false, &stock);
        if (err)
                return err;
        for (size_t i = 0; i < stock.n; i++)
                if (context->options->all || !names_speak_of(&stock.names, stock.list[i].id, NULL))
                        ids = strv_add(ids, stock.list[i].id);
        return remove_images(context, &stock.names, ids);
}

/* --- by thresholds, as a kubelet's image garbage collection ------------------------------------------------------ */

/* Is it still unused, now that nobody else changes the store? */
static struct error *still_unused(struct context *context, const struct names *names, const char *id, bool *ret) {
        _cleanup_strv_ char **in_use = NULL, **own = names_of(names, id);
        struct error *err = gc_in_use(context->store, &in_use);

        *ret = !err && !gc_is_used(in_use, id, own);
        return err;
}

/* Removes an image with the store's lock held alone, so that its names go only if it goes. *ret_busy: somebody pulls or
 * loads; nothing was done. */
static struct error *remove_one(struct context *context, const struct names *names, const char *id, uint64_t *freed,
                                bool *ret_busy) {
        char *ids[] = { (char *)id, NULL };
        _cleanup_free_ bool *removed = xcalloc(names->n + 1, sizeof(*removed));
        _cleanup_strv_ char **untagged = NULL;
        _cleanup_close_ int lock = -EBADF;
        struct gc_result result = { 0 };
        bool unused = false;
        struct error *err = content_lock(context->images, true, &lock);

        *ret_busy = !err && lock < 0;
        if (!err && !*ret_busy)
                err = still_unused(context, names, id, &unused);
        if (err || !unused)
                return err;
        mark_names(names, ids, removed, &untagged);
        err = names_remove(names, removed);
        if (!err)
                err = gc_collect_locked(context->images, ids, false, &result);
        if (!err && !context->silent)
                print_collected(context->options, untagged, &result);
        *freed += result.bytes;
        gc_result_release(&result);
        return err;
}

static struct error *gc_run(struct context *context, const struct node_config *config, uint64_t to_free) {
        _cleanup_stock_ struct stock stock = { 0 };
        time_t now = time(NULL);
        char wanted[SIZE_TEXT], got[SIZE_TEXT];
        uint64_t freed = 0;
        bool busy = false;
        struct error *err = stock_take(context, true, &stock);

        for (size_t i = 0; !err && !busy && i < stock.n; i++) {
                int64_t age = now - stock.list[i].used;
                bool too_old = config->image_max_age_s && age > config->image_max_age_s;
                if (too_old || (freed < to_free && age >= config->image_min_age_s))
                        err = remove_one(context, &stock.names, stock.list[i].id, &freed, &busy);
        }
        if (!err && !busy && freed < to_free)
                log_warning(
                        "the disk of the images is over %u %% full: wanted to free %s, but freed %s; no more images "
                        "are unused",
                        config->image_gc_high_percent, size_format(to_free, wanted), size_format(freed, got));
        return err;
}

struct error *image_gc(struct context *context) {
        _cleanup_node_config_ struct node_config config = { 0 };
        uint64_t to_free = 0;
        struct error *err = node_config_read(context->store, &config);

        if (!err)
                err = images_bytes_to_free(context->store, &config, &to_free);
        if (err || (!to_free && !config.image_max_age_s))
                return err;
        return gc_run(context, &config, to_free);
}

struct error *verb_gc(struct context *context) {
        struct error *err = content_prepare(context->images);
        return err ? err : image_gc(context);
}
