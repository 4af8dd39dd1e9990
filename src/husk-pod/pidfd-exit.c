#include "husk-pod/pidfd-exit.h"

#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/process.h"
#include "base/str.h"

/* From the kernel's include/uapi/linux/pidfd.h; Debian 12's headers are older. */
struct kernel_pidfd_info {
        uint64_t mask;
        uint64_t cgroupid;
        uint32_t pid, tgid, ppid;
        uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
        int32_t exit_code; /* as wait(2) has it */
};
#define KERNEL_PIDFD_INFO_EXIT (1ULL << 3)
#define KERNEL_PIDFD_GET_INFO _IOWR(0xFF, 11, struct kernel_pidfd_info)

_Static_assert(sizeof(struct kernel_pidfd_info) == 64, "the first published size of struct pidfd_info");

static void translate(int wait_status, int32_t *ret_code, int32_t *ret_status) {
        if (WIFSIGNALED(wait_status)) {
                *ret_code = CLD_KILLED;
                *ret_status = WTERMSIG(wait_status);
        } else {
                *ret_code = CLD_EXITED;
                *ret_status = WEXITSTATUS(wait_status);
        }
}

bool pidfd_exit(int pidfd, int32_t *ret_code, int32_t *ret_status) {
        struct kernel_pidfd_info info = { .mask = KERNEL_PIDFD_INFO_EXIT };

        if (ioctl(pidfd, KERNEL_PIDFD_GET_INFO, &info) < 0 || !(info.mask & KERNEL_PIDFD_INFO_EXIT))
                return false;
        translate(info.exit_code, ret_code, ret_status);
        return true;
}

bool zombie_exit(pid_t pid, uint64_t start_time, int32_t *ret_code, int32_t *ret_status) {
        _cleanup_free_ char *stat = NULL;
        char path[64];
        int64_t status;

        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        _cleanup_error_ struct error *err = file_read(path, 4096, &stat, NULL);
        /* The name before the state may hold anything; the exit status is the last field (52). */
        char *state = err ? NULL : strrchr(stat, ')');
        if (!state || !str_starts_with(state, ") Z") || process_start_time(pid) != start_time)
                return false;
        state[strcspn(state, "\n")] = '\0';
        if (!str_to_i64(strrchr(state, ' ') + 1, &status))
                return false;
        translate((int)status, ret_code, ret_status);
        return true;
}
