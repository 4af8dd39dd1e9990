/* archives.h - a folder of image archives that the node takes in: at the start of huskd, and when one appears.
 *
 * What `husk image load` reads from a file is read here: OCI and docker archives, plain or compressed by gzip or zstd.
 * Their images are pinned, since a machine without a network could not get them again. One husk-image at a time does
 * it, beside huskd's loop. What was taken in is remembered in <root>/archives.json by the file's size and time of
 * change (ctime, which also tells a file that was put in another's place), and not read again as long as all its images
 * are there. A file that is no whole archive is told in the log, once for each start of huskd. */
#pragma once

#include "loop/loop.h"
#include "store/store.h"

struct archives;
/* `changed` is called when the number of those that wait may have changed. */
struct archives *archives_new(struct loop *loop, struct store *store, const char *folder, loop_callback changed,
                              void *arg);
struct archives *archives_free(struct archives *archives); /* ends the husk-image at work: the next huskd goes on */
void archives_look(struct archives *archives);
size_t archives_waiting(const struct archives *archives); /* or being taken in */
/* The process is ours to wait for: nobody else must. */
bool archives_own(const struct archives *archives, pid_t pid);
