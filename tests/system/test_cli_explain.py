"""`husk explain`: what kubectl's says, in its layout, and what husk does with fields that it refuses."""
import json
import re


def test_a_field_is_explained_with_its_values_and_default(node):
    out = node.husk("explain", "pod.spec.restartPolicy").out
    assert out.startswith("KIND:       Pod\nVERSION:    v1\n\nFIELD: restartPolicy <string>\nENUM:\n    Always\n    Never\n    OnFailure\n\nDESCRIPTION:\n    Whether")
    assert "FIELDS:" not in out
    out = node.husk("explain", "priorityclasses.value").out
    assert out.startswith("GROUP:      scheduling.k8s.io\nKIND:       PriorityClass\nVERSION:    v1\n\nFIELD: value <integer>\n\n\nDESCRIPTION:\n    ")


def test_the_fields_of_a_type_each_have_a_sentence(node):
    out = node.husk("explain", "pod.spec.containers").out
    assert "\nFIELDS:\n  args\t<[]string>\n    " in out and "\n\n  name\t<string> -required-\n    " in out
    assert "\n\n  imagePullPolicy\t<string>\n  enum: Always, IfNotPresent, Never\n    " in out
    assert max(map(len, out.splitlines())) <= 80
    out = node.husk("explain", "po").out
    assert "DESCRIPTION:\n    A group of containers" in out and "  apiVersion\t<string>\n    " in out and "  status\t<PodStatus>\n" in out


def test_recursive_shows_names_and_types_alone(node):
    out = node.husk("explain", "pod.spec.affinity.nodeAffinity", "--recursive").out
    fields = out.split("FIELDS:\n")[1]
    assert "    nodeSelectorTerms\t<[]NodeSelectorTerm> -required-\n      matchExpressions\t<[]NodeSelectorRequirement>\n" in fields
    assert "        operator\t<string> -required-\n        enum: DoesNotExist, Exists, Gt, In, ....\n" in fields
    for kind in "pod", "cm", "secret", "ns", "node", "event", "pvc", "pc", "runtimeclass":
        assert "<no description>" not in node.husk("explain", kind).out
        assert node.husk("explain", kind, "--recursive").out.count("\n") > 20


def test_a_refused_field_says_why(node):
    out = node.husk("explain", "pod.spec.volumes").out
    assert "  iscsi\t<ISCSIVolumeSource> -refused-\n    A disk reached by iSCSI. Not supported on a single machine: it needs a\n" in out
    assert "Part of iscsi, which is not supported" in node.husk("explain", "pod.spec.volumes.iscsi.lun").out
    assert "A value other than Filesystem is not supported" in node.husk("explain", "pvc.spec.volumeMode").out.replace("\n    ", " ")


def test_what_does_not_exist_is_an_error(node):
    assert node.fails("explain", "pod.spec.container").err == 'error: field "container" does not exist; did you mean "containers"?\n'
    assert 'field "x" does not exist' in node.fails("explain", "pod.kind.x").err
    assert "one of version v1" in node.fails("explain", "pod", "--api-version", "v2").err
    assert "plaintext" in node.fails("explain", "pod", "--output", "json").err
    assert "you must specify the type" in node.fails("explain").err


# a field, and a PodSpec (its container's fields under "c") that has "?" there
CLOSED = [
    ("restartPolicy", {"restartPolicy": "?"}),
    ("dnsPolicy", {"dnsPolicy": "?"}),
    ("preemptionPolicy", {"preemptionPolicy": "?"}),
    ("os.name", {"os": {"name": "?"}}),
    ("containers.imagePullPolicy", {"c": {"imagePullPolicy": "?"}}),
    ("containers.terminationMessagePolicy", {"c": {"terminationMessagePolicy": "?"}}),
    ("containers.ports.protocol", {"c": {"ports": [{"containerPort": 1, "protocol": "?"}]}}),
    ("containers.livenessProbe.httpGet.scheme", {"c": {"livenessProbe": {"httpGet": {"port": 1, "scheme": "?"}}}}),
    ("containers.resizePolicy.restartPolicy", {"c": {"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "?"}]}}),
    ("containers.restartPolicyRules.action", {"c": {"restartPolicy": "Never", "restartPolicyRules": [{"action": "?", "exitCodes": {"operator": "In", "values": [1]}}]}}),
    ("containers.restartPolicyRules.exitCodes.operator",
     {"c": {"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "?", "values": [1]}}]}}),
    ("containers.securityContext.procMount", {"hostUsers": False, "c": {"securityContext": {"procMount": "?"}}}),
    ("containers.securityContext.seccompProfile.type", {"c": {"securityContext": {"seccompProfile": {"type": "?"}}}}),
    ("containers.securityContext.appArmorProfile.type", {"c": {"securityContext": {"appArmorProfile": {"type": "?"}}}}),
    ("containers.volumeMounts.mountPropagation",
     {"c": {"volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "?"}]}, "volumes": [{"name": "v", "emptyDir": {}}]}),
    ("containers.volumeMounts.recursiveReadOnly",
     {"c": {"volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "?"}]}, "volumes": [{"name": "v", "emptyDir": {}}]}),
    ("securityContext.fsGroupChangePolicy", {"securityContext": {"fsGroupChangePolicy": "?"}}),
    ("securityContext.supplementalGroupsPolicy", {"securityContext": {"supplementalGroupsPolicy": "?"}}),
    ("securityContext.seLinuxChangePolicy", {"securityContext": {"seLinuxChangePolicy": "?"}}),
    ("tolerations.effect", {"tolerations": [{"key": "a", "operator": "Exists", "effect": "?"}]}),
    ("tolerations.operator", {"tolerations": [{"key": "a", "operator": "?"}]}),
    ("topologySpreadConstraints.whenUnsatisfiable", {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "?"}]}),
    ("topologySpreadConstraints.nodeAffinityPolicy",
     {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule", "nodeAffinityPolicy": "?"}]}),
    ("volumes.hostPath.type", {"volumes": [{"name": "v", "hostPath": {"path": "/x", "type": "?"}}]}),
    ("volumes.image.pullPolicy", {"volumes": [{"name": "v", "image": {"reference": "x", "pullPolicy": "?"}}]}),
]


def test_the_values_that_are_explained_are_those_that_are_accepted(node):
    wrong = []
    for field, spec in CLOSED:
        spec = dict(spec)
        spec["containers"] = [{"name": "a", "image": "x", **spec.pop("c", {})}]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
        err = node.fails("apply", "--dry-run=server", "-f", "-", input=json.dumps(pod)).err
        accepted = re.search(r'"\?": supported values: (.*)', err)
        out = node.husk("explain", "pod.spec." + field).out
        explained = {w.strip('"') for w in out.split("ENUM:\n")[1].split("\n\n")[0].split()} if "ENUM:" in out else set()
        if not accepted or set(re.findall(r'"([^"]*)"', accepted[1])) - {""} != explained - {""}:
            wrong.append((field, explained, err.splitlines()[0]))
    assert not wrong, wrong
