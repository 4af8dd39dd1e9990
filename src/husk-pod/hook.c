#include "husk-pod/hook.h"

#include <signal.h>

#include "api/signal-name.h"
#include "husk-pod/container.h"

bool hook_begin(struct hook *h, const V1LifecycleHandler *spec, uint64_t id, int64_t now_ns) {
        h->run_id = 0;
        h->wake_up_ns = 0;
        if (spec->exec || spec->httpget) {
                h->state = HOOK_RUNNING;
                h->run_id = id;
                return true;
        }
        if (spec->sleep) {
                h->state = HOOK_RUNNING;
                h->wake_up_ns = now_ns + seconds_to_ns(spec->sleep->seconds);
                hook_step(h, now_ns);
                return false;
        }
        h->state = HOOK_FAILED;
        return false;
}

void hook_answered(struct hook *h, enum run_result result) {
        h->run_id = 0;
        h->state = result == RUN_SUCCESS || result == RUN_WARNING ? HOOK_SUCCEEDED : HOOK_FAILED;
}

void hook_step(struct hook *h, int64_t now_ns) {
        if (h->state == HOOK_RUNNING && !h->run_id && now_ns >= h->wake_up_ns)
                h->state = HOOK_SUCCEEDED;
}

int hook_stop_signal(const V1Lifecycle *lifecycle, const char *image_signal) {
        int signal = lifecycle ? signal_from_name(lifecycle->stopsignal) : 0;

        return signal ?: signal_from_name(image_signal) ?: SIGTERM;
}
