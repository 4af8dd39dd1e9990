#!/usr/bin/env python3
"""Runs every test of husk and ends with the line `N passed, N failed, N skipped`; exit status 1 if any failed.

    unit     tests/unit with gcc
    sanitize the same with clang under AddressSanitizer and UndefinedBehaviorSanitizer
    system   tests/system with pytest, on the real kernel, runtime, network and registry (needs root)
    v2       some of tests/system in a virtual machine that has nothing but cgroup v2, on Debian 12's kernel
    fuzz     each target of tests/fuzz on its kept corpus and beyond it, two at a time: some seconds each, and with CI=true
             five minutes of processor time for YAML, JSON, quantities, jsonpath, label selectors and patches
"""
import argparse
import concurrent.futures
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.reasons = []

    def add(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped


def sh(*command, env=None, timeout=None):
    print("$ " + " ".join(command), flush=True)
    return subprocess.run(command, cwd=TOP, env=dict(os.environ, **(env or {})), timeout=timeout).returncode


def setup(build, *flags, env=None):
    if not os.path.exists(os.path.join(TOP, build, "build.ninja")):
        if sh("meson", "setup", build, *flags, env=env):
            sys.exit("cannot configure " + build)
    if sh("ninja", "-C", build, "--quiet"):
        sys.exit("cannot build " + build)


def meson_tests(build, totals, env=None):
    """Each cmocka test counts by itself where its output tells, else its program counts as one."""
    sh("meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs", "--timeout-multiplier", "4", env=env)
    with open(os.path.join(TOP, build, "meson-logs/testlog.json")) as log:
        for line in log:
            t = json.loads(line)
            if t["result"] in ("FAIL", "TIMEOUT") and not sh("meson", "test", "-C", build, "--no-rebuild", "--timeout-multiplier", "8",
                                                             "--logbase", "again", t["name"].split(" / ")[-1], env=env):
                # Bounded waits against a busy machine: a second, lonely run decides, and is told.
                totals.reasons.append("%s failed at first and passed alone" % t["name"])
                t["result"] = "OK"
            text = t.get("stdout", "") + t.get("stderr", "")
            passed = len(re.findall(r"\[       OK \]", text))
            failed = len(re.findall(r"\[  FAILED  \] (?!\d+ test)", text)) // 2
            skipped = len(re.findall(r"\[  SKIPPED \] (?!\d+ test)", text)) // 2
            if t["result"] == "SKIP":
                totals.add(0, 0, 1)
                totals.reasons.append("%s: %s" % (t["name"], text.strip().splitlines()[-1] if text.strip() else "no reason given"))
            elif t["result"] == "OK":
                totals.add(max(passed, 1), 0, skipped)
            else:
                totals.add(passed, max(failed, 1), skipped)


def unit(totals, a):
    setup("build")
    meson_tests("build", totals)


def sanitize(totals, a):
    setup("build-asan", "-Db_sanitize=address,undefined", "-Db_lundef=false", "--buildtype=debug", env={"CC": "clang"})
    meson_tests("build-asan", totals, {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})


def system(totals, a):
    if os.geteuid() != 0:
        sys.exit("the system tests need root: they make namespaces, mounts and cgroups")
    setup("build")
    report = os.path.join(TOP, "build", "system.xml")
    if os.path.exists(report):
        os.unlink(report)
    python = sys.executable if pytest_here(sys.executable) else "/usr/bin/python3"
    env = {"HUSK_TEST_SLOW": os.environ.get("HUSK_TEST_SLOW", "3")}
    code = sh(python, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-n", str(a.jobs), "--dist", "loadgroup", "--junit-xml", report,
              "tests/system", env=env)
    if code not in (0, 1) or not os.path.exists(report):
        totals.add(0, 1, 0)
        totals.reasons.append("pytest ended with %d" % code)
        return
    for case in xml.parse(report).getroot().iter("testcase"):
        if case.find("failure") is None and case.find("error") is None:
            skipped = case.find("skipped") is not None
            totals.add(not skipped, 0, skipped)
            continue
        # A test without one of its fields (tests/system/fields_table.py) comes with the test.
        name = "%s.py::%s" % (case.get("classname").replace(".", "/"), case.get("name").split(" without ")[0])
        again = sh(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", name, env=env)
        totals.add(again == 0, again != 0, 0)
        totals.reasons.append("%s failed at first and %s alone" % (name, "failed again" if again else "passed"))
    for skip in xml.parse(report).getroot().iter("testcase"):
        for s in skip.iter("skipped"):
            totals.reasons.append("%s: %s" % (skip.get("name"), s.get("message")))


def skip(totals, reason):
    totals.add(0, 0, 1)
    totals.reasons.append(reason)


def v2(totals, a):
    """The machine's processor is emulated: minutes. Cgroups and the older kernel are what differs there."""
    if not shutil.which("qemu-system-x86_64") or platform.machine() != "x86_64":
        skip(totals, "v2: no qemu-system-x86_64 here")
        return
    setup("build")
    command = [os.path.join(TOP, "scripts/test-v2"), "--timeout", str(a.v2_timeout)]
    print("$ " + " ".join(command), flush=True)
    r = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, text=True, errors="replace")
    if r.returncode == 77:
        skip(totals, "v2: " + r.stdout.strip())
        return
    counts = re.findall(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", r.stdout, re.M)
    passed, failed, skipped = map(int, counts[-1]) if counts else (0, 1, 0)
    totals.add(passed, max(failed, r.returncode != 0), skipped)
    if r.returncode:
        print(r.stdout)
    totals.reasons += ["v2: " + line for line in re.findall(r"^SKIPPED .*", r.stdout, re.M)]


def pytest_here(python):
    return subprocess.run([python, "-c", "import pytest, xdist, yaml"], capture_output=True).returncode == 0


# What people write and what comes over the wire: these get the long time.
FUZZ_LONG = {"yaml", "decode", "quantity", "jsonpath", "selector", "json-patch", "strategic-patch"}


def fuzz_one(program, name, seconds):
    """Runs one target until it has had this much processor time; (exit status, output, executions, processor seconds, inputs)."""
    corpus = os.path.join(TOP, "tests/fuzz/corpus", name)
    fresh = os.path.join(TOP, "build-fuzz", "corpus-fuzz-" + name)
    os.makedirs(fresh, exist_ok=True)
    folders = [fresh] + ([corpus] if os.path.isdir(corpus) else [])
    executions, used, rounds, code, text = 0, 0.0, 0, 0, ""
    # On a busy machine a second of the clock is less than one of the processor; a round more or two make up for it.
    while code == 0 and rounds < 3 and used < seconds * 0.95:
        p = subprocess.Popen([program, "-max_total_time=%d" % max(1, round(seconds - used)), "-timeout=10", "-rss_limit_mb=2048", "-verbosity=0",
                              "-print_final_stats=1", "-artifact_prefix=" + os.path.join(TOP, "build-fuzz/"), *folders],
                             cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = p.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = code = os.waitstatus_to_exitcode(status)
        used += usage.ru_utime + usage.ru_stime
        executions += sum(map(int, re.findall(r"number_of_executed_units:\s*(\d+)", text)))
        rounds += 1
    return code, text, executions, used, sum(len(os.listdir(f)) for f in folders)


def fuzz(totals, a):
    setup("build-fuzz", "-Dfuzz=true", "-Dtests=false", "-Db_lundef=false", "-Db_sanitize=address,undefined", "--buildtype=debugoptimized",
          env={"CC": "clang"})
    folder = os.path.join(TOP, "build-fuzz", "tests/fuzz")
    targets = [name[len("fuzz-"):] for name in sorted(os.listdir(folder))
               if name.startswith("fuzz-") and os.path.isfile(os.path.join(folder, name)) and os.access(os.path.join(folder, name), os.X_OK)]
    targets.sort(key=lambda name: name not in FUZZ_LONG)

    def run(name):
        return fuzz_one(os.path.join(folder, "fuzz-" + name), name, a.fuzz_long if name in FUZZ_LONG else a.fuzz_seconds)

    with concurrent.futures.ThreadPoolExecutor(max(1, min(2, os.cpu_count() or 1))) as pool:
        results = list(pool.map(run, targets))
    for name, (code, text, executions, used, inputs) in zip(targets, results):
        if code:
            print(text)
        print("fuzz %s: %s, %d executions in %d s of processor time, %d inputs" % (name, "failed" if code else "passed", executions, used, inputs))
        totals.add(code == 0, code != 0, 0)
    print("fuzz: %d executions in %d s of processor time" % (sum(r[2] for r in results), sum(r[3] for r in results)), flush=True)


def main():
    parts = {"unit": unit, "sanitize": sanitize, "fuzz": fuzz, "system": system, "v2": v2}
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--only", choices=sorted(parts), action="append")
    a.add_argument("--fuzz-seconds", type=int, help="of processor time for each target (default: 10; with CI=true 300 for what people write)")
    a.add_argument("--v2-timeout", type=int, default=900, help="seconds for the virtual machine as a whole")
    a.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="system tests at a time")
    a = a.parse_args()
    a.fuzz_long = a.fuzz_seconds or (300 if os.environ.get("CI") == "true" else 10)
    a.fuzz_seconds = a.fuzz_seconds or 10
    totals = Totals()
    for name, run in parts.items():
        if not a.only or name in a.only:
            before = totals.passed, totals.failed, totals.skipped
            run(totals, a)
            print("%s: %d passed, %d failed, %d skipped" % ((name,) + tuple(
                n - b for n, b in zip((totals.passed, totals.failed, totals.skipped), before))), flush=True)
    for reason in totals.reasons:
        print("note: " + reason)
    print("%d passed, %d failed, %d skipped" % (totals.passed, totals.failed, totals.skipped))
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
