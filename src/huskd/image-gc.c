#include "huskd/image-gc.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "image/disk.h"

#define PERIOD_NS (5 * 60 * NSEC_PER_SEC) /* a kubelet's ImageGCPeriod */

struct image_gc {
        struct loop *loop;
        struct store *store;
        struct loop_timer *timer;
        struct loop_command *command;
        char *told; /* the last trouble, which is told once */
};

static void tell(struct image_gc *gc, const char *trouble) {
        if (trouble && !streq_ptr(trouble, gc->told))
                log_warning("image garbage collection: %s", trouble);
        str_replace(&gc->told, trouble);
}

static void log_lines(char *text) {
        char *save = NULL;

        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                log_info("image garbage collection: %s", line);
}

static void collected(void *arg, struct loop_command_result *result) {
        struct image_gc *gc = arg;
        bool good = result->exit.si_code == CLD_EXITED && result->exit.si_status == 0;

        gc->command = NULL;
        log_lines(result->output);
        result->errors[strcspn(result->errors, "\n")] = '\0';
        tell(gc, *result->errors ? result->errors : good ? NULL : "husk-image did not end well");
}

static struct error *collect(struct image_gc *gc) {
        _cleanup_free_ char *program = NULL;
        struct error *err = process_find_sister("husk-image", &program);
        char self[16];

        if (err)
                return err;
        snprintf(self, sizeof(self), "%d", getpid());
        char *argv[] = { program, "--root", gc->store->root, "--run", gc->store->run, "--end-with", self, "gc", NULL };
        struct loop_command_options options = { .argv = argv, .gather_output = true, .gather_errors = true };
        return loop_command_new(gc->loop, &options, collected, gc, &gc->command);
}

void image_gc_look(struct image_gc *gc) {
        _cleanup_node_config_ struct node_config config = { 0 };
        uint64_t to_free = 0;

        loop_timer_set(gc->timer, PERIOD_NS);
        if (gc->command)
                return;
        _cleanup_error_ struct error *err = node_config_read(gc->store, &config);
        if (!err)
                err = images_bytes_to_free(gc->store, &config, &to_free);
        if (!err && (to_free || config.image_max_age_s))
                err = collect(gc);
        else if (!err)
                tell(gc, NULL);
        if (err)
                tell(gc, error_message(err));
}

static void due(void *arg) {
        image_gc_look(arg);
}

struct image_gc *image_gc_new(struct loop *loop, struct store *store) {
        struct image_gc *gc = new0(struct image_gc);

        *gc = (struct image_gc){ .loop = loop, .store = store };
        gc->timer = loop_timer_new(loop, due, gc);
        loop_timer_set(gc->timer, 0);
        return gc;
}

struct image_gc *image_gc_free(struct image_gc *gc) {
        if (!gc)
                return NULL;
        loop_command_free(gc->command);
        loop_timer_free(gc->timer);
        free(gc->told);
        free(gc);
        return NULL;
}

bool image_gc_owns(const struct image_gc *gc, pid_t pid) {
        return gc && gc->command && loop_command_pid(gc->command) == pid;
}
