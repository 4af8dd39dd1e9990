"""Verbs that make and change objects: create NAME, set image, diff, edit, apply's flags, delete's questions."""
import base64
import json
import os
import stat
import threading

from conftest import BUSYBOX, HUSK, pod_text, sleeper

POD = pod_text(sleeper("app"))


def busy(label):
    return pod_text(sleeper("app"), name="busy", labels="{x: %s}" % label)


def test_a_config_map_is_made_of_files_values_and_env_files(node, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/text").write_text("hello\n")
    (tmp_path / "d/bytes").write_bytes(b"\xff\x00")
    (tmp_path / "d/not a key").write_text("x")
    (tmp_path / "e.env").write_text("# comment\n\n A=1=2\nFROM_HERE\r\n")
    node.husk("create", "configmap", "one", "--from-file=%s" % (tmp_path / "d"), "--from-file=k=%s" % (tmp_path / "d/text"),
              "--from-literal=q='v w'")
    one = node.get("one", "configmap")
    assert one["data"] == {"text": "hello\n", "k": "hello\n", "q": "v w"} and base64.b64decode(one["binaryData"]["bytes"]) == b"\xff\x00"
    node.husk("create", "cm", "two", "--from-env-file=%s" % (tmp_path / "e.env"), env={"FROM_HERE": "yes"})
    assert node.get("two", "configmap")["data"] == {"A": "1=2", "FROM_HERE": "yes"}
    r = node.fails("create", "configmap", "three", "--from-literal=a=1", "--from-literal=a=2")
    assert "another key by that name already exists" in r.err
    assert "AlreadyExists" in node.fails("create", "configmap", "two").err


def test_secrets_of_each_type_are_made_from_the_command_line(node, tmp_path):
    node.husk("create", "secret", "generic", "s", "--from-literal=password=hunter2", "--type=example.com/x")
    s = node.get("s", "secret")
    assert s["type"] == "example.com/x" and base64.b64decode(s["data"]["password"]) == b"hunter2"
    r = node.husk("create", "secret", "docker-registry", "r", "--docker-server=r.example", "--docker-username=u",
                  "--docker-password=p", "--dry-run=client", "-o", "json")
    made = json.loads(r.out)
    assert made["type"] == "kubernetes.io/dockerconfigjson" and "uid" not in made["metadata"]
    login = json.loads(base64.b64decode(made["data"][".dockerconfigjson"]))["auths"]["r.example"]
    assert login == {"username": "u", "password": "p", "auth": base64.b64encode(b"u:p").decode()}
    (tmp_path / "crt").write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\n")
    node.husk("create", "secret", "tls", "t", "--cert=%s" % (tmp_path / "crt"), "--key=%s" % (tmp_path / "key"))
    assert node.get("t", "secret")["type"] == "kubernetes.io/tls"
    assert "BEGIN CERTIFICATE" in node.fails("create", "secret", "tls", "u", "--cert=%s" % (tmp_path / "key"), "--key=%s" % (tmp_path / "key")).err
    assert node.get("r", "secret") is None


def test_set_image_restarts_one_container_and_says_which_it_does_not_know(node):
    node.load("--busybox", reference="localhost/husk/busybox:2")
    node.apply(POD)
    node.running("web")
    assert "unable to find container named \"nobody\"" in node.fails("set", "image", "pod/web", "nobody=x").err
    assert node.husk("set", "image", "pod/web", "app=localhost/husk/busybox:2").out == "pod/web image updated\n"
    node.wait("web", "restart", lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 1 and "running" in p["status"]["containerStatuses"][0]["state"])
    r = node.husk("set", "image", "-f", "-", "*=x:1", "--local", "-o", "jsonpath={.spec.containers[0].image}", input=POD)
    assert r.out == "x:1"


def test_diff_shows_what_apply_would_change_and_no_secret(node):
    assert "+  name: web" in node.husk("diff", "-f", "-", input=POD, check=False).out
    node.apply(POD)
    assert node.husk("diff", "-f", "-", input=POD).out == ""
    r = node.husk("diff", "-f", "-", input=POD.replace("app: web", "app: front"), check=False)
    assert r.code == 1 and "-    app: web" in r.out and "+    app: front" in r.out
    assert node.husk("diff", "-f", "/nonexistent", check=False).code == 2
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: same, b: %s}\n"
    node.apply(secret % "hunter2")
    r = node.husk("diff", "-f", "-", input=secret % "hunter3", check=False)
    assert r.code == 1 and "*** (before)" in r.out and "*** (after)" in r.out
    assert base64.b64encode(b"hunter2").decode() not in r.out and "hunter3" not in r.out


def editor(tmp_path, script):
    path = tmp_path / "editor"
    path.write_text("#!/bin/sh\n" + script)
    os.chmod(path, stat.S_IRWXU)
    return {"EDITOR": str(path), "KUBE_EDITOR": ""}


def test_edit_stores_what_the_editor_leaves_and_shows_mistakes_above_the_text(node, tmp_path):
    node.apply(POD)
    node.running("web")  # until it is placed, its spec changes by itself
    r = node.husk("edit", "pod", "web", env=editor(tmp_path, 'sed -i "s/app: web/app: front/" "$1"\n'))
    assert r.out == "pod/web edited\n" and node.get("web")["metadata"]["labels"] == {"app": "front"}
    assert "no changes made" in node.husk("edit", "pod", "web", env=editor(tmp_path, "true\n")).err
    # The first time with a mistake, the second without.
    script = 'if grep -q "unknown field" "$1"; then sed -i "s/lables:/labels:/; s/app: front/app: back/" "$1"; else sed -i "s/labels:/lables:/" "$1"; fi\n'
    node.husk("edit", "pod/web", env=editor(tmp_path, script))
    assert node.get("web")["metadata"]["labels"] == {"app": "back"}
    r = node.fails("edit", "pod", "web", env=editor(tmp_path, 'sed -i "s/name: web/name: other/" "$1"\n'))
    assert "your changes are in" in r.err
    r = node.husk("edit", "pod", "web", "-o", "json", env=editor(tmp_path, 'sed -i "s/\\"app\\": \\"back\\"/\\"app\\": \\"json\\"/" "$1"\n'))
    assert node.get("web")["metadata"]["labels"] == {"app": "json"}


def test_apply_warns_of_or_ignores_unknown_fields_only_when_asked_to(node):
    bad = POD.replace("labels:", "lables:")
    assert "unknown field" in node.apply(bad, check=False).err and node.get("web") is None
    r = node.husk("apply", "-f", "-", "--validate=warn", "--dry-run=server", input=bad)
    assert r.err == 'Warning: unknown field "metadata.lables"\n'
    assert node.husk("apply", "-f", "-", "--validate=ignore", input=bad).err == ""
    assert "labels" not in node.get("web")["metadata"]


def test_apply_force_makes_anew_what_cannot_be_changed(node):
    node.apply(POD)
    uid = node.get("web")["metadata"]["uid"]
    other = POD.replace('sleep, "1000"', 'sleep, "2000"')
    assert "Forbidden" in node.apply(other, check=False).err
    assert node.husk("apply", "--force", "-f", "-", input=other).out == "pod/web replaced\n"
    pod = node.get("web")
    assert pod["metadata"]["uid"] != uid and pod["spec"]["containers"][0]["command"] == ["sleep", "2000"]


def test_flags_and_verbs_of_clusters_are_refused_with_a_sentence(node):
    for words, why in ((("get", "pods", "--context=x"), "no clusters"), (("apply", "-k", "."), "kustomize build"),
                       (("apply", "-f", "https://example.com/x.yaml"), "curl -fsSL"), (("rollout", "status", "x"), "controller"),
                       (("get", "pods", "--fild-selector=x"), 'did you mean "--field-selector"'), (("aply",), 'did you mean "apply"'),
                       (("create", "deployment", "x"), "husk create configmap"), (("get", "pods", "-o", "go-template={{.}}"), "jsonpath"),
                       (("apply", "-f", "x", "--prune"), "husk delete -l"), (("get", "deploy"), "husk has no Deployments: husk runs Pods"),
                       (("get", "services"), "hostPort"), (("--version",), "`husk version`")):
        r = node.fails(*words)
        assert why in r.err and r.out == "", r


def test_delete_asks_first_when_it_shall(node):
    node.husk("create", "configmap", "one")
    assert "deletion is cancelled" in node.husk("delete", "cm", "one", "-i", input="n\n").out
    assert node.get("one", "configmap")
    assert 'configmap "one" deleted from default namespace' in node.husk("delete", "cm", "one", "-i", input="y\n").out


def test_a_label_is_set_in_a_file_without_touching_what_is_here(node):
    r = node.husk("label", "--local", "-f", "-", "tier=front", "-o", "jsonpath={.metadata.labels}", input=POD)
    assert json.loads(r.out) == {"app": "web", "tier": "front"} and node.get("web") is None
    r = node.husk("patch", "--local", "-f", "-", "-p", '{"spec":{"containers":[{"name":"app","image":"x"}]}}', "-o",
                  "jsonpath={.spec.containers[0].image}", input=POD)
    assert r.out == "x"


def test_apply_goes_on_when_somebody_changes_the_object_meanwhile(node):
    """As placing a pod does: kubectl's patch is merged into whatever is there."""
    manifest = busy("one")
    node.apply(manifest)
    stop = threading.Event()

    def change():
        n = 0
        while not stop.is_set():
            n += 1
            node.husk("annotate", "pod", "busy", "n=%d" % n, "--overwrite", check=False)
    changer = threading.Thread(target=change)
    changer.start()
    try:
        for i in range(20):
            assert "configured" in node.apply(busy("x%d" % i)).out
    finally:
        stop.set()
        changer.join()
    pod = node.get("busy")
    assert pod["metadata"]["labels"]["x"] == "x19" and int(pod["metadata"]["annotations"]["n"]) > 1  # nothing of either was lost
    version = pod["metadata"]["resourceVersion"]
    node.husk("label", "pod", "busy", "y=1")
    stale = busy("z").replace("labels:", "resourceVersion: '%s'\n  labels:" % version)
    assert "the object has been modified" in node.apply(stale, check=False).err  # who names a version means it


def test_the_caret_of_a_refused_change_stands_at_what_was_changed(node):
    text = POD
    node.apply(text)
    changed = text.replace('"1000"', '"1001"').lstrip("\n")
    r = node.fails("apply", "-f", "-", input=changed)
    line = next(i for i, at in enumerate(changed.splitlines(), 1) if "1001" in at)
    column = changed.splitlines()[line - 1].index("[sleep") + 1
    assert r.err.splitlines()[0].startswith("STDIN:%d:%d: spec: Forbidden: pod updates may not change" % (line, column))
    assert r.err.splitlines()[2].index("^") == r.err.splitlines()[1].index("[sleep")
    # what is gone has no place of its own: that of what it was in
    r = node.fails("apply", "-f", "-", input=text.replace(', command: [sleep, "1000"]', "").lstrip("\n"))
    assert "(changed: spec.containers[0].command)" in r.err and "- {name: app" in r.err.splitlines()[1]


def test_what_a_file_asks_for_in_vain_is_told_as_kubectl_tells_it(node, tmp_path):
    path = tmp_path / "cm.yaml"
    path.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n")
    f = str(path)
    assert node.fails("replace", "-f", f).err == 'Error from server (NotFound): error when replacing "%s": configmaps "one" not found\n' % f
    node.husk("create", "-f", f)
    assert node.fails("create", "-f", f).err == 'Error from server (AlreadyExists): error when creating "%s": configmaps "one" already exists\n' % f
    # the client alone does not know what is here, the server does
    assert node.husk("create", "-f", f, "--dry-run=client").out == "configmap/one created (dry run)\n"
    assert "AlreadyExists" in node.fails("create", "-f", f, "--dry-run=server").err
    assert node.husk("create", "configmap", "one", "--dry-run=client").code == 0
    assert "AlreadyExists" in node.fails("create", "configmap", "one", "--dry-run=server").err
    assert node.fails("run", "x", "--image", BUSYBOX, "--restart", "Sometimes").err.startswith(
        'The Pod "x" is invalid: spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"')
    lines = node.fails("run", "X", "--image", BUSYBOX).err.splitlines()
    assert lines[0] == 'The Pod "X" is invalid: ' and [line.split(":")[0] for line in lines[1:]] == ["* metadata.name", "* spec.containers[0].name"]


def test_an_edit_goes_on_when_somebody_changes_the_object_meanwhile(node, tmp_path):
    """kubectl sends what was changed, not the whole object."""
    node.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {a: before, b: x}}")
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\n"%s" patch cm one -p \'{"data": {"b": "theirs"}}\' >&2 && sed -i s/before/mine/ "$1"\n' % HUSK)
    editor.chmod(0o755)
    assert node.husk("edit", "cm", "one", env={"EDITOR": str(editor)}).out == "configmap/one edited\n"
    assert node.get("one", "configmap")["data"] == {"a": "mine", "b": "theirs"}


def test_claims_namespaces_and_classes_are_described(node):
    node.apply("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce],"
               " resources: {requests: {storage: 1Mi}}}}")
    unused = node.husk("describe", "pvc", "data").out
    assert "Used By:       <none>\n" in unused and "Status:        Pending\n" in unused or "Status:        Bound\n" in unused
    node.apply("""
        apiVersion: v1
        kind: Pod
        metadata: {name: user}
        spec:
          terminationGracePeriodSeconds: 0
          containers: [{name: a, image: %s, command: [sleep, "1000"], volumeMounts: [{name: d, mountPath: /d}, {name: e, mountPath: /e}]}]
          volumes:
          - {name: d, persistentVolumeClaim: {claimName: data}}
          - {name: e, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}}}
        """ % BUSYBOX)
    node.running("user")
    for claim in "data", "user-e":
        out = node.husk("describe", "pvc", claim).out
        assert "Used By:       user\n" in out and "Status:        Bound\n" in out and "Access Modes:  RWO\n" in out and "\nEvents:" in out
    assert "Status:       Active\n\nNo resource quota.\n\nNo LimitRange resource.\n" in node.husk("describe", "ns", "default").out
    node.apply("{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 7, description: much}")
    out = node.husk("describe", "pc", "high").out
    assert "Value:             7\n" in out and "PreemptionPolicy:  PreemptLowerPriority\n" in out and "Description:       much\n" in out


def test_lists_are_sorted_as_people_count_and_show_types_when_several_are_asked_for(node):
    for name, size in ("web-10", "2k"), ("web-9", "1Ki"), ("web-2", "100"):
        node.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, annotations: {size: '%s'}}}" % (name, size))
    rows = node.husk("get", "cm", "--sort-by=.metadata.name", "-o", "name").out.split()
    assert rows == ["configmap/web-2", "configmap/web-9", "configmap/web-10"]
    rows = node.husk("get", "cm", "--sort-by={.metadata.annotations.size}", "--no-headers", "-o", "custom-columns=N:.metadata.name").out.split()
    assert rows == ["web-2", "web-9", "web-10"]
    # also while there is nothing of the other type
    assert "configmap/web-2 " in node.husk("get", "secrets,cm").out and "configmap/" not in node.husk("get", "cm").out


def test_the_manifest_of_the_last_apply_is_shown(node):
    node.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {a: x}}")
    node.husk("patch", "cm", "one", "-p", '{"data": {"b": "y"}}')
    last = json.loads(node.husk("apply", "view-last-applied", "cm/one", "-o", "json").out)
    assert last["data"] == {"a": "x"} and last["metadata"]["name"] == "one"
    assert "data:\n  a: x\n" in node.husk("apply", "view-last-applied", "cm", "one").out
    node.husk("create", "configmap", "two")
    assert "no last-applied-configuration annotation found on resource: two" in node.fails("apply", "view-last-applied", "cm/two").err


def test_a_priority_class_is_made_from_the_command_line(node):
    node.husk("delete", "pc", "--all")
    assert node.husk("get", "pc").err == "No resources found\n"  # it is of no namespace
    assert node.husk("create", "priorityclass", "urgent", "--value=10", "--description=first", "--preemption-policy=Never").out \
        == "priorityclass/urgent created\n"
    made = node.get("urgent", "priorityclass")
    assert (made["value"], made["description"], made["preemptionPolicy"], made.get("globalDefault", False)) == (10, "first", "Never", False)
    assert "value: " in node.fails("create", "priorityclass", "bad", "--value=2000000000").err


def test_a_deleted_object_stays_until_its_last_finalizer_is_taken_away(node):
    node.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [a.example/x]}, data: {a: b}}")
    r = node.fails("delete", "cm", "held", "--timeout=1s")
    assert "timed out waiting for the condition on configmaps/held" in r.err
    meta = node.get("held", "configmap")["metadata"]
    assert meta["deletionTimestamp"] and meta["deletionGracePeriodSeconds"] == 0 and meta["finalizers"] == ["a.example/x"]
    node.husk("delete", "cm", "held", "--wait=false")  # again: it stays as it is
    assert node.get("held", "configmap")["metadata"]["deletionTimestamp"] == meta["deletionTimestamp"]
    node.husk("patch", "cm", "held", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    assert node.get("held", "configmap") is None


def test_what_is_not_there_is_told_in_kubectls_words(node):
    node.husk("apply", "-f", "-", input=POD)
    r = node.fails("apply", "-f", "-", input=POD.replace("name: web", "generateName: web-", 1))
    assert "from web-: cannot use generate name with apply" in r.err
    r = node.fails("create", "-f", "-", input=POD)
    assert 'error when creating "STDIN": pods "web" already exists' in r.err
    assert 'label "none" not found.' in node.husk("label", "pod", "web", "none-").out
    assert node.husk("get", "pods", "-l", "none", "-o", "name").err == ""
    node.husk("wait", "--for=delete", "pod", "-l", "none", "--timeout=1s")
    node.fails("wait", "--for=condition=Ready", "pod", "-l", "none", "--timeout=1s")
