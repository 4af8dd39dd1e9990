#include "husk-pod/log-journal.h"

#include <sys/mman.h>

#include "base/str.h"

struct error *journal_open(bool fresh, int *fd, struct journal **ret) {
        if (fresh) {
                *fd = memfd_create("husk-log-journal", MFD_CLOEXEC);
                if (*fd < 0 || ftruncate(*fd, sizeof(struct journal)) < 0)
                        return error_errno(errno, "make the log journal");
        }
        void *map = mmap(NULL, sizeof(struct journal), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
        if (map == MAP_FAILED)
                return error_errno(errno, "map the log journal");
        *ret = map;
        return NULL;
}

void journal_move(struct journal *j, enum journal_state state) {
        __atomic_store_n(&j->state, state, __ATOMIC_RELEASE);
}

void journal_tail_write(struct journal *j, uint32_t slot, const char *data, size_t len) {
        struct journal_slot *s = &j->slots[slot];
        uint32_t next = s->which ^ 1;

        memcpy(j->tails[slot][next], data, len);
        s->tail_len[next] = len;
        j->next_which = next;
}

struct error *journal_slot_take(struct journal *j, const char *name, const char *path, uint32_t stream, uint32_t *ret) {
        struct journal_slot *slot;
        int found = -1;

        if (strlen(name) > LOG_SOURCE_NAME_MAX || !*name || strlen(path) >= sizeof(slot->path))
                return error_new(ERROR_INVALID, "log path or name too long: %s", path);
        for (int i = MIN(j->n_slots, (uint32_t)JOURNAL_SLOTS); i-- > 0;) {
                if (streq(j->slots[i].name, name)) {
                        *ret = i;
                        return NULL;
                }
                if (!j->slots[i].name[0])
                        found = i;
        }
        if (found < 0 && j->n_slots < JOURNAL_SLOTS)
                found = (int)j->n_slots++;
        if (found < 0)
                return error_new(ERROR_EXHAUSTED, "more than %d log streams in one pod", JOURNAL_SLOTS);
        *ret = found;
        slot = &j->slots[found];
        strcpy(slot->path, path);
        slot->stream = stream;
        slot->tail_len[0] = slot->tail_len[1] = 0;
        strcpy(slot->name, name); /* last: now it is taken */
        return NULL;
}
