#include "huskd/network.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "net/net.h"

/* Who loads a firewall anew removes everything and then adds in several steps. */
#define SETTLE_NS (200 * NSEC_PER_MSEC)

struct network {
        struct loop *loop;
        struct store *store;
        int fd;
        struct loop_io *io;
        struct loop_timer *timer;
        struct loop_command *command; /* it is being repaired */
        bool again;                   /* something changed meanwhile */
};

static void repaired(void *arg, struct loop_command_result *result) {
        struct network *n = arg;

        n->command = NULL;
        result->errors[strcspn(result->errors, "\n")] = '\0';
        if (result->exit.si_code == CLD_EXITED && result->exit.si_status == 0)
                log_info("somebody changed nftables: the pods' network was checked and what it lacked was made again");
        else
                log_warning("nftables was changed, and the pods' network could not be repaired: %s",
                            *result->errors ? result->errors : "husk did not end well");
        if (n->again)
                loop_timer_set(n->timer, SETTLE_NS);
        n->again = false;
}

/* By another process: it waits for locks and for the kernel. */
static struct error *repair_begin(struct network *n) {
        _cleanup_free_ char *program = NULL;
        struct error *err = process_find_sister("husk", &program);

        if (err)
                return err;
        char *argv[] = { program, "--root", n->store->root, "--run", n->store->run, "network", "--repair", NULL };
        struct loop_command_options options = { .argv = argv, .gather_errors = true };
        return loop_command_new(n->loop, &options, repaired, n, &n->command);
}

static void repair(void *arg) {
        struct network *n = arg;

        n->again = n->command;
        if (n->command)
                return;
        _cleanup_error_ struct error *err = repair_begin(n);
        if (err)
                log_warning("nftables was changed, and the pods' network could not be repaired: %s",
                            error_message(err));
}

static void nftables_changed(void *arg, int events) {
        struct network *n = arg;

        if (net_watch_read(n->fd, n->store))
                loop_timer_set(n->timer, SETTLE_NS);
}

struct network *network_new(struct loop *loop, struct store *store) {
        struct network *n = new0(struct network);

        *n = (struct network){ .loop = loop, .store = store, .fd = -EBADF };
        n->timer = loop_timer_new(loop, repair, n);
        _cleanup_error_ struct error *err = net_watch_open(&n->fd);
        if (!err)
                err = loop_io_new(loop, n->fd, LOOP_READABLE, nftables_changed, n, &n->io);
        if (!err)
                return n;
        log_warning("%s: a table that somebody removes comes back with the next pod only", error_message(err));
        return network_free(n);
}

struct network *network_free(struct network *n) {
        if (!n)
                return NULL;
        loop_command_free(n->command);
        loop_timer_free(n->timer);
        loop_io_free(n->io);
        fd_close(n->fd);
        free(n);
        return NULL;
}
