/* probe.h - when a probe of a container is due, and what its answers add up to.
 *
 * No I/O here: probe_step() asks for a run when one is due, probe_answered() counts. As a kubelet's worker: the first
 * run comes initialDelaySeconds after the container started (at once without a delay), the next ones on a grid of
 * periodSeconds, never two at a time; until the startup probe has succeeded the other two wait, afterwards it rests. A
 * failure counts when failureThreshold of them came in a row, a success likewise. A liveness or startup probe that has
 * failed is not run again until there is a new container.
 *
 *      unknown ──success × threshold──▶ success ◀──▶ failure     (readiness goes both ways,
 *         └─────failure × threshold──▶ failure                    liveness and startup end at failure)
 */
#pragma once

#include "husk-pod/ops.h"

enum probe_value {
        PROBE_UNKNOWN, /* no verdict yet: startup waits, readiness is not ready, liveness counts as alive */
        PROBE_SUCCESS,
        PROBE_FAILURE,
};

struct probe {
        const V1Probe *spec; /* NULL: the container has none of this kind */
        enum run_kind kind;
        enum probe_value value;
        enum probe_value last; /* the last answer, and how many of them came in a row (no further than its threshold) */
        int in_a_row;
        int64_t next_ns; /* monotonic time of the next run; 0: not scheduled */
        uint64_t run_id; /* the run under way; 0: none */
};

int64_t probe_period_ns(const V1Probe *spec);
int64_t probe_timeout_ns(const V1Probe *spec);

/* A new container: forget everything that was. A run under way must have been cancelled. */
void probe_reset(struct probe *p);
/* Sets the first run of a container that started at `started_ns`, if none is set. */
void probe_schedule(struct probe *p, int64_t started_ns, int64_t now_ns);
/* After a supervisor's restart: a run that would be due already is put off by a random part of the period, so that the
 * probes of all pods do not fire at once (a kubelet does so when it has just been started). */
void probe_jitter(struct probe *p, uint64_t random, int64_t now_ns);
/* Counts one answer and sets the next run. True if `value` changed. RUN_ERROR is thrown away. */
bool probe_answered(struct probe *p, enum run_result result, int64_t now_ns);
/* Should it be run now? Not while one is under way, nor when liveness or startup have failed for good. */
bool probe_is_due(const struct probe *p, int64_t now_ns);

const char *probe_kind_word(enum run_kind kind); /* "Liveness", … as events say */
