/* cni-job.h - inside src/net: the jobs (job.h) that CNI plugins do. A job is a few phases, and a phase is a chain: one
 * command for each plugin of a network configuration, in order.
 *
 *   attach   DEL of what the pod had in another sandbox; VERSION if several versions are offered; DEL for pods that are
 *            gone; GC if there were such; STATUS; ADD
 *   detach   DEL
 *   check    CHECK
 *   status   VERSION, STATUS
 *
 * The first error ends an attachment. A DEL halts at a plugin that fails, as the specification has it: what came before
 * in the list may be what the failed one still refers to (a host port's rule an address), and must not be given to
 * somebody else. */
#pragma once

#include "net/cni-record.h"
#include "net/job.h"

/* All of these borrow the store, take what the attachments hold, and leave them empty. `old` may be empty, else it is
 * what the pod has on record. */
struct net_job *cni_job_attach(const struct store *store, const struct node_config *config, struct attachment *own,
                               struct attachment *old);
/* strict: a DEL that fails is an error of the job; else a warning. */
struct net_job *cni_job_detach(const struct store *store, const struct node_config *config, struct attachment *old,
                               bool strict);
struct net_job *cni_job_check(const struct store *store, const struct node_config *config, struct attachment *own);
struct net_job *cni_job_status(const struct store *store, const struct node_config *config, struct attachment *own);
