"""containerd as a kubelet drives it: a pod with containers, started over CRI, for bench/run. Needs python3-grpcio.

Messages are encoded by hand from the numbers of the CRI's api.proto (kubernetes/cri-api, v1): a dozen fields, and no generated
code of megabytes. In a message, a text, a message or a number is given as {field number: value}; a list repeats the field."""
import glob
import os
import shutil
import subprocess
import time

try:
    import grpc
except ImportError:  # another Python than Debian's, say
    grpc = None

from node import TOP

# In a mount namespace of its own, with the unified hierarchy of a hybrid host covered: crun does not start with both.
COVERED = ["unshare", "-m", "sh", "-c", '[ -d /sys/fs/cgroup/unified ] && mount -t tmpfs none /sys/fs/cgroup/unified; exec "$@"', "sh"]

# No network plugin (the pod is the host's), no streaming, no lower OOM scores than the caller may give; versions 1 and 2 read it.
CONFIG = """version = 2
root = "%(folder)s/root"
state = "%(folder)s/state"
[grpc]
  address = "%(address)s"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%(image)s"
  disable_tcp_service = true
  stream_server_port = "0"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = "%(runtime)s"
"""
NODE = 2  # NamespaceMode


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def encode(message):
    out = b""
    for field, value in message.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                out += varint(field << 3) + varint(one)
            else:
                data = encode(one) if isinstance(one, dict) else one.encode()
                out += varint(field << 3 | 2) + varint(len(data)) + data
    return out


def first_text(data):
    """Field 1 of an answer, which has the id that was made."""
    assert data[0] == 1 << 3 | 2
    return data[2:2 + data[1]].decode()


class Cri:
    def __init__(self, folder):
        self.folder, self.address, self.image = folder + "/cri", folder + "/cri.sock", "localhost/husk/pause:1"
        os.makedirs(self.folder + "/logs")
        archive = self.folder + "/image.tar"
        subprocess.run([TOP + "/scripts/make-image", archive, self.image, "--busybox", "--cmd", "sleep", "100000"], check=True)
        with open(self.folder + "/config.toml", "w") as f:
            f.write(CONFIG % {"folder": self.folder, "address": self.address, "image": self.image, "runtime": shutil.which("runc") or "crun"})
        self.errors = open(self.folder + "/errors", "w+")
        self.process = subprocess.Popen([*COVERED, "containerd", "-c", self.folder + "/config.toml"], stdout=subprocess.DEVNULL, stderr=self.errors)
        self.sandbox = self.channel = None
        try:
            self.connect(archive)
        except Exception:
            self.close()
            raise

    def connect(self, archive):
        self.channel = grpc.insecure_channel("unix://" + self.address)
        deadline = time.time() + 30
        while True:
            try:
                self.call("Version", {})
                break
            except grpc.RpcError as e:
                if time.time() > deadline or self.process.poll() is not None:
                    raise RuntimeError("%s %s" % (e.details(), self.said()))
                time.sleep(0.1)
        r = subprocess.run(["ctr", "-a", self.address, "-n", "k8s.io", "images", "import", archive], capture_output=True, text=True, timeout=60)
        if r.returncode:
            raise RuntimeError("ctr images import: " + r.stderr.strip())

    def said(self):
        self.errors.seek(0)
        return self.errors.read()[-300:]

    def call(self, method, message):
        return self.channel.unary_unary("/runtime.v1.RuntimeService/" + method)(encode(message), timeout=60)

    def run(self, flood, n):
        """A pod of n containers that run `flood`, each with a log as a kubelet has it."""
        config = {1: {1: "flood", 2: "flood-uid", 3: "default"}, 3: self.folder + "/logs", 8: {1: "/husk-bench/cri", 2: {1: {1: NODE}}}}
        self.sandbox = first_text(self.call("RunPodSandbox", {1: config}))
        for i in range(n):
            container = {1: {1: "c%d" % i}, 2: {1: self.image}, 3: ["/flood"], 7: {1: "/flood", 2: flood, 3: 1}, 11: "c%d.log" % i, 15: {}}
            made = first_text(self.call("CreateContainer", {1: self.sandbox, 2: container, 3: config}))
            self.call("StartContainer", {1: made})

    def close(self):
        for method in "StopPodSandbox", "RemovePodSandbox":
            try:
                if self.sandbox:
                    self.call(method, {1: self.sandbox})
            except grpc.RpcError:
                pass
        if self.channel:
            self.channel.close()
        self.process.terminate()
        self.process.wait()
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        for path in glob.glob("/sys/fs/cgroup/*/husk-bench/cri"):
            os.rmdir(path)
