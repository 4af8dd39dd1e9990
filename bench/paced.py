#!/usr/bin/env python3
"""paced.py MOUNTS N SECONDS PACE COMMAND... - processor time of COMMAND, in seconds, the mean of N * SECONDS runs.

With PACE 1 N runs begin in each second, some milliseconds apart, as the probes of a pod of N containers do: caches are as cold
then as they are for a probe. With PACE 0 one follows the other. MOUNTS is the descriptor of the mount namespace to run it in."""
import ctypes
import os
import resource
import sys
import time

APART = 0.01


def used():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


def main():
    mounts, n, seconds, pace, command = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]
    if ctypes.CDLL(None, use_errno=True).setns(mounts, 0) < 0:
        sys.exit("setns: " + os.strerror(ctypes.get_errno()))
    null = os.open("/dev/null", os.O_RDWR)
    streams = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in range(3)]
    before, due = used(), time.monotonic()
    for _ in range(seconds):
        begun = []
        for _ in range(n):
            begun.append(os.posix_spawnp(command[0], command, os.environ, file_actions=streams))
            if pace:
                time.sleep(APART)
            else:
                os.waitpid(begun.pop(), 0)
        for pid in begun:
            os.waitpid(pid, 0)
        due += 1
        if pace:
            time.sleep(max(0, due - time.monotonic()))
    print((used() - before) / (n * seconds))


main()
