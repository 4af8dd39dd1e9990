/* forward.h - questions that are not about pods, put to the machine's own nameservers, one after the other.
 *
 * Each question has a socket and a random id of its own, and only its answer is believed: from the server that was
 * asked, with that id, to that question. */
#pragma once

#include "husk-resolver/dns.h"
#include "loop/loop.h"

struct forwarder;
/* `servers`: addresses, in the order in which they are asked. */
struct forwarder *forwarder_new(struct loop *loop, char *const *servers);
struct forwarder *forwarder_free(struct forwarder *f); /* no question may be under way */

struct forward;
/* The answer with the id of the question; NULL: none came. The forward has been freed by then. */
typedef void (*forward_callback)(void *arg, uint8_t *answer, size_t len);
/* NULL: too many are under way. The callback comes later, never from here. */
struct forward *forward_new(struct forwarder *f, const uint8_t *question, size_t len, bool tcp,
                            forward_callback callback, void *arg);
struct forward *forward_free(struct forward *f);
