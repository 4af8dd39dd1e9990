/* plugin-run.h - carries out a job of CNI plugins (net/job.h) on the loop, so that a plugin which takes its time holds
 * nothing else up. */
#pragma once

#include "loop/loop.h"
#include "net/job.h"

struct plugin_run;
/* How the job ended; the error is the callee's. The run has been freed by then, so its owner forgets it there. */
typedef void (*plugin_run_callback)(void *arg, struct error *err);
/* Takes the job. The callback never comes from within. */
struct plugin_run *plugin_run_new(struct loop *loop, struct net_job *job, plugin_run_callback callback, void *arg);
/* It is no longer wanted: the plugin that runs is killed, with whatever it started; when it is gone the callback comes.
 */
void plugin_run_abandon(struct plugin_run *run);
/* Kills, and nothing is told. */
struct plugin_run *plugin_run_free(struct plugin_run *run);
