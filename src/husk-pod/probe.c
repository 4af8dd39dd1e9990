#include "husk-pod/probe.h"

#include "base/clock.h"

/* Zero is what an omitted number looks like before defaulting: the defaults of core/v1 hold for both. */
static int64_t number_or(bool has, int64_t value, int64_t otherwise) {
        return has && value > 0 ? value : otherwise;
}

int64_t probe_period_ns(const V1Probe *spec) {
        return number_or(spec->has_periodseconds, spec->periodseconds, 10) * NSEC_PER_SEC;
}

int64_t probe_timeout_ns(const V1Probe *spec) {
        return number_or(spec->has_timeoutseconds, spec->timeoutseconds, 1) * NSEC_PER_SEC;
}

static int threshold_of(const struct probe *p, enum probe_value value) {
        if (value == PROBE_SUCCESS)
                return (int)number_or(p->spec->has_successthreshold, p->spec->successthreshold, 1);
        return (int)number_or(p->spec->has_failurethreshold, p->spec->failurethreshold, 3);
}

void probe_reset(struct probe *p) {
        p->value = PROBE_UNKNOWN;
        p->last = PROBE_UNKNOWN;
        p->in_a_row = 0;
        p->next_ns = 0;
        p->run_id = 0;
}

void probe_schedule(struct probe *p, int64_t started_ns, int64_t now_ns) {
        int64_t delay_ns;

        if (p->next_ns)
                return;
        delay_ns = number_or(p->spec->has_initialdelayseconds, p->spec->initialdelayseconds, 0) * NSEC_PER_SEC;
        p->next_ns = MAX(started_ns + delay_ns, now_ns);
}

void probe_jitter(struct probe *p, uint64_t random, int64_t now_ns) {
        if (p->next_ns && p->next_ns <= now_ns)
                p->next_ns = now_ns + (int64_t)(random % (uint64_t)probe_period_ns(p->spec));
}

/* The next point of the grid. One that passed while the last run went on is made up for at once, but only one: as Go's
 * ticker, which holds back a single tick. */
static void probe_advance(struct probe *p, int64_t now_ns) {
        int64_t period_ns = probe_period_ns(p->spec), late_ns;

        p->next_ns += period_ns;
        late_ns = now_ns - p->next_ns;
        if (late_ns >= period_ns)
                p->next_ns += late_ns / period_ns * period_ns;
}

bool probe_answered(struct probe *p, enum run_result result, int64_t now_ns) {
        enum probe_value answer = result == RUN_FAILURE ? PROBE_FAILURE : PROBE_SUCCESS;
        int threshold = threshold_of(p, answer);

        p->run_id = 0;
        probe_advance(p, now_ns);
        if (result == RUN_ERROR)
                return false;
        if (p->last != answer) {
                p->last = answer;
                p->in_a_row = 0;
        }
        if (p->in_a_row < threshold)
                p->in_a_row++;
        if (p->in_a_row < threshold || p->value == answer)
                return false;
        p->value = answer;
        return true;
}

bool probe_is_due(const struct probe *p, int64_t now_ns) {
        if (!p->spec || p->run_id || !p->next_ns || now_ns < p->next_ns)
                return false;
        return p->kind == RUN_READINESS_PROBE || p->value != PROBE_FAILURE;
}

const char *probe_kind_word(enum run_kind kind) {
        static const char *const words[_RUN_KIND_MAX] = {
                [RUN_STARTUP_PROBE] = "Startup", [RUN_LIVENESS_PROBE] = "Liveness", [RUN_READINESS_PROBE] = "Readiness",
                [RUN_POST_START] = "PostStart",  [RUN_PRE_STOP] = "PreStop",
        };
        return words[kind];
}
