"""What `husk get -o json` and `-o yaml` print is what the API's schema knows: every key, every type, and what is always there."""
import importlib.util
import json
import os
import re

from conftest import BUSYBOX, TOP

SPEC = importlib.util.spec_from_file_location("gen_fields", os.path.join(TOP, "scripts/gen-fields.py"))
gen_fields = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gen_fields)
MESSAGES = gen_fields.read_proto(os.path.join(TOP, "src/api/core-v1.proto"))

SCALARS = {"string": str, "bytes": str, "bool": bool, "int32": int, "int64": int, "uint32": int, "uint64": int, "double": (int, float)}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"

POD = """
apiVersion: v1
kind: Pod
metadata: {name: rich, labels: {app: rich}, annotations: {note: x}}
spec:
  terminationGracePeriodSeconds: 0
  hostAliases: [{ip: 192.0.2.1, hostnames: [other]}]
  affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: a, operator: DoesNotExist}]}}]}}
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: rich}}}]
  initContainers:
  - {name: first, image: IMAGE, command: ["true"]}
  - {name: side, image: IMAGE, command: [sleep, "1000"], restartPolicy: Always}
  containers:
  - name: app
    image: IMAGE
    command: [sleep, "1000"]
    ports: [{name: http, containerPort: 80}]
    env: [{name: A, value: b}, {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    envFrom: [{configMapRef: {name: settings}}]
    resources: {requests: {cpu: 10m}, limits: {memory: 64Mi}}
    readinessProbe: {httpGet: {port: http}, periodSeconds: 1}
    livenessProbe: {exec: {command: ["true"]}}
    lifecycle: {preStop: {exec: {command: ["true"]}}}
    securityContext: {capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}
    volumeMounts: [{name: cm, mountPath: /cm}, {name: all, mountPath: /all, readOnly: true}, {name: claim, mountPath: /claim}]
  - {name: ends, image: IMAGE, command: [sh, -c, exit 3]}
  - {name: never, image: "127.0.0.1:1/none:1"}
  volumes:
  - {name: cm, configMap: {name: settings}}
  - {name: all, projected: {sources: [{secret: {name: key}}, {downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}]}}
  - {name: claim, persistentVolumeClaim: {claimName: data}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: b}, binaryData: {c: AAE=}}
---
{apiVersion: v1, kind: Secret, metadata: {name: key}, stringData: {k: v}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: other}}
---
{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 10}
---
{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: special}, handler: special, overhead: {podFixed: {cpu: 1m}}}
""".replace("IMAGE", BUSYBOX)


def check(value, type_name, where, mistakes):
    if type_name in SCALARS:
        kind = SCALARS[type_name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            mistakes.append("%s: %r is no %s" % (where, value, type_name))
        return
    message = MESSAGES[type_name]
    form = message.form[len("API_TYPE_"):]
    if form == "STRUCT":
        check_struct(value, message, where, mistakes)
    elif form == "QUANTITY":
        if not isinstance(value, str) or not re.fullmatch(r"[+-]?[\d.]+([numkMGTPE]|[KMGTPE]i|[eE]-?\d+)?", value):
            mistakes.append("%s: %r is no quantity" % (where, value))
    elif form in ("TIME", "MICRO_TIME"):
        if value is not None and not re.fullmatch(TIME if form == "TIME" else TIME.replace("Z", r"\.\d{6}Z"), value):
            mistakes.append("%s: %r is no time" % (where, value))
    elif form == "INT_OR_STRING":
        if not isinstance(value, (int, str)):
            mistakes.append("%s: %r is neither number nor string" % (where, value))


def json_fields(message):
    """{name in JSON: field}, with those of inlined messages."""
    found = {}
    for field in message.fields:
        if "inline" in field.flags:
            found.update(json_fields(MESSAGES[field.type]))
        else:
            found[field.name] = field
    return found


def check_struct(value, message, where, mistakes):
    if not isinstance(value, dict):
        mistakes.append("%s: %r is no object" % (where, value))
        return
    fields = json_fields(message)
    for key, child in value.items():
        at = "%s.%s" % (where, key)
        if message.kind and key in ("apiVersion", "kind"):
            continue
        if key not in fields:
            mistakes.append("%s: no field of %s" % (at, message.name))
        else:
            check_field(child, fields[key], at, mistakes)
    for name, field in fields.items():
        if ("always" in field.flags or "value" in field.flags and "omitzero" not in field.flags) and name not in value:
            mistakes.append("%s.%s: is missing" % (where, name))


def check_field(value, field, where, mistakes):
    if "map" in field.flags:
        entry = next(f for f in MESSAGES[field.type].fields if f.name == "value")
        for key, child in (value or {}).items():
            check(child, entry.type, "%s[%s]" % (where, key), mistakes)
    elif field.repeated:
        if value is None and "always" in field.flags:
            return
        if not isinstance(value, list):
            mistakes.append("%s: %r is no list" % (where, value))
            return
        for i, child in enumerate(value):
            check(child, field.type, "%s[%d]" % (where, i), mistakes)
    elif value is None and "always" in field.flags:
        return
    else:
        check(value, field.type, where, mistakes)


def test_everything_that_is_printed_is_what_the_schema_knows(node):
    node.husk("apply", "-f", "-", input=POD)
    node.wait("rich", "an ended run and a pull that failed", lambda p: any(
        s.get("lastState", {}).get("terminated") for s in p["status"].get("containerStatuses", [])) and any(
        "ImagePull" in s["state"].get("waiting", {}).get("reason", "") for s in p["status"]["containerStatuses"]))
    node.husk("debug", "rich", "--image", BUSYBOX, "-c", "look", "--attach=false", "--", "sleep", "1000")
    mistakes, seen = [], set()
    for kind in "pods", "cm", "secrets", "ns", "nodes", "events", "pvc", "pc", "runtimeclasses":
        listed = json.loads(node.husk("get", kind, "-A", "-o", "json").out)
        assert listed["kind"] == "List" and listed["apiVersion"] == "v1" and listed["items"]
        for item in listed["items"]:
            seen.add(item["kind"])
            assert "/" in item["apiVersion"] or item["apiVersion"] == "v1"
            check(item, "V1" + item["kind"], "%s %s" % (item["kind"], item["metadata"]["name"]), mistakes)
    assert not mistakes, "\n".join(mistakes)
    assert seen == {"Pod", "ConfigMap", "Secret", "Namespace", "Node", "Event", "PersistentVolumeClaim", "PriorityClass", "RuntimeClass"}


def test_yaml_and_json_say_the_same(node):
    """YAML goes in again as JSON does: what is read back from it is the object."""
    node.husk("apply", "-f", "-", input=POD.replace("name: rich", "name: same"))
    for kind, name in ("cm", "settings"), ("pc", "high"), ("pvc", "data"), ("secret", "key"):
        text = node.husk("get", kind, name, "-o", "yaml").out
        again = json.loads(node.husk("create", "--dry-run=client", "-o", "json", "-f", "-", input=text).out)
        there = json.loads(node.husk("get", kind, name, "-o", "json").out)
        for part in set(there) - {"metadata", "status"}:
            assert again[part] == there[part], (kind, part)
