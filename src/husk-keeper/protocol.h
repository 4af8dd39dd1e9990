/* protocol.h - what husk-keeper and husk-pod say to each other, and the file in which exits are kept.
 *
 * husk-keeper is the parent of everything in a pod and does almost nothing: it reaps, keeps descriptors, and starts
 * husk-pod anew when that dies. husk-pod finds the keeper's SOCK_SEQPACKET socket as descriptor 3. Each packet is one
 * struct keeper_message, native byte order. A keeper may be older than the husk-pod it starts, when that was replaced
 * on the disk and has died before the keeper was renewed: so what is here does not change, and news get types of their
 * own, which the other side passes over.
 *
 *   husk-pod -> keeper   STORE name + descriptor   keep this for my successor; replaces one of the same name
 *                        DROP name                 forget it; a name that ends in '*' drops all with that beginning
 *                        SEEN sequence             everything up to this exit is in my saved state
 *   keeper -> husk-pod   DESCRIPTOR name + fd      one for each stored, only at the beginning
 *                        START start               the descriptors are complete; start.pending exits up to number
 *                                                  start.last follow at once; `started` says how often this keeper
 *                                                  started a husk-pod before
 *                        EXIT exit                 a process ended; each exit in order, until it was SEEN
 *
 * The keeper itself stores one descriptor: "host-mounts", the mount namespace it was started in.
 *
 * Nothing is answered: a packet that was sent arrives, even if the sender is killed at once after. An exit that
 * husk-pod had not acknowledged when it died is told to its successor again, so an exit may be told twice, never not at
 * all.
 *
 * The file <run>/pods/<uid>/exits holds struct keeper_exit records one after the other, each written before the process
 * was reaped. It lets a new keeper go on where a killed one stopped. It is emptied when everything in it was SEEN and
 * it has become large. */
#pragma once

#include <stdint.h>

#define KEEPER_SOCKET 3
#define KEEPER_NAME_SIZE 128

struct keeper_exit {
        uint64_t sequence;   /* 1, 2, 3, … over the pod's life */
        int64_t time_ns;     /* CLOCK_REALTIME when it was noticed */
        uint64_t start_time; /* clock ticks since boot, as process_start_time(); with pid it names the process */
        int32_t pid;
        int32_t code;   /* CLD_EXITED, CLD_KILLED or CLD_DUMPED, as in siginfo_t.si_code */
        int32_t status; /* exit status or signal number */
        uint32_t check; /* keeper_exit_check(): a record of which only a part was written is told by it */
};

enum keeper_message_type {
        KEEPER_STORE = 1,
        KEEPER_DROP,
        KEEPER_SEEN,
        KEEPER_DESCRIPTOR,
        KEEPER_START,
        KEEPER_EXIT,
};

struct keeper_message {
        uint32_t type;
        uint32_t started; /* START: how many husk-pods this keeper has started before this one */
        uint64_t mounts;  /* from the keeper: a number for the mount namespace, the same as long as that is the same */
        union {
                char name[KEEPER_NAME_SIZE]; /* NUL-terminated */
                uint64_t sequence;
                struct {
                        uint64_t last, pending;
                } start;
                struct keeper_exit exit;
        };
};

_Static_assert(sizeof(struct keeper_exit) == 40 && sizeof(struct keeper_message) == 144,
               "an older keeper's is another");

static inline uint32_t keeper_exit_check(const struct keeper_exit *e) {
        return (uint32_t)(e->sequence * 2654435761u) ^ (uint32_t)e->time_ns ^ (uint32_t)e->start_time ^
               (uint32_t)e->pid ^ ((uint32_t)e->code << 16) ^ (uint32_t)e->status ^ 0x6b736875u;
}
