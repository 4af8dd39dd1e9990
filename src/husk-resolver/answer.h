/* answer.h - a pod's question answered, if it is about pods. */
#pragma once

#include "husk-resolver/dns.h"
#include "husk-resolver/zone.h"

#define ANSWER_TTL_S 5 /* as a cluster's DNS: pods come and go */

/* Writes the answer into `out` and returns its length; 0: the question goes to another server; -1: no answer at all.
 * `max` is how much the way back takes (the client's own limit counts for UDP): at least DNS_UDP_MIN. */
ssize_t answer(const struct zone *zone, const uint8_t *message, size_t len, bool udp, uint8_t *out, size_t max);
/* "No, something failed" to a question that parsed. */
size_t answer_failure(const uint8_t *message, size_t len, uint8_t *out, size_t max);
