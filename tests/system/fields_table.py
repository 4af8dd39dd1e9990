"""Holds the tests named in src/api/fields.tsv to their rows: each such test also runs with the row's field dropped while decoding
(HUSK_TEST_DROP, see docs/hacking.md), and must then fail. A test that does not notice its field missing shows nothing.

Beside the test `test_x` pytest then lists `test_x without Container.tty` for each row that names it; `--no-drops` leaves these out.
Unit tests that rows name are run by test_fields_table.py. HUSK_TEST_FIELDS is another table, for the test of this file itself."""
import os
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TABLE = os.environ.get("HUSK_TEST_FIELDS", os.path.join(TOP, "src/api/fields.tsv"))
# Seconds that a test waits at most for something that may never come because its field has been dropped. Callers stretch what they wait
# by HUSK_TEST_SLOW; this is not stretched: what does not come is what is looked for.
PATIENCE = 4 / float(os.environ.get("HUSK_TEST_SLOW", "1"))

dropped = None  # the field that decoding leaves out at the moment: "Container.tty"


class Row:
    def __init__(self, line):
        columns = line.rstrip("\n").split("\t") + [""] * 6
        self.message, self.field, self.state, self.harmless, self.reason, self.test = columns[:6]
        self.name = self.message + "." + self.field
        self.in_system = ".py::" in self.test


def read_table(path=None):
    """No rows where there is no table: the tests also run in a machine that has none of the sources."""
    if not os.path.exists(path or TABLE):
        return []
    with open(path or TABLE) as f:
        return [Row(line) for line in f if line.strip() and not line.startswith("#")]


def environment():
    return {"HUSK_TEST_DROP": dropped} if dropped else {}


def patience(seconds):
    """How long to wait for something that comes within `seconds` unless a field is missing."""
    return min(seconds, PATIENCE) if dropped else seconds


# ---- for conftest.py ----
def pytest_addoption(parser):
    parser.addoption("--no-drops", action="store_true", help="do not run the tests of fields without their fields")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if config.getoption("--no-drops"):
        return
    rows = {}
    for row in read_table():
        rows.setdefault(row.test, []).append(row)
    found = []
    for item in items:
        found.append(item)
        for row in rows.get(os.path.basename(item.nodeid), []):
            extra = pytest.Function.from_parent(item.parent, name="%s without %s" % (item.name, row.name), callobj=item.obj,
                                                callspec=getattr(item, "callspec", None), fixtureinfo=item._fixtureinfo,
                                                originalname=item.originalname)
            extra.without = row.name
            found.append(extra)
    items[:] = found


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """What is wanted of a test without its field is that it fails; a failure of its fixtures is one as ever."""
    global dropped
    field = getattr(pyfuncitem, "without", None)
    if not field:
        return None
    dropped = field
    try:
        pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames})
    except (Exception, pytest.fail.Exception) as e:
        pyfuncitem.user_properties.append(("noticed", (str(e).strip() or type(e).__name__).splitlines()[0][:200]))
        return True
    finally:
        dropped = None
    pytest.fail("passes although %s is dropped while decoding: it does not show that the field is honoured" % field, pytrace=False)


# ---- unit tests ----
def run_unit_test(test, drop=None):
    """None if "api/validate:name" passes, else why not."""
    program, _, name = test.partition(":")
    path = os.path.join(TOP, "build/tests/unit", os.path.dirname(program), "test-" + program.replace("/", "-"))
    if not os.path.exists(path):
        return "there is no " + path
    env = dict(os.environ, HUSK_TEST_ONLY=name, HUSK_TEST_DROP=drop or "", HUSK_KEEPER=os.path.join(TOP, "build/husk-keeper"))
    p = subprocess.run([path], env=env, capture_output=True, text=True, errors="replace", timeout=120)
    if p.returncode == 77:
        return "%s has no test %s" % (program, name)
    return None if p.returncode == 0 else "%s ended with %d\n%s%s" % (test, p.returncode, p.stdout, p.stderr)
