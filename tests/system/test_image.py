"""Images from archives and registries: Debian's docker-registry on loopback (plain, and with TLS and passwords), and a
registry of our own that breaks, lies and counts."""
import base64
import contextlib
import fcntl
import gzip
import hashlib
import http.server
import io
import json
import os
import pty
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import tarfile
import tempfile
import threading
import time

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("HUSK_IMAGE", os.path.join(TOP, "build", "husk-image"))
SLOW = float(os.environ.get("HUSK_TEST_SLOW", "1"))

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking images needs root")


# --- a store and the program on it -------------------------------------------------------------------------------------

class Store:
    def __init__(self, folder):
        self.folder = str(folder)
        self.root, self.run = self.folder + "/root", self.folder + "/run"
        self.images = self.root + "/images"
        self.env = dict(os.environ, HUSK_ROOT=self.root, HUSK_RUN=self.run, HOME=self.folder)
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG"):
            self.env.pop(name, None)
        self.env["CONTAINERS_REGISTRIES_CONF"] = self.folder + "/registries.conf"  # not the machine's

    def configure(self, text):
        with open(self.env["CONTAINERS_REGISTRIES_CONF"], "w") as f:
            f.write(text)

    def start(self, *args, **kw):
        return subprocess.Popen([PROGRAM, *args], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)

    def __call__(self, *args, code=0, stdin=None):
        p = subprocess.run([PROGRAM, *args], env=self.env, capture_output=True, timeout=120 * SLOW,
                           **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))
        out, err = p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")
        assert p.returncode == code, "exit %d, wanted %d\n%s\n%s" % (p.returncode, code, out, err)
        if code:
            assert err.strip() and len(err.strip().splitlines()) <= 2, err
        return out if not code else err

    def json(self, *args, **kw):
        return json.loads(self(*args, "-o", "json", **kw))

    def layer(self, diff_id):
        return "%s/layers/sha256/%s/fs" % (self.images, diff_id.split(":")[1])

    def under_way(self):
        return os.listdir(self.images + "/ingest")

    def layers(self):
        return set(os.listdir(self.images + "/layers/sha256"))


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    configure_node(store, "imageGCHighThresholdPercent: 100\n")  # the disk of whoever runs the tests may be as full as it likes
    return store


# --- images made by hand -----------------------------------------------------------------------------------------------

def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(*entries):
    """Entries are (name, content) or TarInfo or (TarInfo, content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for entry in entries:
            info, content = entry if isinstance(entry, tuple) else (entry, None)
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
            if content is not None:
                content = content if isinstance(content, bytes) else content.encode()
                info.size = len(content)
            t.addfile(info, io.BytesIO(content) if content is not None else None)
    return out.getvalue()


def entry(name, type=tarfile.REGTYPE, **kw):
    info = tarfile.TarInfo(name)
    info.type = type
    for key, value in kw.items():
        setattr(info, key, value)
    return info


def compress(data, how):
    if how == "gzip":
        return gzip.compress(data, 1)
    if how == "zstd":
        return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


class Image:
    """A manifest, a configuration and layers; blobs by digest."""

    def __init__(self, layers, how="gzip", config=None, platform=("linux", "amd64"), **manifest):
        self.blobs, self.layers = {}, [tar(("f%d" % i, os.urandom(8).hex())) if l is None else l for i, l in enumerate(layers)]
        hows = how if isinstance(how, list) else [how] * len(layers)
        self.diff_ids = [digest(l) for l in self.layers]
        descriptors = []
        for l, h in zip(self.layers, hows):
            kind = {"gzip": "+gzip", "zstd": "+zstd", "plain": ""}[h]
            descriptors.append(self.blob(compress(l, h), "application/vnd.oci.image.layer.v1.tar" + kind))
        self.layer_digests = [d["digest"] for d in descriptors]
        text = json.dumps({"os": platform[0], "architecture": platform[1], "config": config or {"Cmd": ["/x"]},
                           "rootfs": {"type": "layers", "diff_ids": self.diff_ids}}).encode()
        self.config = self.blob(text, "application/vnd.oci.image.config.v1+json")
        self.id = self.config["digest"]
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": self.config, "layers": descriptors,
                                    **manifest}).encode()
        self.digest = digest(self.manifest)
        self.platform = {"os": platform[0], "architecture": platform[1]}

    def blob(self, data, media_type):
        self.blobs[digest(data)] = data
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    def descriptor(self, name=None, **annotations):
        if name:
            annotations["org.opencontainers.image.ref.name"] = name
        return {"mediaType": OCI_MANIFEST, "digest": self.digest, "size": len(self.manifest), "platform": self.platform,
                **({"annotations": annotations} if annotations else {})}

    def files(self):
        return {"blobs/sha256/" + d[7:]: b for d, b in {**self.blobs, self.digest: self.manifest}.items()}


def archive(*named, extra=()):
    files = {}
    for name, image in named:
        files.update(image.files())
    index = {"schemaVersion": 2, "manifests": [image.descriptor(name) for name, image in named]}
    return tar(("oci-layout", '{"imageLayoutVersion":"1.0.0"}'), *files.items(), ("index.json", json.dumps(index)), *extra)


# --- a registry of our own ---------------------------------------------------------------------------------------------

class Registry:
    """Serves images; `hook(handler, kind, what)` may answer a request itself and returns True then."""

    def __init__(self):
        self.manifests, self.blobs, self.requests, self.hook = {}, {}, [], None
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self, status, body=b"", **headers):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                for key, value in headers.items():
                    self.send_header(key.replace("_", "-"), value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def do_GET(self):
                m = re.match(r"/v2/(.+)/(manifests|blobs)/([^/?]+)", self.path)
                kind, what = (m.group(2), m.group(3)) if m else ("other", self.path)
                registry.requests.append((kind, what, dict(self.headers)))
                if registry.hook and registry.hook(self, kind, what):
                    return
                if kind == "manifests" and (m.group(1), what) in registry.manifests:
                    body, media_type = registry.manifests[m.group(1), what]
                    self.answer(200, body, Content_Type=media_type, Docker_Content_Digest=digest(body))
                elif kind == "blobs" and what in registry.blobs:
                    registry.send_blob(self, registry.blobs[what])
                else:
                    self.answer(404, b'{"errors":[{"code":"NOT","message":"not here"}]}')

            do_POST = do_GET

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *args):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.host = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def send_blob(self, handler, body, chunk=65536, delay=0, stop_after=None, ranges=True):
        start = 0
        m = re.match(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if m and ranges:
            start = int(m.group(1))
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body) - start))
        if start:
            handler.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(body) - 1, len(body)))
        handler.end_headers()
        end = len(body) if stop_after is None else min(len(body), start + stop_after)
        with contextlib.suppress(OSError):
            for i in range(start, end, chunk):
                handler.wfile.write(body[i:min(i + chunk, end)])
                if delay:
                    time.sleep(delay)
        if end < len(body):
            handler.close_connection = True
            with contextlib.suppress(OSError):
                handler.wfile.flush()
                handler.connection.shutdown(socket.SHUT_RDWR)

    def add(self, name, image, tag="1"):
        for key in (tag, image.digest):
            self.manifests[name, key] = (image.manifest, OCI_MANIFEST)
        self.blobs.update(image.blobs)
        return "%s/%s:%s" % (self.host, name, tag)

    def add_text(self, name, tag, text, media_type):
        text = text if isinstance(text, bytes) else json.dumps(text).encode()
        for key in (tag, digest(text)):
            self.manifests[name, key] = (text, media_type)
        return "%s/%s:%s" % (self.host, name, tag)

    def asked(self, kind):
        return [what for k, what, _ in self.requests if k == kind]


@pytest.fixture
def registry():
    r = Registry()
    yield r
    r.server.shutdown()
    r.server.server_close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def debian_registry(folder, tls=None, htpasswd=None):
    port = free_port()
    config = {"version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}},
              "storage": {"filesystem": {"rootdirectory": folder + "/registry"}},
              "http": {"addr": "127.0.0.1:%d" % port, **({"tls": {"certificate": tls[0], "key": tls[1]}} if tls else {})},
              **({"auth": {"htpasswd": {"realm": "test", "path": htpasswd}}} if htpasswd else {})}
    with open(folder + "/registry.yml", "w") as f:
        json.dump(config, f)  # JSON is YAML
    with open(folder + "/registry.log", "w") as log:
        p = subprocess.Popen(["docker-registry", "serve", folder + "/registry.yml"], stdout=log, stderr=log)
    try:
        end = time.time() + 20 * SLOW
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            assert p.poll() is None and time.time() < end, open(folder + "/registry.log").read()
            time.sleep(0.05)
        yield "127.0.0.1:%d" % port
    finally:
        p.kill()
        p.wait()


def skopeo(*args):
    subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", *args], check=True, stdin=subprocess.DEVNULL, timeout=120 * SLOW)


def content(path):
    with open(path) as f:
        return f.read()


# --- load --------------------------------------------------------------------------------------------------------------

def test_loading_an_archive_of_several_names_twice_is_the_same_as_once(store, tmp_path):
    base = tar(("bin/x", "x"))
    images = [("localhost/t:%d" % i, Image([base], "plain", {"Env": ["N=%d" % i]})) for i in range(7)]
    path = str(tmp_path / "a.tar")
    with open(path, "wb") as f:
        f.write(archive(*images))
    first = store("load", path)
    assert first.splitlines() == ["%s  %s" % (name, image.id) for name, image in images]
    before = sorted((d, f) for d, _, fs in os.walk(store.images) for f in fs)
    assert store("load", path) == first
    assert before == sorted((d, f) for d, _, fs in os.walk(store.images) for f in fs)
    assert len(store.layers()) == 1 and store.under_way() == []
    assert {t for i in store.json("ls") for t in i["repoTags"]} == {name for name, _ in images}


def test_archives_come_from_pipes_compressed_or_not(store):
    for how in ("plain", "gzip", "zstd"):
        image = Image([None, None], ["gzip", "zstd"])
        store("load", "-", stdin=compress(archive(("localhost/%s:1" % how, image)), how))
        assert content(store.layer(image.diff_ids[1]) + "/f1")
        assert store.json("inspect", "localhost/%s:1" % how)[0]["id"] == image.id


def test_docker_archives_old_and_new_and_layout_folders_are_loaded(store, tmp_path):
    image = Image([tar(("a", "1")), tar(("b", "2"))], config={"Cmd": ["run"]})
    source = tmp_path / "oci.tar"
    source.write_bytes(archive(("localhost/src:1", image)))
    skopeo("oci-archive:%s:localhost/src:1" % source, "docker-archive:%s:localhost/dock:1" % (tmp_path / "docker.tar"))
    assert "localhost/dock:1" in store("load", str(tmp_path / "docker.tar"))
    # the oldest form: <id>/layer.tar, a layer given as a link to another, names in manifest.json only
    config = image.blobs[image.id]
    old = tar((image.id[7:] + ".json", config), ("aaa/VERSION", "1.0"), ("aaa/json", "{}"), ("aaa/layer.tar", image.layers[0]),
              ("bbb/layer.tar", image.layers[1]), entry("ccc/layer.tar", tarfile.SYMTYPE, linkname="../bbb/layer.tar"),
              ("manifest.json", json.dumps([{"Config": image.id[7:] + ".json", "RepoTags": ["old:1", "localhost/old:2"],
                                             "Layers": ["aaa/layer.tar", "ccc/layer.tar"]}])))
    assert [l.split()[0] for l in store("load", "-", stdin=old).splitlines()] == ["docker.io/library/old:1", "localhost/old:2"]
    skopeo("oci-archive:%s:localhost/src:1" % source, "oci:%s:localhost/folder:1" % (tmp_path / "layout"))
    assert "localhost/folder:1" in store("load", str(tmp_path / "layout"))
    for name in ("localhost/dock:1", "old:1", "localhost/folder:1"):
        layers = store.json("inspect", name)[0]["layers"]
        assert [l["diffId"] for l in layers] == image.diff_ids, name
    assert store.under_way() == [] and len(store.layers()) == 2


def test_an_image_without_a_name_is_told_and_can_be_given_one(store):
    image = Image([None])
    whole = archive((None, image))
    assert store("load", "-q", "-", stdin=whole).strip() == image.id
    assert store.json("ls")[0]["repoTags"] == []
    store("load", "--name", "app", "-", stdin=whole)
    assert store.json("ls")[0]["repoTags"] == ["docker.io/library/app:latest"]
    store("load", "--name", "app", "-", stdin=archive(("v2", Image([None]))))  # an annotation that is a tag only
    assert "docker.io/library/app:v2" in [t for i in store.json("ls") for t in i["repoTags"]]


def test_what_is_no_archive_is_refused_and_leaves_nothing(store, tmp_path):
    image = Image([tar(("f", os.urandom(300000)))])
    good = archive(("localhost/x:1", image))
    blob = image.blobs[image.layer_digests[0]]
    at = good.index(blob) + len(blob) // 2
    wrong = bytearray(good)
    wrong[at] ^= 1
    cases = [(good[:at], "truncated"), (bytes(wrong), "wrong digest"), (b"hello world" * 100, "malformed"), (b"", "no image archive"),
             (tar(("x", "y")), "no image archive"), (compress(good, "gzip")[:5000], "too early"),
             (tar(("index.json", "{")), "malformed"), (tar(("index.json", '{"manifests":[]}')), "no image"),
             (tar(("../../x", "y")), "leads out"), (tar(("manifest.json", '[{"Config":"../../etc/passwd","Layers":[]}]')), "leads out"),
             (tar(*[(n, b) for n, b in image.files().items() if b != blob], ("index.json", json.dumps({"manifests": [image.descriptor("localhost/x:1")]}))), "missing")]
    for data, word in cases:
        assert word in store("load", "-", stdin=data, code=7), word
        assert store.under_way() == [] and store.layers() == set()
        assert os.listdir(store.images + "/blobs/sha256") == []
    assert "No such file" in store("load", str(tmp_path / "missing.tar"), code=3)
    store("ls", "nonsense", "x", code=2)


# --- layers ------------------------------------------------------------------------------------------------------------

def test_layers_stack_as_overlayfs_expects(store, tmp_path):
    one = tar(entry("d", tarfile.DIRTYPE, mode=0o755), ("d/gone", "1"), ("d/kept", "1"), entry("o", tarfile.DIRTYPE, mode=0o755),
              ("o/hidden", "1"), ("file", "1"), entry("h", tarfile.DIRTYPE, mode=0o750, uid=1000, gid=2000), ("h/x", "x"))
    two = tar(("d/.wh.gone", ""), entry("o", tarfile.DIRTYPE, mode=0o755), ("o/.wh..wh..opq", ""), ("o/new", "2"), (".wh.file", ""),
              (entry("suid", mode=0o4755, uid=5, gid=6), "s"), entry("hard", tarfile.LNKTYPE, linkname="suid"))
    three = tar(("file", "3"))
    image = Image([one, two, three], ["gzip", "zstd", "plain"])
    store("load", "-", stdin=archive(("localhost/o:1", image)))
    merged = tmp_path / "merged"
    merged.mkdir()
    lower = ":".join(store.layer(d) for d in reversed(image.diff_ids))
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", "ro,lowerdir=" + lower, str(merged)], check=True)
    try:
        assert sorted(os.listdir(merged)) == ["d", "file", "h", "hard", "o", "suid"]
        assert os.listdir(merged / "d") == ["kept"] and os.listdir(merged / "o") == ["new"]
        assert content(merged / "file") == "3"
        st = os.stat(merged / "suid")
        assert stat.S_IMODE(st.st_mode) == 0o4755 and (st.st_uid, st.st_gid, st.st_nlink) == (5, 6, 2)
        st = os.stat(merged / "h")
        assert stat.S_IMODE(st.st_mode) == 0o750 and (st.st_uid, st.st_gid) == (1000, 2000)
    finally:
        subprocess.run(["umount", str(merged)], check=True)


def test_five_hundred_layers_are_taken_and_one_more_is_a_clear_error(store):
    layers = [tar(("f", str(i))) for i in range(501)]
    store("load", "-", stdin=archive(("localhost/many:128", Image(layers[:128], "plain"))))
    assert len(store.layers()) == 128
    store("load", "-", stdin=archive(("localhost/many:500", Image(layers[:500], "plain"))))
    assert len(store.layers()) == 500
    assert "501 layers; overlayfs takes at most 500" in store("load", "-", stdin=archive(("localhost/many:501", Image(layers, "plain"))), code=9)


def test_empty_and_repeated_layers_are_fine(store):
    empty = b"\0" * 1024
    image = Image([tar(("f", "1")), empty, tar((".wh.f", "")), empty, tar(("f", "1"))])
    store("load", "-", stdin=archive(("localhost/e:1", image)))
    assert len(store.layers()) == 3


def test_hostile_layers_touch_nothing_outside_and_are_refused(store, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    up = "../" * 12 + str(secret)[1:]
    hostile = {
        "dots": tar((up, "hacked")),
        "link": tar(entry("l", tarfile.SYMTYPE, linkname=str(tmp_path)), ("l/secret", "hacked")),
        "relative link": tar(entry("l", tarfile.SYMTYPE, linkname="../" * 12 + str(tmp_path)[1:]), ("l/secret", "hacked")),
        "hard link": tar(entry("h", tarfile.LNKTYPE, linkname=str(secret)), ("h", "hacked")),
        "hard link up": tar(entry("h", tarfile.LNKTYPE, linkname=up)),
        "link then hard link": tar(entry("l", tarfile.SYMTYPE, linkname=str(tmp_path)), entry("h", tarfile.LNKTYPE, linkname="l/secret")),
        "folder then link": tar(entry("d", tarfile.DIRTYPE, mode=0o755), ("d/a", "a"),
                                entry("d", tarfile.SYMTYPE, linkname=str(tmp_path)), ("d/secret", "hacked")),
        "setuid": tar(entry("s", tarfile.SYMTYPE, linkname=str(secret)), (entry("s", mode=0o6777, uid=1, gid=1), "hacked")),
        "whiteout": tar((".wh...", ""), ),
        "whiteout up": tar((".wh..", ""), ),
    }
    for name, layer in hostile.items():
        p = subprocess.run([PROGRAM, "load", "-"], env=store.env, input=archive(("localhost/bad:1", Image([layer]))), capture_output=True)
        assert p.returncode in (0, 7), (name, p.stderr)  # resolved inside of the layer, or refused
        assert secret.read_text() == "secret" and secret.stat().st_nlink == 1 and stat.S_IMODE(secret.stat().st_mode) == 0o600, name
        assert store.under_way() == [], name
        if p.returncode:
            assert b"localhost/bad:1" not in p.stdout
    assert os.listdir(tmp_path / "root") == ["images"] or set(os.listdir(tmp_path / "root")) >= {"images"}
    assert sorted(os.listdir(tmp_path)) == ["root", "run", "secret"]


def raw(name, type=b"0", size=b"%011o\0" % 0, link=b"", data=b""):
    """A header as no program writes it, and what follows."""
    h = bytearray(512)
    for at, field in ((0, name), (100, b"0000644\0"), (108, b"0000000\0"), (116, b"0000000\0"), (124, size), (136, b"00000000000\0"),
                      (148, b" " * 8), (156, type), (157, link), (257, b"ustar\x0000"), (329, b"0000000\0"), (337, b"0000000\0")):
        h[at:at + len(field)] = field
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h) + data + b"\0" * (-len(data) % 512)


def raw_file(name, data):
    return raw(name, size=b"%011o\0" % len(data), data=data)


def raw_pax(**records):
    text = b""
    for key, value in records.items():
        body = b" %s=%s\n" % (key.replace("__", ".").encode(), value)
        text += next(b"%d" % n + body for n in range(len(body), len(body) + 20) if n == len(b"%d" % n + body))
    return raw(b"pax", b"x", b"%011o\0" % len(text), data=text)


def test_archives_that_no_program_writes_end_in_words_and_leave_nothing(store, tmp_path):
    gigabyte = b"%011o\0" % (1 << 30)
    refused = {
        "a NUL in a name": (raw_pax(path=b"a\0b") + raw(b"x"), "NUL byte"),
        "a pax header of a gigabyte": (raw(b"p", b"x", gigabyte), "larger than 1 MiB"),
        "a name of a gigabyte": (raw(b"p", b"L", gigabyte), "larger than 1 MiB"),
        "a negative size": (raw(b"x", size=b"\xff" * 12), "bad number"),
        "a size beyond all numbers": (raw(b"x", size=b"\x80" + b"\x7f" * 11), "bad number"),
        "a size that does not come": (raw(b"x", size=b"\x80\0\0\0\x7f" + b"\xff" * 7), "truncated"),
        "a map that overflows": (raw_pax(GNU__sparse__major=b"1", GNU__sparse__minor=b"0", GNU__sparse__realsize=b"18446744073709551615") +
                                 raw_file(b"f", b"1\n18446744073709551000\n999\n" + b"\0" * 483), "map of a sparse file"),
        "too many attributes": (raw_pax(**{"SCHILY__xattr__user__a%d" % i: b"v" for i in range(2000)}) + raw(b"f"), "extended attributes"),
        "a whiteout of the folder": (raw(b"d/.wh.."), "whiteout of nothing"),
        "a whiteout of nothing": (raw(b".wh."), "whiteout of nothing"),
        "a link to itself": (raw(b"e", b"1", link=b"e"), "not in the layer"),
        "a loop": (raw(b"l", b"2", link=b"l") + raw(b"e", b"1", link=b"l/x"), "too many links"),
        "the root as a link": (raw(b"./", b"2", link=b"/etc"), "the root is not a folder"),
        "the store": (raw_file(b"../../../blobs/sha256/x", b"x"), '".."'),
        "an archive in an archive": (gzip.compress(b"\0" * (1 << 20)), "wrong checksum"),
    }
    for name, (layer, words) in refused.items():
        err = store("load", "-", stdin=archive(("localhost/bad:1", Image([layer + bytes(1024)]))), code=7)
        assert words in err, (name, err)
        assert store.under_way() == [] and store.layers() == set(), name
    # what looks as bad and stays inside of the layer
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = (raw(b"s", b"2", link=str(outside).encode()) + raw(b"t", b"1", link=b"s") + raw_file(b"t/escaped", b"x") +
              raw(b".wh.d") + raw(b"e", b"1", link=b"d") + raw_file(b"d/f", b"1") +
              raw_pax(SCHILY__xattr__trusted__overlay__redirect=b"/etc", SCHILY__xattr__user__overlay__opaque=b"y",
                      SCHILY__xattr__user__mine=b"1") + raw(b"x") + raw_file(b"proc/self/root/etc/x", b"x"))
    image = Image([inside + bytes(1024)])
    store("load", "-", stdin=archive(("localhost/inside:1", image)))
    layer = store.layer(image.diff_ids[0])
    assert os.listdir(outside) == [] and os.path.exists(layer + str(outside) + "/escaped")
    assert os.listxattr(layer + "/x") == ["user.mine"]
    assert os.getxattr(layer + "/d", "trusted.overlay.opaque") == b"y" and os.stat(layer + "/e").st_rdev == 0
    assert stat.S_ISCHR(os.stat(layer + "/e").st_mode)
    store("verify")


def test_names_in_an_archive_move_no_cursor(store):
    """What is said of a hostile name is one line of printable text, that a pod's status can hold, too."""
    name = b"\x1b[2Jx\nrm -rf\xff/../y"
    header = bytearray(tar(("x", "")))[:512]
    header[:len(name)], header[148:156] = name, b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    p = subprocess.run([PROGRAM, "load", "-"], env=store.env, input=archive(("localhost/bad:1", Image([bytes(header) + bytes(1024)]))),
                       capture_output=True)
    assert p.returncode == 7 and p.stderr == b'load standard input: ?[2Jx?rm -rf?/../y: a name with ".." in a layer\n'


def test_bombs_end_at_the_limits(store):
    bomb = Image([tar(("zeros", b"\0" * (64 << 20)))])
    assert len(bomb.blobs[bomb.layer_digests[0]]) < 1 << 20
    err = store("load", "--max-layer-size", "16M", "-", stdin=archive(("localhost/bomb:1", bomb)), code=8)
    assert "more than 16 MiB (--max-layer-size)" in err
    many = Image([tar(*[("f%d" % i, "") for i in range(2000)])])
    assert "more than 1000 entries" in store("load", "--max-layer-entries", "1000", "-", stdin=archive(("localhost/many:1", many)), code=8)
    assert "larger than allowed" in store("load", "--max-size", "1M", "-", stdin=archive(("localhost/big:1", Image([tar(("f", os.urandom(2 << 20)))], "plain"))), code=8)
    assert store.layers() == set() and store.under_way() == []


def test_a_full_disk_is_told_and_leaves_a_store_that_works(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", str(disk)], check=True)
    try:
        store = Store(disk)
        small, large = Image([tar(("f", os.urandom(1 << 20)))]), Image([tar(("z", b"\0" * (30 << 20)))])
        assert "disk nearly full" in store("load", "-", stdin=archive(("localhost/s:1", small)), code=8)
        store("load", "--keep-free", "0", "-", stdin=archive(("localhost/s:1", small)))
        err = store("load", "--keep-free", "0", "-", stdin=archive(("localhost/l:1", large)), code=8)
        assert "No space left on device" in err
        assert store.under_way() == [] and len(store.layers()) == 1
        store("verify", "--keep-free", "0")
        assert os.statvfs(disk).f_bfree * 4096 > 3 << 20  # all that was begun is gone
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# --- pull --------------------------------------------------------------------------------------------------------------

def test_pulling_from_debians_registry(store, tmp_path):
    image = Image([None, None, None], ["gzip", "zstd", "plain"])
    source = tmp_path / "oci.tar"
    source.write_bytes(archive(("localhost/src:1", image)))
    docker = Image([None, None])
    (tmp_path / "d.tar").write_bytes(archive(("localhost/src:1", docker)))
    with debian_registry(str(tmp_path)) as host:
        skopeo("--dest-tls-verify=false", "oci-archive:%s:localhost/src:1" % source, "docker://%s/team/app:1" % host)
        skopeo("--dest-tls-verify=false", "--format=v2s2", "oci-archive:%s:localhost/src:1" % (tmp_path / "d.tar"), "docker://%s/docker:1" % host)
        out = store.json("pull", host + "/team/app:1")
        assert out["reference"] == host + "/team/app:1" and out["layersFetched"] == 3 and out["fetched"] > 0
        assert [content(store.layer(d) + "/f%d" % i) for i, d in enumerate(image.diff_ids)]
        again = store.json("pull", host + "/team/app:1")
        assert again["fetched"] == 0 and again["layersPresent"] == 3 and again["digest"] == out["digest"]
        assert store.json("pull", "%s/team/app@%s" % (host, out["digest"]))["id"] == out["id"]
        store("pull", host + "/docker:1")
        assert store.json("inspect", host + "/docker:1")[0]["layers"][1]["diffId"] == docker.diff_ids[1]
        assert "not found in registry %s: check name and tag" % host in store("pull", host + "/team/app:9", code=3)
        assert "not found in registry" in store("pull", host + "/nobody", code=3)
    assert "connection refused; is it running?" in store("pull", host + "/team/app:1", code=5)
    store("verify")


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-keyout", folder + "/key.pem", "-out", folder + "/cert.pem", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"], check=True, capture_output=True)
    return folder + "/cert.pem", folder + "/key.pem"


def bcrypt(user, password):
    if shutil.which("htpasswd"):
        return subprocess.run(["htpasswd", "-nbB", user, password], capture_output=True, text=True, check=True).stdout
    import crypt
    return "%s:%s\n" % (user, crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)).replace("$2b$", "$2y$"))


def test_tls_and_passwords(store, tmp_path):
    folder = str(tmp_path)
    cert, key = make_certificate(folder)
    (tmp_path / "htpasswd").write_text(bcrypt("user", "pass:word"))
    (tmp_path / "a.tar").write_bytes(archive(("localhost/src:1", Image([None]))))
    with debian_registry(folder, tls=(cert, key), htpasswd=folder + "/htpasswd") as host:
        skopeo("--dest-tls-verify=false", "--dest-creds=user:pass:word", "oci-archive:%s/a.tar:localhost/src:1" % folder, "docker://%s/app:1" % host)

        def credentials(name, password):
            path = folder + "/" + name
            with open(path, "w") as f:
                json.dump({"auths": {host: {"auth": base64.b64encode(("user:" + password).encode()).decode()}}}, f)
            return path
        good, bad = credentials("good.json", "pass:word"), credentials("bad.json", "no")
        assert "needs credentials" in store("pull", "--ca-file", cert, host + "/app:1", code=4)
        assert "needs other credentials" in store("pull", "--ca-file", cert, "--credentials-file", bad, host + "/app:1", code=4)
        # several Secrets: the next is tried
        store("pull", "--ca-file", cert, "--credentials-file", bad, "--credentials-file", good, host + "/app:1")
        store("rm", host + "/app:1")
        other = tmp_path / "other"
        other.mkdir()
        make_certificate(str(other))
        err = store("pull", "--ca-file", str(other / "cert.pem"), "--credentials-file", good, host + "/app:1", code=5)
        assert "certificate is not trusted" in err
        store("pull", "--credentials-file", good, host + "/app:1")  # loopback: any certificate
        # what the user has is used where nothing is given
        store("rm", host + "/app:1")
        os.makedirs(folder + "/.docker")
        shutil.copy(good, folder + "/.docker/config.json")
        store("pull", host + "/app:1")
        store("rm", host + "/app:1")
        store("pull", "--no-default-credentials", host + "/app:1", code=4)
    assert "is not trusted" not in store("pull", "no.such.host.invalid/x", code=5)


def test_a_token_is_fetched_where_the_registry_says(store, registry, tmp_path):
    reference = registry.add("team/app", Image([None, None]))
    given = []

    def hook(handler, kind, what):
        if what.startswith("/token"):
            given.append((what, handler.headers.get("Authorization")))
            if handler.headers.get("Authorization") == "Basic " + base64.b64encode(b"bad:no").decode():
                handler.answer(401, b'{"details":"incorrect username or password"}')
            else:
                handler.answer(200, json.dumps({"token": "tok%d" % len(given)}).encode())
            return True
        wanted = "Bearer tok%d" % len(given)
        if handler.headers.get("Authorization") == wanted and given:
            return False
        handler.answer(401, b"{}", WWW_Authenticate='Bearer realm="http://%s/token",service="s,1",scope="repository:team/app:pull"' % registry.host)
        return True
    registry.hook = hook
    store("pull", reference)  # anonymous
    assert given == [("/token?service=s%2C1&scope=repository%3Ateam%2Fapp%3Apull", None)]
    store("rm", reference)
    creds = tmp_path / "c.json"
    creds.write_text(json.dumps({"auths": {registry.host: {"username": "bad", "password": "no"}, registry.host + "/team": {"username": "u", "password": "p"}}}))
    store("pull", "--credentials-file", str(creds), reference)
    assert given[-1][1] == "Basic " + base64.b64encode(b"u:p").decode()  # the longer path first
    store("rm", reference)
    creds.write_text(json.dumps({"auths": {registry.host: {"username": "bad", "password": "no"}}}))
    assert "wrong user name or password" in store("pull", "--credentials-file", str(creds), reference, code=4)
    creds.write_text(json.dumps({"auths": {registry.host: {"identitytoken": "refresh"}}}))
    store("pull", "--credentials-file", str(creds), reference)
    assert registry.requests[-1][0] == "blobs" and ("other", "/token") in [(k, w) for k, w, _ in registry.requests]


def test_a_token_that_ends_while_layers_come_is_renewed(store, registry):
    image = Image([tar(("f", os.urandom(400000))) for _ in range(3)], "plain")
    reference = registry.add("app", image)
    tokens, uses = [], []

    def hook(handler, kind, what):
        if what.startswith("/token"):
            tokens.append(1)
            uses.clear()
            handler.answer(200, json.dumps({"access_token": "t%d" % len(tokens)}).encode())
            return True
        if tokens and handler.headers.get("Authorization") == "Bearer t%d" % len(tokens) and len(uses) < 3:
            uses.append(1)
            return False
        handler.answer(401, b"{}", WWW_Authenticate='Bearer realm="http://%s/token",service="s"' % registry.host)
        return True
    registry.hook = hook
    store("pull", "--parallel", "1", reference)
    assert len(tokens) >= 2


def test_credentials_are_not_sent_to_where_blobs_are_redirected(store, registry, tmp_path):
    image = Image([None, None])
    reference = registry.add("app", image)
    other = Registry()
    other.blobs.update(image.blobs)

    def hook(handler, kind, what):
        if not handler.headers.get("Authorization"):
            handler.answer(401, b"{}", WWW_Authenticate='Basic realm="x"')
            return True
        if kind == "blobs":
            handler.answer(307, Location="http://%s/v2/cdn/blobs/%s" % (other.host, what))
            return True
        return False
    registry.hook = hook
    creds = tmp_path / "c.json"
    creds.write_text(json.dumps({"auths": {registry.host: {"username": "u", "password": "p"}}}))
    store("pull", "--credentials-file", str(creds), reference)
    assert len(other.requests) == 3 and all("Authorization" not in headers for _, _, headers in other.requests)


def test_broken_connections_are_resumed_where_they_broke(store, registry):
    image = Image([tar(("f", os.urandom(3 << 20))), tar(("g", os.urandom(2 << 20)))], "plain")
    reference = registry.add("app", image)
    for ranges in (True, False):
        sent = []

        def hook(handler, kind, what):
            if what not in image.layer_digests:
                return False
            sent.append(handler.headers.get("Range"))
            # without ranges it goes further each time, or it would never end
            registry.send_blob(handler, registry.blobs[what], stop_after=700000 if ranges else 700000 * len(sent), ranges=ranges)
            return True
        registry.hook = hook
        out = store.json("pull", reference)
        assert out["layersFetched"] == 2 and len(sent) > 3 and any(sent)
        if ranges:
            assert out["fetched"] == sum(len(b) for d, b in image.blobs.items() if d in image.layer_digests)
        store("verify")
        store("rm", reference)


def test_an_interrupted_pull_is_gone_on_with(store, registry):
    image = Image([tar(("f", os.urandom(8 << 20)))], "plain")
    reference = registry.add("app", image)
    registry.hook = lambda h, kind, what: what in image.layer_digests and (registry.send_blob(h, registry.blobs[what], delay=0.02), True)[1]
    p = store.start("pull", reference)
    part = store.images + "/ingest/blob-" + image.layer_digests[0][7:]
    end = time.time() + 20 * SLOW
    while not (os.path.exists(part) and os.stat(part).st_size > 1 << 20):
        assert time.time() < end
        time.sleep(0.01)
    p.send_signal(signal.SIGTERM)
    out, err = p.communicate(timeout=20 * SLOW)
    assert p.returncode == 1 and b"run it again to go on" in err
    assert store.under_way() == [os.path.basename(part)]  # the half unpacked layer is gone, what was downloaded is kept
    had = os.stat(part).st_size
    registry.hook = None
    registry.requests.clear()
    out = store.json("pull", reference)
    total = len(image.blobs[image.layer_digests[0]])
    assert out["fetched"] == total - had
    assert [h.get("Range") for k, w, h in registry.requests if w == image.layer_digests[0]] == ["bytes=%d-" % had]


def test_a_damaged_part_of_an_earlier_run_is_thrown_away(store, registry):
    image = Image([tar(("f", os.urandom(1 << 20)))], "plain")
    reference = registry.add("app", image)
    store("load", "-", stdin=archive(("localhost/x:1", Image([None]))))
    for junk in (b"x" * 100000, b"x" * (2 << 20), b"x" * len(image.blobs[image.layer_digests[0]])):
        with open(store.images + "/ingest/blob-" + image.layer_digests[0][7:], "wb") as f:
            f.write(junk)
        store("pull", reference)
        assert content(store.layer(image.diff_ids[0]) + "/f") if False else os.stat(store.layer(image.diff_ids[0]) + "/f").st_size == 1 << 20
        store("verify")
        store("rm", reference)


def test_wrong_content_is_never_used(store, registry):
    image = Image([tar(("f", os.urandom(100000))), None])
    reference = registry.add("app", image)
    victim = image.layer_digests[0]
    good = registry.blobs[victim]
    for bad, word in ((good[:500] + bytes([good[500] ^ 1]) + good[501:], "wrong digest"), (good + b"x", "larger than its size"),
                      (good[:-1], "ends after")):
        registry.blobs[victim] = bad
        code = 5 if word == "ends after" else 7
        assert word in store("pull", "--retries", "1", reference, code=code)
        assert image.diff_ids[0][7:] not in store.layers()
        assert not os.path.exists(store.images + "/blobs/sha256/" + victim[7:])
        assert all(name.startswith("blob-") for name in store.under_way())
        store("inspect", reference, code=3)
    registry.blobs[victim] = good
    # a configuration that speaks of other layers
    liar = Image([tar(("f", "1"))])
    liar_config = json.loads(liar.blobs[liar.id])
    liar_config["rootfs"]["diff_ids"] = ["sha256:" + "0" * 64]
    text = json.dumps(liar_config).encode()
    manifest = json.loads(liar.manifest)
    manifest["config"].update(digest=digest(text), size=len(text))
    registry.blobs.update({**liar.blobs, digest(text): text})
    liar_reference = registry.add_text("liar", "1", manifest, OCI_MANIFEST)
    assert "but the image says" in store("pull", liar_reference, code=7)
    # manifests and configurations too
    registry.manifests["app", "2"] = (b"{}", OCI_MANIFEST)
    assert "no configuration" in store("pull", registry.host + "/app:2", code=7)
    registry.manifests["app", image.digest] = (image.manifest + b" ", OCI_MANIFEST)
    assert "wrong digest" in store("pull", "%s/app@%s" % (registry.host, image.digest), code=7)
    registry.blobs[image.id] = image.blobs[image.id] + b" "
    store("pull", reference, code=7)
    registry.blobs[image.id] = image.blobs[image.id]
    store("pull", reference)


def test_a_mirror_that_sends_another_manifest_is_passed_over(store, registry, mirror):
    image, other = Image([None]), Image([None])
    registry.add("app", image)
    mirror.manifests["app", image.digest] = (other.manifest, OCI_MANIFEST)
    store.configure('[[registry]]\nlocation = "%s"\n[[registry.mirror]]\nlocation = "%s"\n' % (registry.host, mirror.host))
    assert store.json("pull", "%s/app@%s" % (registry.host, image.digest))["id"] == image.id
    assert mirror.asked("manifests") and registry.asked("manifests")


def test_what_is_no_image_is_refused_by_its_type(store, registry):
    chart = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
             "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": digest(b"{}"), "size": 2}}
    err = store("pull", registry.add_text("chart", "1", chart, OCI_MANIFEST), code=9)
    assert "it is no container image, but an artifact of type application/vnd.cncf.helm.config.v1+json" in err


def test_documents_that_are_bombs_end_in_words(store, registry):
    image = Image([None])
    registry.add("m", image)
    entry = json.dumps(image.config)
    bombs = {"deep": ("[" * 100000, 7, "depth"), "objects": ('{"a":' * 100000, 7, "depth"),
             "number": ('{"config":%s,"layers":[{"digest":"%s","size":99999999999999999999}]}' % (entry, image.id), 7, "too big integer"),
             "layers": ('{"config":%s,"layers":[%s]}' % (entry, ",".join([entry] * 20000)), 9, "overlayfs takes at most 500"),
             "twice": ('{"config":%s,"config":%s,"layers":[]}' % (entry, entry), 7, "duplicate")}
    for tag, (text, code, words) in bombs.items():
        assert words in store("pull", registry.add_text("m", tag, text.encode(), OCI_MANIFEST), code=code), tag

    def endless(handler, kind, what):
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b" " * 65536)
    registry.hook = lambda *a: endless(*a) or True
    assert "larger than 4194304 bytes" in store("pull", "--retries", "0", registry.host + "/m:endless", code=7)


def test_manifests_that_are_two_things_or_too_large_are_refused(store, registry):
    image = Image([None])
    registry.add("app", image)
    both = json.loads(image.manifest)
    both["manifests"] = [image.descriptor()]
    assert "image and an index at once" in store("pull", registry.add_text("app", "both", both, OCI_MANIFEST), code=7)
    assert "media type" in store("pull", registry.add_text("app", "type", image.manifest, OCI_INDEX), code=7)
    assert "larger than" in store("pull", registry.add_text("app", "large", b"[" + b" " * (5 << 20) + b"]", OCI_MANIFEST), code=7)
    assert "schema 1" in store("pull", registry.add_text("app", "old", {"schemaVersion": 1}, "application/vnd.docker.distribution.manifest.v1+json"), code=9)


def test_an_index_gives_the_image_for_this_machine_or_the_one_asked_for(store, registry):
    here = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    mine, other = Image([None], platform=("linux", here)), Image([None], platform=("linux", "s390x"))
    for image in (mine, other):
        registry.add("multi", image, tag="x")
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [other.descriptor(), mine.descriptor()]}
    reference = registry.add_text("multi", "1", index, OCI_INDEX)
    out = store.json("pull", reference)
    assert out["id"] == mine.id and out["digest"] == digest(json.dumps(index).encode())
    assert store.json("pull", "--platform", "linux/s390x", reference)["id"] == other.id
    assert "it is for: linux/s390x, linux/" in store("pull", "--platform", "linux/mips64le", reference, code=3)
    deep = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{"mediaType": OCI_INDEX, "digest": digest(json.dumps(index).encode()),
            "size": len(json.dumps(index)), "platform": mine.platform}]}
    assert store.json("pull", registry.add_text("multi", "deep", deep, OCI_INDEX))["id"] == mine.id


def test_passing_trouble_is_waited_for_and_lasting_trouble_told(store, registry):
    reference = registry.add("app", Image([None, None]))
    answers = []

    def failing(status, times, **headers):
        answers.clear()

        def hook(handler, kind, what):
            answers.append(what)
            if len(answers) > times:
                return False
            handler.answer(status, b'{"errors":[{"code":"X","message":"too\\nmuch \\u001b[31m"}]}', **headers)
            return True
        registry.hook = hook
    failing(503, 2)
    store("pull", reference)
    store("rm", reference)
    failing(429, 1, Retry_After="1")
    begin = time.time()
    store("pull", reference)
    assert time.time() - begin >= 1
    store("rm", reference)
    failing(429, 1000)
    err = store("pull", "--retries", "1", reference, code=5)
    assert "limits how often images are pulled (429)" in err and "try again later" in err
    assert "\x1b" not in err and "the registry says: too?much" in err
    registry.hook = lambda handler, kind, what: handler.answer(429, b"toomanyrequests: You have reached your rate limit.\nmore") or True
    assert "(the registry says: toomanyrequests: You have reached your rate limit.)" in store("pull", "--retries", "0", reference, code=5)
    failing(500, 1000)
    assert "HTTP status 500" in store("pull", "--retries", "0", reference, code=5)
    failing(403, 1000)
    store("pull", reference, code=4)


def test_a_registry_that_is_silent_times_out(store):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(16)
        begin = time.time()
        err = store("pull", "--timeout", "2", "127.0.0.1:%d/x" % s.getsockname()[1], code=5)
        assert "does not answer" in err and time.time() - begin < 20 * SLOW


def test_bad_references_have_their_own_exit_status(store):
    for text in ("Bad/Name", "a:b:c", "", "http://x/y", "x@sha256:1"):
        assert "invalid image reference" in store("pull", text, code=6)


def test_one_download_serves_all_who_wait_for_it(store, registry):
    image = Image([tar(("f%d" % i, os.urandom(500000))) for i in range(4)])
    reference = registry.add("app", image)
    registry.hook = lambda h, kind, what: what in image.layer_digests and (registry.send_blob(h, registry.blobs[what], delay=0.05), True)[1]
    pulls = [store.start("pull", reference) for _ in range(5)]
    for p in pulls:
        out, err = p.communicate(timeout=60 * SLOW)
        assert p.returncode == 0, err
    asked = [b for b in registry.asked("blobs") if b in image.layer_digests]
    assert sorted(asked) == sorted(image.layer_digests)
    store("verify")


def test_layers_that_are_here_are_not_fetched_again(store, registry):
    shared = [tar(("s%d" % i, os.urandom(1000))) for i in range(6)]
    first, second = Image(shared + [None, None]), Image(shared + [None, None])
    store("pull", registry.add("first", first))
    registry.requests.clear()
    out = store.json("pull", registry.add("second", second))
    assert out["layersFetched"] == 2 and out["layersPresent"] == 6
    assert sorted(registry.asked("blobs")) == sorted(second.layer_digests[6:] + [second.id])


def test_foreign_layers_are_looked_for_elsewhere_over_https_only(store, registry):
    image = Image([None])
    manifest = json.loads(image.manifest)
    manifest["layers"][0]["urls"] = ["http://%s/elsewhere" % registry.host, "ftp://x/y"]
    registry.blobs.update(image.blobs)
    del registry.blobs[image.layer_digests[0]]
    reference = registry.add_text("foreign", "1", manifest, OCI_MANIFEST)
    store("pull", reference, code=3)
    assert "/elsewhere" not in registry.asked("other")


# --- crashes -----------------------------------------------------------------------------------------------------------

@pytest.fixture
def mirror():
    r = Registry()
    yield r
    r.server.shutdown()
    r.server.server_close()


def test_a_mirror_is_asked_first_and_what_it_fails_at_comes_from_the_registry(store, registry, mirror):
    image = Image([None, None, None])
    registry.add("team/app", image)
    mirror.add("copies/team/app", image)
    store.configure("[[registry]]\nprefix = 'registry.example'\nlocation = '%s'\n[[registry.mirror]]\nlocation = '%s/copies'\n" % (registry.host, mirror.host))

    def hook(handler, kind, what):
        if kind == "blobs" and what == image.layer_digests[1]:
            handler.answer(500, b"{}")
            return True
        return False
    mirror.hook = hook
    store("pull", "--retries", "0", "registry.example/team/app:1")
    assert registry.asked("blobs") == [image.layer_digests[1]] and registry.asked("manifests") == []
    assert image.layer_digests[0] in mirror.asked("blobs") and "1" in mirror.asked("manifests")
    assert store.json("ls")[0]["repoTags"] == ["registry.example/team/app:1"]
    store("rm", "registry.example/team/app:1")
    mirror.hook = lambda handler, kind, what: handler.answer(503, b"{}") or True  # the mirror is ill altogether
    store("pull", "--retries", "0", "registry.example/team/app:1")
    store("rm", "registry.example/team/app:1")
    registry.manifests.clear()
    err = store("pull", "--retries", "0", "registry.example/team/app:1", code=3)
    assert mirror.host in err and registry.host in err  # both are told


def test_a_blocked_registry_is_not_asked(store, registry):
    reference = registry.add("team/app", Image([None]))
    store.configure("[[registry]]\nlocation = '%s/team'\nblocked = true\n" % registry.host)
    assert "is blocked by %s/registries.conf" % store.folder in store("pull", reference, code=4)
    assert registry.requests == []
    os.makedirs(store.folder + "/registries.conf.d")
    with open(store.folder + "/registries.conf.d/10-open.conf", "w") as f:
        f.write("[[registry]]\nlocation = '%s/team'\n" % registry.host)  # a drop-in has the last word
    store("pull", reference)


def test_a_short_name_is_found_by_alias_or_search_list_and_known_by_the_short_name(store, registry, mirror):
    registry.add("cache/redis", Image([None]))
    mirror.add("tool", Image([None]))
    store.configure("unqualified-search-registries = ['%s', '%s']\nshort-name-mode = 'permissive'\n[aliases]\nredis = '%s/cache/redis'\n" % (
        registry.host, mirror.host, registry.host))
    store("pull", "redis:1")
    store("pull", "tool:1")  # the first registry of the list does not have it
    names = [n for i in store.json("ls") for n in i["repoTags"]]
    assert sorted(names) == sorted(["docker.io/library/redis:1", registry.host + "/cache/redis:1", "docker.io/library/tool:1", mirror.host + "/tool:1"])
    store.configure("unqualified-search-registries = ['a.example', 'b.example']\n")
    assert "could be an image of any of a.example, b.example" in store("pull", "other:1", code=6)
    store.configure("registry = 1\n")
    assert "registries.conf: registry has to be" in store("pull", "redis:1", code=7)
    store.configure("x =\n")
    assert "registries.conf: line 1: a value is missing" in store("pull", "redis:1", code=7)


def test_hosts_toml_names_mirrors_with_their_own_path_and_headers(store, registry, mirror, tmp_path):
    image = Image([None])
    registry.add("app", image)
    folder = tmp_path / "certs" / registry.host
    folder.mkdir(parents=True)
    paths = []

    def hook(handler, kind, what):
        paths.append((handler.path, handler.headers.get("X-Team")))
        if handler.path.startswith("/own/app/blobs/"):
            handler.answer(200, image.blobs[handler.path.split("/")[4].split("?")[0]])
            return True
        return False
    mirror.hook = hook
    (folder / "hosts.toml").write_text("server = 'http://%s'\n[host.'http://%s/own']\noverride_path = true\ncapabilities = ['pull']\n"
                                       "[host.'http://%s/own'.header]\nX-Team = 'edge'\n" % (registry.host, mirror.host, mirror.host))
    store("pull", "--certs-dir", str(tmp_path / "certs"), registry.host + "/app:1")
    assert registry.asked("manifests") == ["1"] and registry.asked("blobs") == []  # the mirror may have old tags, and has the blobs
    assert {p.split("/sha256")[0] for p, _ in paths} == {"/own/app/blobs"} or all(p.startswith("/own/app/blobs/") for p, _ in paths)
    assert all("?ns=" + registry.host in p and team == "edge" for p, team in paths)


def test_certificates_of_one_registry_are_trusted_and_shown(store, tmp_path):
    folder = str(tmp_path)
    cert, key = make_certificate(folder)
    client = tmp_path / "client"
    client.mkdir()
    client_cert, client_key = make_certificate(str(client))
    image = Image([None])
    r = Registry()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(client_cert)
    context.verify_mode = ssl.CERT_REQUIRED
    r.server.socket = context.wrap_socket(r.server.socket, server_side=True)
    try:
        reference = r.add("app", image)
        certs = tmp_path / "certs" / r.host
        certs.mkdir(parents=True)
        store("pull", "--retries", "0", reference, code=5)  # nothing to show
        shutil.copy(cert, certs / "ca.crt")
        shutil.copy(client_cert, certs / "client.cert")
        assert "client.key is missing" in store("pull", "--certs-dir", str(certs.parent), reference, code=3)
        shutil.copy(client_key, certs / "client.key")
        store("pull", "--certs-dir", str(certs.parent), reference)
        store("rm", reference)
        shutil.copy(client_cert, certs / "ca.crt")  # trust somebody else: not even a loopback registry may show any certificate then
        assert "not trusted" in store("pull", "--retries", "0", "--certs-dir", str(certs.parent), reference, code=5)
    finally:
        r.server.shutdown()
        r.server.server_close()


def test_a_credential_helper_is_asked(store, registry, tmp_path):
    reference = registry.add("app", Image([None]))
    seen = []

    def hook(handler, kind, what):
        seen.append(handler.headers.get("Authorization"))
        if seen[-1] == "Basic " + base64.b64encode(b"u:p").decode():
            return False
        handler.answer(401, b"{}", WWW_Authenticate='Basic realm="x"')
        return True
    registry.hook = hook
    programs = tmp_path / "bin"
    programs.mkdir()
    store.env["PATH"] = "%s:%s" % (programs, os.environ["PATH"])
    helper = programs / "docker-credential-mine"
    helper.write_text("#!/bin/sh\nread host\necho \"$1 $host\" >> %s/asked\n[ $host = %s ] && echo '{\"Username\":\"u\",\"Secret\":\"p\"}' && exit\n"
                      "echo credentials not found in native keychain; exit 1\n" % (tmp_path, registry.host))
    helper.chmod(0o755)
    store("pull", reference, code=4)
    # a file that came with a pod names no programs
    pods = tmp_path / "pod.json"
    pods.write_text(json.dumps({"auths": {}, "credsStore": "mine"}))
    store("pull", "--credentials-file", str(pods), reference, code=4)
    assert not (tmp_path / "asked").exists()
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"credHelpers": {registry.host: "mine"}}))
    store("pull", reference)
    assert content(str(tmp_path / "asked")) == "get %s\n" % registry.host
    store("rm", reference)
    (tmp_path / ".docker/config.json").write_text(json.dumps({"credsStore": "mine"}))
    store("pull", reference)
    store("rm", reference)
    (tmp_path / ".docker/config.json").unlink()
    store.configure("credential-helpers = ['containers-auth.json', 'mine']\n")
    store("pull", reference)


def test_a_pull_killed_at_any_moment_leaves_a_store_that_verifies_and_goes_on(store, registry):
    image = Image([tar(*[("d%d/f%d" % (i, j), os.urandom(3000)) for j in range(120)]) for i in range(5)])
    reference = registry.add("app", image)
    registry.hook = lambda h, kind, what: what in image.layer_digests and (registry.send_blob(h, registry.blobs[what], chunk=30000, delay=0.01), True)[1]
    finished = killed = 0
    for i in range(25):
        p = store.start("pull", reference, preexec_fn=os.setpgrp)
        time.sleep(0.012 * i)
        with contextlib.suppress(ProcessLookupError):
            if i % 3 == 2:
                os.killpg(p.pid, signal.SIGKILL)
            else:
                p.send_signal(signal.SIGKILL)  # only the outermost: the others must follow
        p.communicate(timeout=30 * SLOW)
        killed += p.returncode == -signal.SIGKILL
        store("verify")
        if i % 6 == 5:
            subprocess.run([PROGRAM, "prune", "--all"], env=store.env, check=True, capture_output=True)
    assert killed > 10
    end = time.time() + 10 * SLOW
    out = store.json("pull", reference)
    assert out["id"] == image.id and store.under_way() == []
    assert store.layers() == {d[7:] for d in image.diff_ids}
    store("verify")
    for i, d in enumerate(image.diff_ids):
        assert len(os.listdir(store.layer(d) + "/d%d" % i)) == 120


def test_nobody_is_left_when_the_program_is_killed(store, registry):
    image = Image([tar(("f", os.urandom(4 << 20)))], "plain")
    reference = registry.add("app", image)
    registry.hook = lambda h, kind, what: what in image.layer_digests and (registry.send_blob(h, registry.blobs[what], delay=0.1), True)[1]
    p = store.start("pull", reference)

    def family():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open("/proc/%s/environ" % pid, "rb") as f:
                    if b"HUSK_ROOT=" + store.root.encode() in f.read():
                        found.append(int(pid))
        return found
    end = time.time() + 10 * SLOW
    while len(family()) < 4:  # cleaner, fetcher, unpacker, child
        assert time.time() < end, family()
        time.sleep(0.01)
    p.kill()
    p.communicate()
    while family():
        assert time.time() < end, family()
        time.sleep(0.02)


# --- confinement -------------------------------------------------------------------------------------------------------

def test_whoever_touches_foreign_bytes_has_no_privileges(store, registry):
    image = Image([tar(("f", os.urandom(4 << 20)))], "plain")
    reference = registry.add("app", image)
    registry.hook = lambda h, kind, what: what in image.layer_digests and (registry.send_blob(h, registry.blobs[what], delay=0.1), True)[1]
    p = store.start("pull", reference)
    try:
        def children(pid):
            with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
                return [int(c) for c in f.read().split()]

        def status(pid):
            with open("/proc/%d/status" % pid) as f:
                return dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
        end = time.time() + 10 * SLOW
        while True:
            assert time.time() < end
            with contextlib.suppress(OSError, IndexError):
                fetcher = children(p.pid)[0]
                unpacker = children(fetcher)[0]
                child = children(unpacker)[0]
                if status(child)["Seccomp"] == "2" and int(status(fetcher)["CapEff"], 16) == 0:
                    break
            time.sleep(0.02)
        assert int(status(fetcher)["CapPrm"], 16) == 0 and status(fetcher)["NoNewPrivs"] == "1"
        # CHOWN DAC_OVERRIDE FOWNER FSETID SYS_ADMIN MKNOD SETFCAP
        assert int(status(child)["CapEff"], 16) == 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 21 | 1 << 27 | 1 << 31
        assert status(child)["CapBnd"] == status(child)["CapEff"] and status(child)["NoNewPrivs"] == "1"
        assert os.readlink("/proc/%d/root" % child).endswith("/fs")
        assert os.readlink("/proc/%d/ns/net" % child) != os.readlink("/proc/self/ns/net")
        # whatever it inherited: no socket but the one to its parent, no file outside of the store
        for fd in os.listdir("/proc/%d/fd" % child):
            target = os.readlink("/proc/%d/fd/%s" % (child, fd))
            assert not target.startswith("/") or target.startswith(store.root) or target == "/dev/null", target
    finally:
        p.kill()
        p.communicate()


def test_memory_stays_small_whatever_the_image(store, registry):
    image = Image([tar(("f", os.urandom(40 << 20))), tar(("g", os.urandom(30 << 20))), tar(*[("d%d/" % i + "x" * 150, "") for i in range(20000)])],
                  ["plain", "zstd", "gzip"])
    reference = registry.add("app", image)
    p = store.start("pull", reference)
    most = 0
    while p.poll() is None:
        total = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError, ValueError):
                with open("/proc/%s/environ" % pid, "rb") as f:
                    if b"HUSK_ROOT=" + store.root.encode() not in f.read():
                        continue
                with open("/proc/%s/smaps_rollup" % pid) as f:
                    total += int(re.search(r"Pss:\s+(\d+)", f.read()).group(1))
        most = max(most, total)
        time.sleep(0.01)
    assert p.wait() == 0, p.stderr.read()
    assert 0 < most < 64 << 10, "%d kB" % most


# --- keeping -----------------------------------------------------------------------------------------------------------

def test_what_pods_use_is_never_removed(store):
    one, two = Image([None]), Image([None])
    store("load", "-", stdin=archive(("localhost/one:1", one), ("localhost/two:1", two)))
    os.makedirs(store.root + "/pods/u1")
    os.makedirs(store.run + "/pods/u2")
    with open(store.root + "/pods/u1/pod.json", "w") as f:
        json.dump({"spec": {"containers": [{"name": "c", "image": "localhost/one:1"}]}}, f)
    assert "in use by a pod" in store("rm", "localhost/one:1", code=10)
    store("tag", "localhost/one:1", "localhost/one:other")
    assert "in use by a pod" in store("rm", "localhost/one:1", code=10)  # by that name it will be asked for again
    store("rm", "localhost/one:other")
    out = store.json("prune", "--all")
    assert out["deleted"] == [two.id] and out["layers"] == 1
    store("inspect", "localhost/one:1")
    # the name went elsewhere meanwhile: the id in a container's status counts
    with open(store.run + "/pods/u2/status.json", "w") as f:
        json.dump({"containerStatuses": [{"image": "localhost/one:1", "imageID": one.id}]}, f)
    os.unlink(store.root + "/pods/u1/pod.json")
    new = Image([None])
    store("load", "-", stdin=archive(("localhost/one:1", new)))
    os.rename(store.run + "/pods/u2/status.json", store.run + "/pods/u2/status.old")
    with open(store.run + "/pods/u2/status.json", "w") as f:
        json.dump({"containerStatuses": [{"imageID": one.id}]}, f)
    assert store.json("prune", "--all")["deleted"] == [new.id]
    shutil.rmtree(store.run + "/pods")
    assert store.json("prune")["deleted"] == [one.id]
    assert store.layers() == set() and os.listdir(store.images + "/blobs/sha256") == []


def configure_node(store, text):
    os.makedirs(store.root, exist_ok=True)
    with open(store.root + "/config.yaml", "w") as f:
        f.write(text)


def image_named(store, name):
    return next(i for i in store.json("ls") if name in i["repoTags"])


def test_a_full_disk_is_emptied_of_what_was_not_used_for_longest(tmp_path):
    """A disk of its own, of 128 MiB; an image takes 12 of them, and its blob again as much."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(disk)], check=True)
    try:
        store = Store(disk)
        configure_node(store, "imageGCHighThresholdPercent: 60\nimageGCLowThresholdPercent: 40\nimageMinimumGCAge: 0s\n")

        def load(name, *flags):
            store("load", *flags, "-", stdin=archive((name, Image([tar(("f", os.urandom(12 << 20)))], "plain"))))
            if "--pin" not in flags:
                store("tag", name, name, "--unpin")  # as if it had been pulled

        def names():
            return {n for i in store.json("ls") for n in i["repoTags"]}
        pinned, used, old, young = ("localhost/%s:1" % n for n in ("pinned", "used", "old", "young"))
        load(pinned, "--keep-free", "1M", "--pin")
        load(used, "--keep-free", "1M")
        assert names() == {pinned, used}  # some 48 MiB of 128
        os.makedirs(store.root + "/pods/u")
        with open(store.root + "/pods/u/pod.json", "w") as f:
            json.dump({"spec": {"containers": [{"name": "a", "image": used}]}}, f)
        load(old, "--keep-free", "1M")
        os.utime("%s/images/sha256/%s.json" % (store.images, image_named(store, old)["id"][7:]), (1, 1))
        load(young, "--keep-free", "1M")  # 96 MiB: too many; the oldest that is neither used nor pinned goes
        assert old not in names() and {pinned, used} <= names()
        configure_node(store, "imageGCHighThresholdPercent: 100\nimageGCLowThresholdPercent: 80\nimageMaximumGCAge: 1h\n")
        load(old, "--keep-free", "1M")
        store("gc")
        assert old in names()
        loaded = "localhost/loaded:1"
        store("load", "--keep-free", "1M", "-", stdin=archive((loaded, Image([tar(("f", b"x"))], "plain"))))
        os.utime("%s/images/sha256/%s.json" % (store.images, image_named(store, loaded)["id"][7:]), (1, 1))
        os.utime("%s/images/sha256/%s.json" % (store.images, image_named(store, old)["id"][7:]), (1, 1))
        assert "Untagged: " + old in store("gc")  # too old, however empty the disk is
        assert {pinned, used, loaded} <= names() and old not in names()  # what was loaded no pull would bring again
        store("prune", "--all")
        assert loaded not in names()
        store("verify", "--keep-free", "1M")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_garbage_collection_beside_a_pull_takes_no_names_and_damage_takes_no_images(store):
    store("load", "-", stdin=archive(("localhost/a:1", Image([None]))))
    store("tag", "localhost/a:1", "localhost/a:1", "--unpin")  # as if it had been pulled
    image = image_named(store, "localhost/a:1")
    configure_node(store, "imageGCHighThresholdPercent: 100\nimageMaximumGCAge: 1h\n")
    os.utime("%s/images/sha256/%s.json" % (store.images, image["id"][7:]), (1, 1))
    with open(store.images + "/lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as somebody who pulls holds it
        store("gc")
        assert image_named(store, "localhost/a:1")
    os.makedirs(store.root + "/pods/u")
    with open(store.root + "/pods/u/pod.json", "w") as f:
        f.write("{")
    assert "which images its pod uses is not known" in store("gc", code=1)
    os.unlink(store.root + "/pods/u/pod.json")
    assert "Untagged: localhost/a:1" in store("gc")


def test_names_are_given_taken_and_pinned(store):
    image = Image([None])
    store("load", "-", stdin=archive(("localhost/a:1", image)))
    store("tag", "localhost/a:1", "localhost/b:2")
    assert store.json("ls")[0]["repoTags"] == ["localhost/a:1", "localhost/b:2"]
    store("rm", "localhost/a:1")
    assert store.json("inspect", "localhost/b:2")[0]["id"] == image.id
    store("inspect", "localhost/a:1", code=3)
    assert store.json("inspect", image.id[7:20])[0]["repoTags"] == ["localhost/b:2"]
    store("tag", "--pin", "localhost/b:2", "localhost/b:2")
    assert store.json("prune", "--all")["deleted"] == []
    store("tag", "--unpin", "localhost/b:2", "localhost/b:2")
    assert store.json("prune", "--all")["deleted"] == [image.id]
    assert os.listdir(store.images + "/references") == []
    assert "not present" in store("rm", "localhost/b:2", code=3)
    assert store("ls", "-q") == ""


def test_removing_keeps_what_another_image_shares(store):
    base = tar(("base", "1"))
    one, two = Image([base, None]), Image([base, None])
    store("load", "-", stdin=archive(("localhost/one:1", one), ("localhost/two:1", two)))
    store("rm", one.id)
    assert store.layers() == {d[7:] for d in two.diff_ids}
    store("verify")
    assert "REPOSITORY" in store("ls") and "localhost/two" in store("ls") and "localhost/one" not in store("ls")
    assert store.json("df")["layers/sha256"]["count"] == 2


def test_saved_images_are_read_by_others_and_come_back_the_same(store, tmp_path):
    one, two = Image([None, None], ["gzip", "zstd"]), Image([None])
    store("load", "-", stdin=archive(("localhost/one:1", one), ("localhost/two:1", two)))
    path = str(tmp_path / "out.tar")
    store("save", "--output", path, "localhost/one:1", "localhost/two:1")
    other = Store(tmp_path / "other")
    other("load", path)
    assert {i["id"] for i in other.json("ls")} == {one.id, two.id}
    assert other.json("inspect", "localhost/one:1")[0]["repoDigests"] == ["localhost/one@" + one.digest]
    skopeo("oci-archive:%s:localhost/one:1" % path, "dir:" + str(tmp_path / "dir"))
    skopeo("docker-archive:%s:localhost/two:1" % path, "dir:" + str(tmp_path / "dir2"))
    piped = subprocess.run([PROGRAM, "save", "localhost/one:1"], env=store.env, stdout=subprocess.PIPE, check=True).stdout
    third = Store(tmp_path / "third")
    third("load", "-", stdin=piped)
    blob = store.images + "/blobs/sha256/" + one.layer_digests[0][7:]
    with open(blob, "r+b") as f:
        f.write(b"broken")
    assert "damaged" in store("save", "--output", path + "2", "localhost/one:1", code=7)
    assert not [n for n in os.listdir(tmp_path) if n.startswith("out.tar2")]


def test_layers_are_saved_under_the_type_of_their_compression(store, tmp_path):
    layers = [tar(("a", "1")), tar(("b", "2")), tar(("c", "3"))]
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(l) for l in layers]}})
    blobs = [compress(l, how) for l, how in zip(layers, ("gzip", "zstd", "plain"))]
    entries = {"Config": "c.json", "RepoTags": ["localhost/d:1"], "Layers": ["%d/layer.tar" % i for i in range(3)]}
    store("load", "-", stdin=tar(("c.json", config), *(("%d/layer.tar" % i, b) for i, b in enumerate(blobs)), ("manifest.json", json.dumps([entries]))))
    store("save", "--output", str(tmp_path / "saved.tar"), "localhost/d:1")
    with tarfile.open(tmp_path / "saved.tar") as t:
        index = json.load(t.extractfile("index.json"))
        manifest = json.load(t.extractfile("blobs/sha256/" + index["manifests"][0]["digest"][7:]))
    assert [l["mediaType"].split(".")[-1] for l in manifest["layers"]] == ["tar+gzip", "tar+zstd", "tar"]


def test_verify_finds_what_is_wrong_and_repairs_it(store):
    image = Image([tar(("d/f", "right"), (entry("m", mode=0o4755), "m"), entry("l", tarfile.SYMTYPE, linkname="d")), None])
    store("load", "-", stdin=archive(("localhost/v:1", image)))
    layer = store.layer(image.diff_ids[0])
    record = store.images + "/images/sha256/" + image.id[7:] + ".json"

    def change(path):
        st = os.stat(path)
        with open(path, "w") as f:
            f.write("wrong")
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    damages = [lambda: change(layer + "/d/f"), lambda: os.chmod(layer + "/m", 0o755), lambda: os.chown(layer + "/m", 1, 1),
               lambda: os.unlink(layer + "/l"), lambda: open(layer + "/new", "w").close(), lambda: os.setxattr(layer + "/d", "user.x", b"y"),
               lambda: shutil.rmtree(os.path.dirname(layer)), lambda: open(record, "w").write("{"), lambda: os.unlink(record)]
    for i, damage in enumerate(damages):
        damage()
        assert "damaged: --repair" in store("verify", code=7), i
        out = store.json("verify", "--repair")
        assert len(out["problems"]) == 1 and out["problems"][0]["repaired"], (i, out)
        assert json.loads(store("verify", "-o", "json"))["problems"] == []
        assert content(layer + "/d/f") == "right" and store.under_way() == []
    # beyond repair: the blob is damaged too; the image counts as not present, and loading brings it back
    with open(store.images + "/blobs/sha256/" + image.layer_digests[0][7:], "r+b") as f:
        f.write(b"broken")
    assert "beyond repair" in store("verify", "--repair", code=7)
    store("inspect", "localhost/v:1", code=3)
    store("load", "-", stdin=archive(("localhost/v:1", image)))
    assert json.loads(store("verify", "-o", "json"))["problems"] == []


def test_a_file_with_a_hole_of_a_terabyte_is_verified_at_once(store):
    info = tarfile.TarInfo("lastlog")
    info.pax_headers = {"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "%d,6" % ((1 << 40) - 6)}
    image = Image([tar((info, "at end"))])
    store("load", "-", stdin=archive(("localhost/hole:1", image)))
    store("verify")
    with open(store.layer(image.diff_ids[0]) + "/lastlog", "r+b") as f:
        times = os.fstat(f.fileno())
        f.seek(1 << 39)
        f.write(b"!")
    os.utime(f.name, ns=(times.st_atime_ns, times.st_mtime_ns))
    out = store.json("verify", "--repair")
    assert "/lastlog" in out["problems"][0]["problem"] and out["problems"][0]["repaired"]
    store("verify")


def test_history_and_inspect_show_what_is_known(store):
    image = Image([None])
    config = json.loads(image.blobs[image.id])
    config["history"] = [{"created": "2024-01-02T03:04:05Z", "created_by": "/bin/sh -c #(nop) ADD file:x in / "},
                         {"created_by": "/bin/sh -c #(nop)  CMD [\"sh\"]\x1b[31m", "empty_layer": True}]
    text = json.dumps(config).encode()
    manifest = json.loads(image.manifest)
    manifest["config"].update(digest=digest(text), size=len(text))
    image.blobs[digest(text)] = text
    image.manifest = json.dumps(manifest).encode()
    image.digest = digest(image.manifest)
    store("load", "-", stdin=archive(("localhost/h:1", image)))
    rows = store.json("history", "localhost/h:1")
    assert [r["diffId"] for r in rows] == [None, image.diff_ids[0]]
    out = store("history", "localhost/h:1")
    assert "ADD file:x in /" in out and "\x1b" not in out
    shown = json.loads(store("inspect", "localhost/h:1"))[0]
    assert shown["config"]["config"]["Cmd"] == ["/x"] and shown["layers"][0]["folder"] == store.layer(image.diff_ids[0])


def test_bars_are_drawn_on_a_terminal_and_nowhere_else(store, registry):
    image = Image([tar(("f", os.urandom(2 << 20)))], "plain")
    reference = registry.add("app", image)
    registry.hook = lambda h, kind, what: what in image.layer_digests and (registry.send_blob(h, registry.blobs[what], delay=0.03), True)[1]
    master, slave = pty.openpty()
    p = subprocess.Popen([PROGRAM, "pull", reference], env=store.env, stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    seen = b""
    with contextlib.suppress(OSError):
        while True:
            data = os.read(master, 65536)
            if not data:
                break
            seen += data
    os.close(master)
    assert p.stdout.read().decode().startswith(reference) and p.wait() == 0
    assert image.layer_digests[0][7:19].encode() in seen and b"downloading" in seen and b"/ 2.1 MB" in seen and re.search(rb"MB/s  \d+s", seen)
    store("rm", reference)
    p = subprocess.run([PROGRAM, "pull", reference], env=store.env, capture_output=True)
    assert p.stderr == b""


def test_help_and_usage(store):
    out = store("--help")
    for verb in ("pull", "load", "ls", "inspect", "history", "tag", "rm", "prune", "save", "df", "verify"):
        assert re.search(r"^  %s " % verb, out, re.M), verb
    assert "10 in use" in out
    for args in ([], ["frobnicate"], ["pull"], ["pull", "a", "b"], ["--frob", "ls"], ["ls", "-o", "xml"], ["pull", "x", "--parallel", "many"]):
        store(*args, code=2)
