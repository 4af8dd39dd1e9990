#include "husk-pod/pidfd-exit.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

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

bool pidfd_exit(int pidfd, int32_t *ret_code, int32_t *ret_status) {
        struct kernel_pidfd_info info = { .mask = KERNEL_PIDFD_INFO_EXIT };

        if (ioctl(pidfd, KERNEL_PIDFD_GET_INFO, &info) < 0 || !(info.mask & KERNEL_PIDFD_INFO_EXIT))
                return false;
        if (WIFSIGNALED(info.exit_code)) {
                *ret_code = CLD_KILLED;
                *ret_status = WTERMSIG(info.exit_code);
        } else {
                *ret_code = CLD_EXITED;
                *ret_status = WEXITSTATUS(info.exit_code);
        }
        return true;
}
