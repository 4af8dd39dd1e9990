#include "huskd/network.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/net.h"

/* Who loads a firewall anew removes everything and then adds in several steps. */
#define SETTLE_NS (200 * NSEC_PER_MSEC)

struct network {
        struct store *store;
        int fd;
        struct loop_io *io;
        struct loop_timer *timer;
};

static void repair(void *arg) {
        struct network *n = arg;
        _cleanup_error_ struct error *err = net_repair(n->store);

        if (err)
                log_warning("%s", error_message(err));
        else
                log_info("another firewall was loaded: the pods' network was looked after");
}

static void nftables_changed(void *arg, int events) {
        struct network *n = arg;

        if (net_watch_read(n->fd, n->store))
                loop_timer_set(n->timer, SETTLE_NS);
}

struct network *network_new(struct loop *loop, struct store *store) {
        struct network *n = new0(struct network);

        *n = (struct network){ .store = store, .fd = -EBADF };
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
        loop_timer_free(n->timer);
        loop_io_free(n->io);
        fd_close(n->fd);
        free(n);
        return NULL;
}
