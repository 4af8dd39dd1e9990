/* log-journal.h - how far the pump of a log had come: shared memory that outlives the process (log-pump.h says what
 * for). */
#pragma once

#include "husk-pod/log-pump.h"

#define JOURNAL_MAGIC 0x316c6b7368757368ULL
#define JOURNAL_SLOTS 256

#define LINE_MAX_BYTES 16384 /* of one CRI record, as containerd and CRI-O cut them */

enum journal_state {
        JOURNAL_IDLE,      /* what is in the side pipe was not looked at yet */
        JOURNAL_APPENDING, /* …is perhaps in the file, from `offset` on, perhaps in part */
        JOURNAL_APPENDED,  /* …is in the file, and what was no whole line in the next tail */
};

/* A source as a successor must know it. The bytes of a line that has not ended are kept twice in turn, so that there is
 * always one valid copy; the copies lie behind the slots. */
struct journal_slot {
        char name[LOG_SOURCE_NAME_MAX + 1]; /* "": free */
        char path[880];
        uint32_t stream;
        uint32_t which; /* the valid copy of the tail, 0 or 1 */
        uint32_t tail_len[2];
};

struct journal {
        uint64_t magic;
        uint32_t state;
        uint32_t slot;       /* whose data is in the side pipe */
        int64_t offset;      /* APPENDING: the file's size before */
        uint32_t next_which; /* APPENDED: the copy of the tail that becomes valid */
        uint32_t n_slots;    /* only these were ever used: what is behind them is not touched, so it takes no memory */
        struct journal_slot slots[JOURNAL_SLOTS];
        char tails[JOURNAL_SLOTS][2][LINE_MAX_BYTES]; /* only pages that are used exist */
};

/* Maps the journal of *fd, which is made anew if `fresh`. */
struct error *journal_open(bool fresh, int *fd, struct journal **ret) _must_check_;
void journal_move(struct journal *j, enum journal_state state);
/* Writes the copy of the slot's tail that is not valid now; it becomes so when `next_which` is taken over. */
void journal_tail_write(struct journal *j, uint32_t slot, const char *data, size_t len);
/* The slot that a predecessor had for the source of that name, else a free one. */
struct error *journal_slot_take(struct journal *j, const char *name, const char *path, uint32_t stream,
                                uint32_t *ret) _must_check_;
