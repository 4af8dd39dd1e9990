#!/usr/bin/env python3
"""Writes the numbers of the system calls of x86-64 and i386 as a C table, from the compiler's own kernel headers:

    scripts/gen-syscalls.py OUTPUT CC [ARG…]

Calls that are newer than those headers have the same number on both (all new ones do since Linux 5.1): they are below."""
import re
import subprocess
import sys

NEWER = {"cachestat": 451, "fchmodat2": 452, "map_shadow_stack": 453, "futex_wake": 454, "futex_wait": 455,
         "futex_requeue": 456, "statmount": 457, "listmount": 458, "lsm_get_self_attr": 459, "lsm_set_self_attr": 460,
         "lsm_list_modules": 461, "mseal": 462, "setxattrat": 463, "getxattrat": 464, "listxattrat": 465,
         "removexattrat": 466, "open_tree_attr": 467, "file_getattr": 468, "file_setattr": 469}


def numbers(cc, header):
    run = subprocess.run(cc + ["-E", "-dM", "-include", header, "-x", "c", "/dev/null"], stdout=subprocess.PIPE, text=True)
    if run.returncode:
        return {}
    return dict(NEWER, **{m[1]: int(m[2]) for m in re.finditer(r"^#define __NR_(\w+) (\d+)$", run.stdout, re.M)})


native, compat = numbers(sys.argv[2:], "asm/unistd_64.h"), numbers(sys.argv[2:], "asm/unistd_32.h")
with open(sys.argv[1], "w") as out:
    for name in sorted(set(native) | set(compat), key=lambda n: n.encode()):
        out.write('{ "%s", { %d, %d } },\n' % (name, native.get(name, -1), compat.get(name, -1)))
