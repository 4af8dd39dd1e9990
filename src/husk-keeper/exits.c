#include "husk-keeper/keeper-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define EXITS_TRUNCATE_SIZE (64 * 1024) /* an exits file this large is emptied once all of it was seen */

void exits_open(void) {
        struct keeper_exit e;
        off_t size = 0;

        k.exits_fd = open_file("exits", O_RDWR | O_CREAT);
        k.exits_first = 1;
        while (pread(k.exits_fd, &e, sizeof(e), size) == sizeof(e) && e.check == keeper_exit_check(&e) &&
               (size == 0 || e.sequence == k.exits_last + 1)) {
                if (size == 0)
                        k.exits_first = e.sequence;
                k.exits_last = e.sequence;
                size += sizeof(e);
        }
        k.exits_seen = k.exits_first - 1;
        if (size == 0)
                k.exits_last = k.exits_seen;
        if (ftruncate(k.exits_fd, size) < 0) /* a record that was being written when the last keeper was killed */
                fail("truncate exits", "");
}

off_t exits_offset(uint64_t sequence) {
        return (off_t)((sequence - k.exits_first) * sizeof(struct keeper_exit));
}

bool exits_append(const siginfo_t *info, uint64_t start_time) {
        struct keeper_exit e = {
                .sequence = k.exits_last + 1,
                .time_ns = realtime_ns(),
                .start_time = start_time,
                .pid = info->si_pid,
                .code = info->si_code,
                .status = info->si_status,
        };

        e.check = keeper_exit_check(&e);
        if (pwrite(k.exits_fd, &e, sizeof(e), exits_offset(e.sequence)) != sizeof(e)) {
                say("write down an exit", "", errno);
                return false;
        }
        k.exits_last = e.sequence;
        return true;
}

void exits_seen(uint64_t sequence) {
        if (sequence > k.exits_last || sequence <= k.exits_seen)
                return;
        k.exits_seen = sequence;
        if (k.exits_seen != k.exits_last || exits_offset(k.exits_last + 1) < EXITS_TRUNCATE_SIZE)
                return;
        /* Sequence numbers go on across the truncation; only a keeper that adopts an empty file begins at 1 again, and
         * husk-pod compares them with nothing older than its own start. */
        if (ftruncate(k.exits_fd, 0) == 0)
                k.exits_first = k.exits_last + 1;
}

/* Field 22 of /proc/PID/stat. The program's name before it may hold anything, so fields are counted from the last ')'.
 */
uint64_t start_time_of(pid_t pid) {
        char path[32], stat[512];
        char *end = text_put(path, path + sizeof(path), "/proc/");
        end = text_put_number(end, path + sizeof(path), pid);
        text_put(end, path + sizeof(path), "/stat");

        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 0;
        ssize_t n = read(fd, stat, sizeof(stat) - 1);
        close(fd);
        if (n <= 0)
                return 0;
        stat[n] = '\0';

        const char *p = strrchr(stat, ')');
        uint64_t ticks = 0;
        for (int field = 2; p && *p && field < 22; p++)
                if (*p == ' ')
                        field++;
        for (; p && *p >= '0' && *p <= '9'; p++)
                ticks = ticks * 10 + (uint64_t)(*p - '0');
        return ticks;
}
