"""The source tree keeps its promises about itself."""
import os
import re
import subprocess

from conftest import HUSK, TOP


def test_includes_point_down():
    r = subprocess.run([os.path.join(TOP, "scripts/check-layers.py")], capture_output=True, text=True)
    assert r.returncode == 0, r.stdout


def test_make_help_lists_the_targets():
    out = subprocess.run(["make", "--no-print-directory", "help"], cwd=TOP, capture_output=True, text=True).stdout
    for target in ("build", "test", "demo", "bench", "lint", "install"):
        assert any(line.split()[:1] == [target] for line in out.splitlines()), target


def test_an_installed_husk_finds_its_sisters(tmp_path):
    subprocess.run(["make", "--no-print-directory", "install", "DESTDIR=%s" % tmp_path, "PREFIX=/usr/local"], cwd=TOP, check=True, capture_output=True)
    husk = tmp_path / "usr/local/bin/husk"
    for program in ("husk-pod", "husk-keeper", "husk-infra", "husk-image", "husk-probe", "husk-resolver"):
        assert (tmp_path / "usr/local/libexec/husk" / program).exists()
    env = dict(os.environ, HUSK_ROOT=str(tmp_path / "root"), HUSK_RUN=str(tmp_path / "run"))
    r = subprocess.run([husk, "image", "ls"], env=env, capture_output=True, text=True)
    assert r.returncode == 0, r.stderr


def test_man_pages_and_completions_are_installed_and_know_every_verb(tmp_path):
    subprocess.run(["make", "--no-print-directory", "install", "DESTDIR=%s" % tmp_path, "PREFIX=/usr/local"], cwd=TOP, check=True, capture_output=True)
    share = tmp_path / "usr/local/share"
    overview = subprocess.run([HUSK, "help"], capture_output=True, text=True, check=True).stdout
    verbs = re.findall(r"^  ([a-z-]+) +[A-Z]", overview.split("Usage:")[0], re.M)
    page = (share / "man/man1/husk.1").read_text()
    assert len(verbs) > 20
    for verb in verbs:
        assert "\n.SS %s\n" % verb.replace("-", "\\-") in page, verb
    for page in ("man1/husk.1", "man1/husk-image.1", "man8/husk-pod.8", "man8/husk-keeper.8", "man8/husk-resolver.8"):
        assert (share / "man" / page).read_text().count("\n.SH ") >= 5, page
    for script in ("bash-completion/completions/husk", "zsh/site-functions/_husk", "fish/vendor_completions.d/husk.fish"):
        assert "husk __complete" in (share / script).read_text()


def test_the_page_of_fields_is_what_husk_decides_by():
    r = subprocess.run([os.path.join(TOP, "scripts/gen-fields-doc.py"), "--check"], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr


def test_the_pictures_of_the_life_of_a_pod_show_the_moves_of_the_code():
    r = subprocess.run([os.path.join(TOP, "scripts/draw-lifecycle.py"), "--check"], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
