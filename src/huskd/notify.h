/* notify.h - tells the service manager how huskd is, by the protocol of sd_notify(3): datagrams of lines to the socket
 * that $NOTIFY_SOCKET names. Without one, as under other service managers, nothing happens. */
#pragma once

#include "loop/loop.h"

/* Takes the socket's name and the watchdog's time from the environment, so that no child of huskd inherits them. If the
 * manager asks for signs of life (WATCHDOG_USEC), they are given at half that interval, from the loop: a loop that
 * hangs gives none. Otherwise nothing here ever wakes huskd up. */
void notify_begin(struct loop *loop);
void notify_end(void);

void notify_ready(const char *status);
void notify_status(const char *status); /* one line; nothing is sent if it is what was said last */
void notify_reloading(void);            /* notify_ready() says that it is over */
void notify_stopping(void);
