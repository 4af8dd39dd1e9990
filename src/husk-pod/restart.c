#include "husk-pod/restart.h"

static bool exit_codes_match(const V1ContainerRestartRuleOnExitCodes *on, int exit_code) {
        bool listed = false;

        if (!on || !on->operator_)
                return false;
        for (size_t i = 0; i < on->n_values; i++)
                if (on->values[i] == exit_code)
                        listed = true;
        if (streq(on->operator_, "In"))
                return listed;
        return streq(on->operator_, "NotIn") && !listed;
}

/* The first rule that matches decides (https://kep.k8s.io/5307). */
static const V1ContainerRestartRule *restart_rule(const V1Container *container, int exit_code) {
        for (size_t i = 0; i < container->n_restartpolicyrules; i++)
                if (exit_codes_match(container->restartpolicyrules[i]->exitcodes, exit_code))
                        return container->restartpolicyrules[i];
        return NULL;
}

enum restart_verdict restart_decide(const V1PodSpec *pod, const V1Container *container, enum container_role role,
                                    int exit_code) {
        const V1ContainerRestartRule *rule;
        const char *policy;

        if (role == ROLE_EPHEMERAL)
                return RESTART_NO;
        rule = restart_rule(container, exit_code);
        if (rule && streq_ptr(rule->action, "RestartAllContainers"))
                return RESTART_EVERYTHING;
        if (role == ROLE_SIDECAR)
                return RESTART_YES;
        if (role == ROLE_INIT && exit_code == 0)
                return RESTART_NO;
        if (rule && streq_ptr(rule->action, "Restart"))
                return RESTART_YES;
        policy = container->restartpolicy ?: pod->restartpolicy;
        if (streq_ptr(policy, "Never"))
                return RESTART_NO;
        if (streq_ptr(policy, "OnFailure"))
                return exit_code != 0 ? RESTART_YES : RESTART_NO;
        return RESTART_YES;
}

bool restart_after_probe(const V1PodSpec *pod, const V1Container *container, enum container_role role) {
        return role == ROLE_SIDECAR || !streq_ptr(container->restartpolicy ?: pod->restartpolicy, "Never");
}

static bool has_restart_all_rule(const V1Container *container) {
        for (size_t i = 0; i < container->n_restartpolicyrules; i++)
                if (streq_ptr(container->restartpolicyrules[i]->action, "RestartAllContainers"))
                        return true;
        return false;
}

bool restart_may_restart_everything(const V1PodSpec *pod) {
        for (size_t i = 0; i < pod->n_initcontainers; i++)
                if (has_restart_all_rule(pod->initcontainers[i]))
                        return true;
        for (size_t i = 0; i < pod->n_containers; i++)
                if (has_restart_all_rule(pod->containers[i]))
                        return true;
        return false;
}

int64_t backoff_ready_at(const struct backoff *b, int64_t ended_ns) {
        if (b->delay_ns == 0 || ended_ns - b->updated_ns > BACKOFF_RESET_NS)
                return ended_ns;
        return ended_ns + b->delay_ns;
}

void backoff_advance(struct backoff *b, int64_t ended_ns, int64_t now_ns) {
        if (b->delay_ns == 0 || ended_ns - b->updated_ns > BACKOFF_RESET_NS)
                b->delay_ns = BACKOFF_INITIAL_NS;
        else
                b->delay_ns = MIN(2 * b->delay_ns, BACKOFF_MAX_NS);
        b->updated_ns = now_ns;
}
