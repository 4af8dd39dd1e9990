"""Each row of src/api/fields.tsv tells the truth: what is honoured has a test that passes, and fails without the field."""
import os
import re
import subprocess
import sys
import textwrap

import pytest

import fields_table
from conftest import HUSK

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = fields_table.read_table()


def problems_of(rows, collected):
    """What is wrong with the tests that rows name."""
    found = []
    for row in rows:
        if row.state not in ("honoured", "refused"):
            found.append("%s is %s: a field is honoured or refused" % (row.name, row.state))
        elif row.state == "refused" and row.test:
            found.append("%s is refused and has a test" % row.name)
        elif row.state == "honoured" and not row.test:
            found.append("%s is honoured and names no test" % row.name)
        elif row.in_system and row.test not in collected:
            found.append("%s: there is no test %s" % (row.name, row.test))
    return found


def collect(folder):
    r = subprocess.run([sys.executable, "-m", "pytest", "-q", "--collect-only", "--no-drops", "-p", "no:cacheprovider", "-p", "no:xdist", folder],
                       cwd=folder, capture_output=True, text=True, env=dict(os.environ, PYTEST_ADDOPTS=""))
    assert r.returncode == 0, r.stdout + r.stderr
    return {os.path.basename(line.strip()) for line in r.stdout.splitlines() if ".py::" in line}


@pytest.mark.skipif(not ROWS, reason="no table here")
def test_each_honoured_row_names_a_test_that_exists():
    assert not problems_of(ROWS, collect(HERE))


@pytest.mark.parametrize("row", [r for r in ROWS if r.test and not r.in_system], ids=lambda r: r.name)
def test_a_unit_test_shows_its_row(row):
    why = fields_table.run_unit_test(row.test)
    assert why is None, why
    assert fields_table.run_unit_test(row.test, drop=row.name), "%s passes although %s is dropped while decoding" % (row.test, row.name)


# ---- the checks themselves, on tables and tests that are wrong on purpose ----
TESTS = """
    import json, subprocess, fields_table

    POD = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a, image: i, tty: true, stdin: true}]}}"

    def container():
        r = subprocess.run([%r, "apply", "--dry-run=server", "-o", "json", "-f", "-"], input=POD.encode(), stdout=subprocess.PIPE, check=True,
                           env=fields_table.environment())
        return json.loads(r.stdout)["spec"]["containers"][0]

    def test_good():
        assert container()["tty"] and container()["stdin"]

    def test_that_looks_at_something_else():
        assert container()["stdin"]
"""


def run_on(folder, table):
    (folder / "test_try.py").write_text(textwrap.dedent(TESTS) % HUSK)
    (folder / "fields.tsv").write_text(table)
    r = subprocess.run([sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "fields_table", str(folder)],
                       cwd=folder, capture_output=True, text=True,
                       env=dict(os.environ, HUSK_ROOT=str(folder / "root"), HUSK_RUN=str(folder / "run"), PYTHONPATH=HERE, HUSK_TEST_FIELDS=str(folder / "fields.tsv"), PYTEST_ADDOPTS=""))
    return {(m[2], m[1]) for m in re.finditer(r"^(PASSED|FAILED) test_try.py::(.*?)(?: - .*)?$", r.stdout, re.M)}, r.stdout


def test_a_test_that_does_not_notice_its_field_missing_is_caught(tmp_path):
    outcomes, out = run_on(tmp_path, "Container\ttty\thonoured\t\t\ttest_try.py::test_that_looks_at_something_else\n"
                                     "Container\tstdin\thonoured\t\t\ttest_try.py::test_good\n")
    assert outcomes == {("test_good", "PASSED"), ("test_good without Container.stdin", "PASSED"),
                        ("test_that_looks_at_something_else", "PASSED"),
                        ("test_that_looks_at_something_else without Container.tty", "FAILED")}, out
    assert "passes although Container.tty is dropped" in out


def test_a_row_with_a_test_that_is_not_there_is_caught(tmp_path):
    table = tmp_path / "fields.tsv"
    table.write_text("Container\ttty\thonoured\t\t\ttest_try.py::test_gone\nContainer\tstdin\thonoured\t\t\ttest_try.py::test_good\n"
                     "PodSpec\tresourceClaims\trefused\t\tneeds more\ttest_try.py::test_good\n"
                     "Container\tstdinOnce\thonoured\nContainer\targs\tnot-yet\n")
    assert problems_of(fields_table.read_table(str(table)), {"test_try.py::test_good"}) == [
        "Container.tty: there is no test test_try.py::test_gone", "PodSpec.resourceClaims is refused and has a test",
        "Container.stdinOnce is honoured and names no test", "Container.args is not-yet: a field is honoured or refused"]
    assert "has no test" in fields_table.run_unit_test("api/fields:gone") and "there is no" in fields_table.run_unit_test("api/gone:gone")


def test_a_field_without_a_row_is_caught(tmp_path):
    proto = os.path.join(fields_table.TOP, "src/api/core-v1.proto")
    with open(os.path.join(fields_table.TOP, "src/api/fields.tsv")) as f:
        lines = [line for line in f if not line.startswith("Container\ttty\t")]
    (tmp_path / "fields.tsv").write_text("".join(lines))
    r = subprocess.run([sys.executable, os.path.join(fields_table.TOP, "scripts/gen-fields.py"), proto, str(tmp_path / "fields.tsv")],
                       capture_output=True, text=True)
    assert r.returncode != 0 and "Container.tty has no row" in r.stderr
