/* pidfd-exit.h - how a process ended that is not our child. */
#pragma once

#include "base/base.h"

/* Asks the kernel through a pidfd opened while the process lived (PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15).
 * False if the kernel cannot tell, or the process has not been reaped yet. The results are CLD_EXITED or CLD_KILLED,
 * and the status or signal. */
bool pidfd_exit(int pidfd, int32_t *ret_code, int32_t *ret_status);
/* The same for a zombie, from /proc: until it is reaped, which some inits are slow to do. */
bool zombie_exit(pid_t pid, uint64_t start_time, int32_t *ret_code, int32_t *ret_status);
