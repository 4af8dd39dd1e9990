"""Images from where it is hard: an nginx mirror that fails on purpose before Debian's docker-registry with TLS and passwords, a
proxy, registries that limit how often they are asked, pods and people who want the same image at once."""
import base64
import contextlib
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import tarfile
import threading

import pytest

from conftest import HUSK, SLOW, until
from test_image import (Image, archive, bcrypt, debian_registry, entry, free_port, make_certificate,  # noqa: F401
                        registry, skopeo, store, tar)

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  containers:
  - {name: a, image: "%s", command: [/bin/busybox, sleep, "100000"]}
"""


# --- nginx -------------------------------------------------------------------------------------------------------------

class Nginx:
    """Debian's, with the locations of a test; what it was asked and how it answered is in its access log."""

    def __init__(self, folder, locations, head=""):
        self.folder, self.port = folder + "/nginx", free_port()
        self.host = "127.0.0.1:%d" % self.port
        os.makedirs(self.folder)
        with open(self.folder + "/nginx.conf", "w") as f:
            f.write("""user root;
daemon off;
worker_processes 1;
pid {0}/pid;
error_log {0}/error.log;
events {{}}
http {{
    log_format asked '$uri $status "$http_range"';
    access_log {0}/access.log asked;
    client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;
    default_type application/octet-stream;
    {3}
    server {{
        listen 127.0.0.1:{1};
        {2}
    }}
}}
""".format(self.folder, self.port, locations, head))
        self.process = subprocess.Popen(["nginx", "-c", self.folder + "/nginx.conf", "-p", self.folder], stderr=subprocess.DEVNULL)

        def listens():
            assert self.process.poll() is None, self.read("error.log")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
        until("nginx listens", listens)

    def read(self, file):
        with contextlib.suppress(OSError), open(self.folder + "/" + file) as f:
            return f.read()
        return ""

    def asked(self, what):
        """[(status, range)] of requests whose path ends so."""
        return [(int(s), r) for u, s, r in re.findall(r'^(\S+) (\d+) "(.*)"$', self.read("access.log"), re.M) if u.endswith(what)]

    def workers(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            return [int(pid) for pid in f.read().split()]

    def close(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def nginx(tmp_path):
    started = []

    def start(locations, head=""):
        started.append(Nginx(str(tmp_path), locations, head))
        return started[-1]
    yield start
    for one in started:
        one.close()


def put_files(folder, image, name):
    """The image as files that nginx serves: a registry that can only be read."""
    os.makedirs(folder + "/v2/%s/blobs" % name)
    os.makedirs(folder + "/v2/%s/manifests" % name)
    for d, data in image.blobs.items():
        with open(folder + "/v2/%s/blobs/%s" % (name, d), "wb") as f:
            f.write(data)
    for tag in ("1", image.digest):
        with open(folder + "/v2/%s/manifests/%s" % (name, tag), "wb") as f:
            f.write(image.manifest)


MANIFESTS = "location ~ /manifests/ { root %s; default_type application/vnd.oci.image.manifest.v1+json; }\n"


def test_what_a_mirror_fails_at_comes_from_the_registry_behind_it(store, nginx, tmp_path):
    """TLS and passwords at the registry; the mirror answers each layer in another bad way."""
    folder = str(tmp_path)
    image = Image([tar(("f%d" % i, os.urandom(300000))) for i in range(8)])
    good, errors, missing, lies, patience, silent, slow, short = image.layer_digests
    put_files(folder, image, "app")
    for d, change in ((lies, lambda data: data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]), (short, lambda data: data[:-1000])):
        with open(folder + "/v2/app/blobs/" + d, "wb") as f:
            f.write(change(image.blobs[d]))
    blob = "location = /v2/app/blobs/%s { %s }\n"
    mirror = nginx(MANIFESTS % folder + "location /v2/ { root %s; }\n" % folder + blob % (errors, "return 500 '{}';") + blob % (missing, "return 404;")
                   + blob % (patience, "add_header Retry-After 3000 always; return 429 '{}';") + blob % (silent, "return 444;")
                   + blob % (slow, "root %s; limit_rate 500k;" % folder))
    cert, key = make_certificate(folder)
    (tmp_path / "htpasswd").write_text(bcrypt("user", "secret"))
    (tmp_path / "a.tar").write_bytes(archive(("localhost/src:1", image)))
    with debian_registry(folder, tls=(cert, key), htpasswd=folder + "/htpasswd") as host:
        skopeo("--dest-tls-verify=false", "--dest-creds=user:secret", "oci-archive:%s/a.tar:localhost/src:1" % folder, "docker://%s/app:1" % host)
        store.configure("[[registry]]\nprefix = 'images.example'\nlocation = '%s'\n[[registry.mirror]]\nlocation = '%s'\ninsecure = true\n" % (host, mirror.host))
        with open(folder + "/auth.json", "w") as f:
            json.dump({"auths": {host: {"auth": base64.b64encode(b"user:secret").decode()}}}, f)
        os.makedirs(folder + "/certs/" + host)
        os.link(cert, folder + "/certs/" + host + "/ca.crt")
        out = store.json("pull", "--certs-dir", folder + "/certs", "--credentials-file", folder + "/auth.json", "images.example/app:1")
    assert out["layersFetched"] == 8
    assert [{s for s, _ in mirror.asked("/" + d)} for d in (good, errors, missing, lies, patience, slow)] == [{200}, {500}, {404}, {200}, {429}, {200}]
    assert mirror.asked("/" + short)[0] == (200, "-")
    assert len(mirror.asked("/" + errors)) == 2 and len(mirror.asked("/" + patience)) == 1 and len(mirror.asked("/" + lies)) == 1
    assert mirror.asked("/" + silent)
    store("verify")
    # with nobody behind it, one that lies is refused
    liar = Image([tar(("f", os.urandom(1000)))])
    put_files(folder, liar, "liar")
    with open(folder + "/v2/liar/blobs/" + liar.layer_digests[0], "ab") as f:
        f.truncate(os.stat(f.name).st_size - 8)
        f.write(b"whatever")
    assert "wrong digest" in store("pull", mirror.host + "/liar:1", code=7)
    assert liar.diff_ids[0][7:] not in store.layers()


def test_a_server_that_dies_in_the_middle_of_a_layer_is_gone_on_with_where_it_stopped(store, nginx, tmp_path):
    folder = str(tmp_path)
    image = Image([tar(("f", os.urandom(6 << 20)))], "plain")
    put_files(folder, image, "app")
    server = nginx(MANIFESTS % folder + "location /v2/app/blobs/ { root %s; limit_rate 4m; }\n" % folder)
    p = store.start("pull", "-o", "json", server.host + "/app:1")
    part = store.images + "/ingest/blob-" + image.layer_digests[0][7:]
    until("a part came", lambda: os.path.exists(part) and os.stat(part).st_size > 1 << 20)
    for worker in server.workers():
        os.kill(worker, signal.SIGKILL)  # the master starts another one
    out, err = p.communicate(timeout=60 * SLOW)
    assert p.returncode == 0, err
    assert json.loads(out)["fetched"] == len(image.blobs[image.layer_digests[0]])  # no byte came twice
    statuses = server.asked("/" + image.layer_digests[0])
    assert statuses[-1][0] == 206 and re.fullmatch(r"bytes=\d{6,}-", statuses[-1][1]), statuses
    store("verify")


def test_a_registry_that_limits_requests_is_asked_as_often_as_it_likes(store, nginx, tmp_path):
    folder = str(tmp_path)
    image = Image([None, None, None])
    put_files(folder, image, "app")
    server = nginx(MANIFESTS % folder + "location /v2/app/blobs/ { root %s; limit_req zone=few; limit_req_status 429; add_header Retry-After 1 always; }\n" % folder,
                   head="limit_req_zone $binary_remote_addr zone=few:1m rate=2r/s;")
    out = store.json("pull", server.host + "/app:1")
    assert out["layersFetched"] == 3
    assert "429" in server.read("access.log")
    store("verify")


def test_foreign_layers_come_from_the_address_in_the_manifest(store, registry, nginx, tmp_path):
    """Nobody redistributes them: the registry has the manifest and the configuration alone."""
    folder = str(tmp_path)
    cert, key = make_certificate(folder)
    image = Image([None, None])
    port = free_port()
    foreign = nginx("listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s; location /files/ { root %s; }" % (port, cert, key, folder))
    os.makedirs(folder + "/files")
    manifest, victim = json.loads(image.manifest), image.layer_digests[0]
    with open(folder + "/files/layer", "wb") as f:
        f.write(image.blobs.pop(victim))
    manifest["layers"][0].update(mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                                 urls=["https://127.0.0.1:%d/files/layer" % port])
    registry.blobs.update(image.blobs)
    reference = registry.add_text("foreign", "1", manifest, "application/vnd.oci.image.manifest.v1+json")
    assert store.json("pull", "--ca-file", cert, reference)["layersFetched"] == 2
    assert [s for s, _ in foreign.asked("/files/layer")] == [200] and os.path.exists(store.layer(image.diff_ids[0]) + "/f0")


# --- proxies -----------------------------------------------------------------------------------------------------------

class Proxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy that leads every name to one address; `asked` has the first line of each request."""
    daemon_threads, allow_reuse_address = True, True

    def __init__(self, target):
        self.target, self.asked = target, []
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.url = "http://127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return
                head += line
            first = head.split(b"\r\n")[0].decode()
            self.server.asked.append(first)
            with socket.create_connection(self.server.target) as to:
                if first.startswith("CONNECT "):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                else:  # the target's own form, and one request for each connection
                    head = re.sub(rb"^(\S+) http://[^/]+", rb"\1 ", head)
                    to.sendall(re.sub(rb"\r\n\r\n$", b"\r\nConnection: close\r\n\r\n", head))
                self.pump(to)

        def pump(self, to):
            def copy(a, b):
                with contextlib.suppress(OSError):
                    while True:
                        data = a.recv(65536)
                        if not data:
                            break
                        b.sendall(data)
                    b.shutdown(socket.SHUT_WR)
            up = threading.Thread(target=copy, args=(self.connection, to), daemon=True)
            up.start()
            copy(to, self.connection)
            up.join(5)


@contextlib.contextmanager
def proxy_to(host):
    name, port = host.rsplit(":", 1)
    server = Proxy((name, int(port)))
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def test_registries_are_asked_through_the_proxy_but_for_those_named(store, registry, tmp_path):
    reference = registry.add("team/app", Image([None, None])).replace(registry.host, "far.test")
    with proxy_to(registry.host) as proxy:
        # HTTP: a registry that is called insecure, and speaks nothing else
        for name in ("HTTP_PROXY", "http_proxy", "all_proxy"):
            store.env[name] = proxy.url
            proxy.asked.clear()
            store("pull", "--insecure", "far.test", reference)
            assert "GET http://far.test/v2/team/app/manifests/1 HTTP/1.1" in proxy.asked, proxy.asked
            store("rm", reference)
            # loopback addresses and those of no_proxy are asked without it
            proxy.asked.clear()
            store("pull", registry.host + "/team/app:1")
            store("rm", registry.host + "/team/app:1")
            for no in ("NO_PROXY", "no_proxy"):
                store.env[no] = "other.test,.test"
                assert "no such host name" in store("pull", "--insecure", "far.test", reference, code=5)
                del store.env[no]
            assert proxy.asked == []
            del store.env[name]
    # HTTPS: a tunnel, through which the registry's certificate is seen and checked
    folder = str(tmp_path)
    cert, key = make_certificate(folder)
    (tmp_path / "a.tar").write_bytes(archive(("localhost/src:1", Image([None]))))
    with debian_registry(folder, tls=(cert, key)) as host, proxy_to(host) as proxy:
        skopeo("--dest-tls-verify=false", "oci-archive:%s/a.tar:localhost/src:1" % folder, "docker://%s/app:1" % host)
        for name in ("HTTPS_PROXY", "https_proxy"):
            store.env[name] = proxy.url
            proxy.asked.clear()
            err = store("pull", "--ca-file", cert, "far.test/app:1", code=5)
            assert set(proxy.asked) == {"CONNECT far.test:443 HTTP/1.1"} and "certificate" in err  # it is another name's
            del store.env[name]
        store.env["https_proxy"] = "http://127.0.0.1:%d" % free_port()
        store("pull", "--retries", "0", "far.test/app:1", code=5)


# --- pods --------------------------------------------------------------------------------------------------------------

def busybox_image(*layers):
    with open("/bin/busybox", "rb") as f:
        return Image([tar(entry("bin", tarfile.DIRTYPE, mode=0o755), (entry("bin/busybox", mode=0o755), f.read())), *layers])


def test_pods_and_people_who_want_an_image_at_once_share_its_download(own_node, registry):
    image = busybox_image(tar(("f", os.urandom(400000))))
    reference = registry.add("app", image)
    registry.hook = lambda h, kind, what: what in image.layer_digests and (registry.send_blob(h, registry.blobs[what], delay=0.05), True)[1]
    own_node.husk("apply", "-f", "-", input=POD % ("one", reference) + "---" + POD % ("two", reference))
    people = [subprocess.Popen([HUSK, "image", "pull", reference], env=own_node.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    for name in ("one", "two"):
        own_node.running(name)
    for p in people:
        assert p.wait(60 * SLOW) == 0, p.stderr.read()
    assert sorted(registry.asked("blobs")) == sorted(image.layer_digests + [image.id])
    own_node.delete_all()
    own_node.nothing_left()


def waits_with(node, name, *reasons):
    pod = node.wait(name, "a reason", lambda p: [s for s in p["status"].get("containerStatuses", [])
                    if s["state"].get("waiting", {}).get("reason") in reasons])
    return pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]


def test_an_image_that_a_secret_brought_is_not_for_pods_without_it(own_node, registry):
    """KubeletEnsureSecretPulledImages, as a kubelet of Kubernetes 1.36 has it on."""
    wanted = "Basic " + base64.b64encode(b"user:right").decode()
    registry.hook = lambda h, kind, what: h.headers.get("Authorization") != wanted and (
        h.answer(401, b"{}", WWW_Authenticate='Basic realm="r"') or True)
    reference = registry.add("team/app", busybox_image())

    def secret(name, password):
        own_node.husk("create", "secret", "docker-registry", name, "--docker-server=" + registry.host,
                      "--docker-username=user", "--docker-password=" + password)

    def apply(name, secrets=(), policy="IfNotPresent"):
        text = POD.replace("image:", "imagePullPolicy: %s, image:" % policy) % (name, reference)
        own_node.husk("apply", "-f", "-", input=text + "  imagePullSecrets: [%s]\n" % ", ".join("{name: %s}" % s for s in secrets))

    secret("wrong", "wrong")
    secret("right", "right")
    apply("first", ["wrong", "right"])  # of two for one registry each is tried
    own_node.running("first")
    asked = len(registry.requests)
    apply("second", ["right"])
    apply("third", ["wrong", "right"], "Never")
    own_node.running("second")
    own_node.running("third")
    assert len(registry.requests) == asked  # they need not ask
    apply("stranger")
    apply("liar", ["wrong"])
    apply("never", policy="Never")
    assert "does not exist in registry %s, or needs credentials" % registry.host in waits_with(own_node, "stranger", "ErrImagePull")
    assert "needs other credentials" in waits_with(own_node, "liar", "ErrImagePull")
    assert "is not present with pull policy of Never" in waits_with(own_node, "never", "ErrImageNeverPull")
    own_node.husk("image", "tag", reference, "localhost/given:1")  # by whoever runs the machine
    own_node.husk("apply", "-f", "-", input=POD.replace("image:", "imagePullPolicy: Never, image:") % ("given", "localhost/given:1"))
    own_node.running("given")
    registry.hook = None  # now anybody may have it: who asked for it notes so
    apply("stranger-too")
    own_node.running("stranger-too")
    apply("anybody", policy="Never")
    own_node.running("anybody")
    own_node.delete_all()
    own_node.nothing_left()
    own_node.husk("image", "rm", reference, "localhost/given:1")
    assert os.listdir(own_node.root + "/images/access/sha256") == []


def test_a_pod_tells_why_its_registry_gives_nothing(own_node, registry):
    """Too many requests: the words stand in its status and its events, and it goes on when the registry does."""
    reference = registry.add("app", busybox_image())
    text = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}'
    registry.hook = lambda handler, kind, what: handler.answer(429, text, Retry_After="3000") or True
    own_node.husk("apply", "-f", "-", input=POD % ("one", reference))
    pod = own_node.wait("one", "a failed pull", lambda p: [s for s in p["status"].get("containerStatuses", [])
                        if s["state"].get("waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff")])
    words = "limits how often images are pulled (429)"
    assert len(registry.requests) <= 2, registry.requests  # it is not asked again before its time
    assert words in pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    events = [e for e in json.loads(own_node.husk("get", "events", "-o", "json").out)["items"] if e["reason"] == "Failed"]
    assert any(words in e["message"] and "You have reached your pull rate limit" in e["message"] and "try again in 3000 s" in e["message"] for e in events), events
    registry.hook = None
    own_node.running("one", timeout=60)
    own_node.delete_all()
    own_node.nothing_left()
