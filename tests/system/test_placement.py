"""Which pods this node takes, which wait, and which have to go: the scheduler's and the taint manager's part."""
import json
import os
import signal
import time

import pytest

from conftest import BUSYBOX, until

SELF = "kubernetes.io/hostname"


@pytest.fixture
def place(node):
    """The worker's node, with its labels and taints put back after the test."""
    path = os.path.join(node.root, "node.json")
    node.name = json.loads(node.husk("get", "nodes", "-o", "json").out)["items"][0]["metadata"]["name"]
    with open(path) as f:
        before = f.read()
    yield node
    node.delete_all()
    for ns in ("blue", "red"):
        node.husk("delete", "ns", ns, "--ignore-not-found", check=False)
    with open(path + ".new", "w") as f:
        f.write(before)
    os.rename(path + ".new", path)


def pod(name, spec=None, ns=None, labels=None, container=None, command="trap 'exit 0' TERM; while :; do sleep 0.1; done"):
    """A pod that stays and ends at once when asked to."""
    meta = {"name": name, **({"namespace": ns} if ns else {}), **({"labels": labels} if labels else {})}
    app = {"name": "a", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", command], **(container or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [app], **(spec or {})}}


def apply(node, *objects, check=True):
    return node.husk("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}), check=check)


def condition(pod, kind):
    return next((c for c in pod["status"].get("conditions", []) if c["type"] == kind), {})


def get(node, name, ns=None):
    return node.get(name, ns=ns)


def scheduled(node, name, ns=None):
    return until("%s is scheduled: %s" % (name, node.husk("get", "pod", name, *(["-n", ns] if ns else []), "-o", "yaml").out),
                 lambda: (lambda p: p if condition(p, "PodScheduled").get("status") == "True" else None)(get(node, name, ns)))


def waits(node, name, message, ns=None):
    """The pod is Pending with this message, word for word."""
    def answer():
        c = condition(get(node, name, ns), "PodScheduled")
        return c if c.get("message") == message else None

    c = until("%s waits with %r: %s" % (name, message, get(node, name, ns)["status"]), answer)
    p = get(node, name, ns)
    assert (c["status"], c["reason"], p["status"]["phase"]) == ("False", "Unschedulable", "Pending")
    assert not p["spec"].get("nodeName")
    return p


def none_fits(reasons, why="1 Preemption is not helpful for scheduling"):
    return "0/1 nodes are available: %s. no new claims to deallocate, preemption: 0/1 nodes are available: %s." % (reasons, why)


NO_VICTIMS = "1 No preemption victims found for incoming pod"
MISMATCH = none_fits("1 node(s) didn't match Pod's node affinity/selector")
TAINTED = none_fits("1 node(s) had untolerated taint(s)")


def required(*expressions, fields=()):
    term = {"matchExpressions": list(expressions), **({"matchFields": list(fields)} if fields else {})}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}


def gone(node, name, ns=None):
    until("%s is gone" % name, lambda: get(node, name, ns) is None)


# ---- the node's labels ----

def test_node_selector_waits_for_the_label(place):
    apply(place, pod("p", {"nodeSelector": {"disk": "ssd"}}))
    waits(place, "p", MISMATCH)
    place.husk("label", "node", place.name, "disk=ssd")
    place.running("p")
    events = place.husk("events", "--for", "pod/p").out
    assert "FailedScheduling" in events and "Scheduled" in events


def test_node_affinity_knows_every_operator(place):
    place.husk("label", "node", place.name, "disk=ssd", "cores=8")
    fits = {
        "in": {"key": "disk", "operator": "In", "values": ["hdd", "ssd"]},
        "notin": {"key": "disk", "operator": "NotIn", "values": ["hdd"]},
        "exists": {"key": "disk", "operator": "Exists"},
        "doesnotexist": {"key": "gpu", "operator": "DoesNotExist"},
        "gt": {"key": "cores", "operator": "Gt", "values": ["7"]},
        "lt": {"key": "cores", "operator": "Lt", "values": ["9"]},
    }
    misses = {
        "in": {"key": "disk", "operator": "In", "values": ["hdd"]},
        "notin": {"key": "disk", "operator": "NotIn", "values": ["ssd"]},
        "exists": {"key": "gpu", "operator": "Exists"},
        "doesnotexist": {"key": "disk", "operator": "DoesNotExist"},
        "gt": {"key": "cores", "operator": "Gt", "values": ["8"]},
        "lt": {"key": "cores", "operator": "Lt", "values": ["8"]},
    }
    apply(place, *[pod("y-" + k, required(v), command="true") for k, v in fits.items()],
          *[pod("n-" + k, required(v)) for k, v in misses.items()])
    for k in fits:
        scheduled(place, "y-" + k)
    for k in misses:
        waits(place, "n-" + k, MISMATCH)


def test_node_affinity_by_the_nodes_own_name(place):
    def name(value):
        return required(fields=[{"key": "metadata.name", "operator": "In", "values": [value]}])

    apply(place, pod("here", name(place.name), command="true"), pod("elsewhere", name("another")))
    scheduled(place, "here")
    waits(place, "elsewhere", MISMATCH)


def test_preferred_terms_are_kept_and_have_no_effect(place):
    wish = {"weight": 100, "preference": {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}}
    near = {"weight": 100, "podAffinityTerm": {"topologyKey": SELF, "labelSelector": {"matchLabels": {"app": "none"}}}}
    far = {"weight": 1, "podAffinityTerm": {"topologyKey": SELF, "labelSelector": {}}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]},
                "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [near]},
                "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [far]}}
    apply(place, pod("p", {"affinity": affinity}))
    assert place.running("p")["spec"]["affinity"] == affinity


def test_node_name_of_another_node_waits(place):
    apply(place, pod("p", {"nodeName": "another"}))
    p = until("an answer", lambda: (lambda q: q if condition(q, "PodScheduled") else None)(get(place, "p")))
    assert p["status"]["phase"] == "Pending" and not p["status"].get("containerStatuses")


def test_node_name_skips_the_scheduler_but_not_the_kubelet(place):
    place.husk("taint", "node", place.name, "a:NoSchedule")
    apply(place, pod("p", {"nodeName": place.name}, command="true"),
          pod("q", {"nodeName": place.name, "nodeSelector": {"disk": "ssd"}}))
    scheduled(place, "p")
    q = place.phase("q", "Failed")
    assert q["status"]["reason"] == "NodeAffinity"
    assert q["status"]["message"] == "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"


# ---- taints ----

def test_no_schedule_keeps_out_who_does_not_tolerate_it(place):
    apply(place, pod("before"))
    place.running("before")
    assert place.husk("taint", "node", place.name, "use=db:NoSchedule").out == "node/%s tainted\n" % place.name
    apply(place, pod("p"),
          pod("equal", {"tolerations": [{"key": "use", "operator": "Equal", "value": "db", "effect": "NoSchedule"}]}, command="true"),
          pod("exists", {"tolerations": [{"operator": "Exists"}]}, command="true"),
          pod("other", {"tolerations": [{"key": "use", "value": "web", "effect": "NoSchedule"}]}),
          pod("effect", {"tolerations": [{"key": "use", "operator": "Exists", "effect": "NoExecute"}]}))
    scheduled(place, "equal")
    scheduled(place, "exists")
    for name in ("p", "other", "effect"):
        waits(place, name, TAINTED)
    assert get(place, "before")["status"]["phase"] == "Running"
    assert place.husk("taint", "node", place.name, "use-").out == "node/%s untainted\n" % place.name
    place.running("p")
    place.running("other")


def test_prefer_no_schedule_has_no_effect(place):
    place.husk("taint", "node", place.name, "a:PreferNoSchedule")
    apply(place, pod("p"))
    place.running("p")


def test_a_toleration_added_later_lets_a_waiting_pod_in(place):
    place.husk("taint", "node", place.name, "a:NoSchedule")
    apply(place, pod("p"))
    waits(place, "p", TAINTED)
    place.husk("patch", "pod", "p", "-p", '{"spec":{"tolerations":[{"key":"a","operator":"Exists"}]}}')
    place.running("p")


def test_no_execute_ends_who_does_not_tolerate_it(place):
    command = "trap 'sleep 2; exit 0' TERM; while :; do sleep 0.1; done"
    apply(place, pod("out", command=command), pod("stays", {"tolerations": [{"key": "work", "operator": "Exists"}]}))
    place.running("out")
    place.running("stays")
    place.husk("taint", "node", place.name, "work:NoExecute")
    p = until("the deletion", lambda: (lambda q: q if condition(q, "DisruptionTarget") else None)(get(place, "out") or {"status": {}}))
    assert p["metadata"]["deletionTimestamp"] and p["metadata"]["deletionGracePeriodSeconds"] == 30
    c = condition(p, "DisruptionTarget")
    assert (c["status"], c["reason"], c["message"]) == (
        "True", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
    gone(place, "out")
    assert get(place, "stays")["status"]["phase"] == "Running"


def test_no_execute_lets_stay_for_toleration_seconds(place):
    def tolerates(seconds):
        return {"tolerations": [{"key": "work", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]}

    apply(place, pod("short", tolerates(1)), pod("long", tolerates(600)))
    place.running("short")
    place.running("long")
    begun = time.time()
    place.husk("taint", "node", place.name, "work:NoExecute")
    gone(place, "short")
    assert time.time() - begun >= 1
    place.husk("taint", "node", place.name, "work-")
    until("the deletion is taken back", lambda: "Cancelling deletion of Pod default/long" in place.husk("events", "--for", "pod/long").out)
    assert "deletionTimestamp" not in get(place, "long")["metadata"]


def test_no_execute_is_seen_by_a_successor_of_the_supervisor(place):
    apply(place, pod("p"))
    place.running("p")
    uid = place.remember("p")["metadata"]["uid"]
    supervisor = place.of_program("husk-pod", uid)
    os.kill(supervisor[0], 19)
    place.husk("taint", "node", place.name, "work:NoExecute")
    os.kill(supervisor[0], 9)
    gone(place, "p")


def test_cordon_lets_no_new_pods_in(place):
    apply(place, pod("before"))
    place.running("before")
    assert place.husk("cordon", place.name).out == "node/%s cordoned\n" % place.name
    assert place.husk("cordon", place.name).out == "node/%s already cordoned\n" % place.name
    assert "SchedulingDisabled" in place.husk("get", "nodes").out
    apply(place, pod("p"))
    waits(place, "p", none_fits("1 node(s) were unschedulable"))
    assert get(place, "before")["status"]["phase"] == "Running"
    assert place.husk("uncordon", place.name).out == "node/%s uncordoned\n" % place.name
    place.running("p")


# ---- gates ----

def test_a_gated_pod_starts_when_its_last_gate_is_removed(place):
    apply(place, pod("p", {"schedulingGates": [{"name": "example.com/a"}, {"name": "example.com/b"}]}))
    p = until("an answer", lambda: (lambda q: q if condition(q, "PodScheduled") else None)(get(place, "p")))
    c = condition(p, "PodScheduled")
    assert (c["status"], c["reason"], c["message"]) == (
        "False", "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")
    assert "SchedulingGated" in place.husk("get", "pod", "p").out
    place.husk("patch", "pod", "p", "--type=json", "-p", '[{"op":"remove","path":"/spec/schedulingGates/0"}]')
    assert [g["name"] for g in get(place, "p")["spec"]["schedulingGates"]] == ["example.com/b"]
    r = place.fails("patch", "pod", "p", "-p", '{"spec":{"schedulingGates":[{"name":"example.com/c"}]}}')
    assert "only deletion is allowed, but found new scheduling gate 'example.com/c'" in r.err
    place.husk("patch", "pod", "p", "--type=merge", "-p", '{"spec":{"schedulingGates":null}}')
    place.running("p")


# ---- what the node has ----

def milli_cpu(node):
    cpu = json.loads(node.husk("get", "node", node.name, "-o", "json").out)["status"]["allocatable"]["cpu"]
    return int(cpu) * 1000


def requests(milli):
    return {"resources": {"requests": {"cpu": "%dm" % milli}}}


def test_freed_resources_admit_the_waiting_pod(place):
    most = milli_cpu(place) * 3 // 4
    apply(place, pod("first", container=requests(most)))
    place.running("first")
    apply(place, pod("second", container=requests(most)))
    waits(place, "second", none_fits("1 Insufficient cpu", NO_VICTIMS))
    place.husk("delete", "pod", "first")
    place.running("second")


def test_a_pod_that_has_ended_frees_its_resources(place):
    most = milli_cpu(place) * 3 // 4
    apply(place, pod("first", {"restartPolicy": "Never"}, container=requests(most)))
    place.running("first")
    apply(place, pod("second", container=requests(most)))
    waits(place, "second", none_fits("1 Insufficient cpu", NO_VICTIMS))
    place.exec("first", "kill", "1")
    place.running("second")
    assert get(place, "first")["status"]["phase"] == "Succeeded"


def test_a_pod_made_smaller_frees_its_resources(place):
    most = milli_cpu(place) * 3 // 4
    apply(place, pod("first", container=requests(most)))
    place.running("first")
    apply(place, pod("second", container=requests(most)))
    waits(place, "second", none_fits("1 Insufficient cpu", NO_VICTIMS))
    place.husk("patch", "pod", "first", "--subresource=resize", "-p",
               json.dumps({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "100m"}}}]}}))
    place.running("second")


def test_more_than_the_node_has_waits_for_ever(place):
    apply(place, pod("p", container={"resources": {"requests": {"memory": "1000Ti"}, "limits": {"example.com/gpu": "1"}}}))
    waits(place, "p", none_fits("1 Insufficient example.com/gpu, 1 Insufficient memory"))


def test_overhead_is_part_of_what_a_pod_needs(place):
    half = milli_cpu(place) // 2
    heavy = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "heavy"}, "handler": "crun",
             "overhead": {"podFixed": {"cpu": "%dm" % (half + 100)}}}
    apply(place, heavy, pod("p", {"runtimeClassName": "heavy"}, container=requests(half)))
    waits(place, "p", none_fits("1 Insufficient cpu"))
    place.husk("delete", "runtimeclass", "heavy")


def test_a_host_port_is_free_again_when_its_pod_is_gone(place):
    port = {"ports": [{"containerPort": 80, "hostPort": 38080}]}
    apply(place, pod("first", container=port))
    place.running("first")
    apply(place, pod("second", container=port),
          pod("udp", container={"ports": [{"containerPort": 80, "hostPort": 38080, "protocol": "UDP"}]}))
    waits(place, "second", none_fits("1 node(s) didn't have free ports for the requested pod ports", NO_VICTIMS))
    place.running("udp")
    place.husk("delete", "pod", "first")
    place.running("second")


# ---- the other pods ----

def term(labels, key=SELF, **more):
    return {"topologyKey": key, "labelSelector": {"matchLabels": labels}, **more}


def near(*terms):
    return {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}}


def far(*terms):
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}}


ALONE = none_fits("1 node(s) didn't match pod affinity rules")
CROWDED = none_fits("1 node(s) didn't match pod anti-affinity rules", NO_VICTIMS)
UNWANTED = none_fits("1 node(s) didn't satisfy existing pods anti-affinity rules", NO_VICTIMS)


def test_pod_affinity_waits_for_company(place):
    apply(place, pod("p", near(term({"app": "db"}))))
    waits(place, "p", ALONE)
    apply(place, pod("db", labels={"app": "db"}))
    place.running("p")


def test_the_first_of_its_own_company_may_come(place):
    apply(place, pod("p", near(term({"app": "web"})), labels={"app": "web"}))
    place.running("p")


def test_pod_anti_affinity_waits_until_the_other_has_gone(place):
    apply(place, pod("db", labels={"app": "db"}))
    place.running("db")
    apply(place, pod("p", far(term({"app": "db"}))))
    waits(place, "p", CROWDED)
    place.husk("delete", "pod", "db")
    place.running("p")


def test_pod_anti_affinity_of_a_pod_that_is_here_keeps_others_out(place):
    apply(place, pod("shy", far(term({"app": "web"}))))
    place.running("shy")
    apply(place, pod("p", labels={"app": "web"}))
    waits(place, "p", UNWANTED)
    place.husk("delete", "pod", "shy")
    place.running("p")


def test_a_changed_label_of_a_running_pod_counts_at_once(place):
    apply(place, pod("db", labels={"app": "db"}))
    place.running("db")
    apply(place, pod("p", far(term({"app": "db"}))), pod("q", near(term({"app": "cache"}))))
    waits(place, "p", CROWDED)
    waits(place, "q", ALONE)
    place.husk("label", "pod", "db", "app=cache", "--overwrite")
    place.running("p")
    place.running("q")


def test_affinity_looks_into_the_namespaces_it_names(place):
    place.husk("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blue"}}))
    apply(place, pod("db", ns="blue", labels={"app": "db"}))
    scheduled(place, "db", "blue")
    apply(place, pod("p", near(term({"app": "db"}))), pod("q", near(term({"app": "db"}, namespaces=["blue"])), command="true"))
    scheduled(place, "q")
    waits(place, "p", ALONE)


def test_affinity_selects_namespaces_by_their_labels(place):
    def chosen(**selector):
        return near(term({"app": "db"}, namespaceSelector=selector))

    for ns in ("blue", "red"):
        place.husk("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}}))
    apply(place, pod("db", ns="blue", labels={"app": "db"}))
    scheduled(place, "db", "blue")
    apply(place, pod("all", chosen(), command="true"), pod("p", chosen(matchLabels={"team": "x"})),
          pod("named", chosen(matchLabels={"kubernetes.io/metadata.name": "blue"}), command="true"),
          pod("q", chosen(matchLabels={"kubernetes.io/metadata.name": "red"})))
    scheduled(place, "all")
    scheduled(place, "named")
    waits(place, "p", ALONE)
    waits(place, "q", ALONE)
    place.husk("label", "ns", "blue", "team=x")
    scheduled(place, "p")
    waits(place, "q", ALONE)


def test_affinity_reads_label_expressions(place):
    def expression(operator, *values):
        return {"topologyKey": SELF, "labelSelector": {"matchExpressions": [{"key": "app", "operator": operator, **({"values": list(values)} if values else {})}]}}

    apply(place, pod("db", labels={"app": "db"}))
    place.running("db")
    apply(place, pod("in", near(expression("In", "web", "db")), command="true"), pod("exists", near(expression("Exists")), command="true"),
          pod("apart", far(expression("In", "db"))))
    scheduled(place, "in")
    scheduled(place, "exists")
    waits(place, "apart", CROWDED)


def test_match_label_keys_take_the_pods_own_values(place):
    apply(place, pod("old", labels={"app": "web", "version": "1"}))
    place.running("old")
    rule = far(term({"app": "web"}, matchLabelKeys=["version"]))
    apply(place, pod("p", rule, labels={"app": "web", "version": "1"}), pod("q", rule, labels={"app": "web", "version": "2"}, command="true"))
    scheduled(place, "q")
    waits(place, "p", CROWDED)


def test_mismatch_label_keys_mean_other_values(place):
    apply(place, pod("tenant-a", labels={"app": "web", "tenant": "a"}))
    place.running("tenant-a")
    rule = far(term({"app": "web"}, mismatchLabelKeys=["tenant"]))
    apply(place, pod("a", rule, labels={"app": "web", "tenant": "a"}, command="true"), pod("b", rule, labels={"app": "web", "tenant": "b"}))
    scheduled(place, "a")
    waits(place, "b", CROWDED)


def test_topology_spread_counts_domains_that_are_missing(place):
    def spread(**more):
        return {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": SELF, "whenUnsatisfiable": "DoNotSchedule",
                                               "labelSelector": {"matchLabels": {"app": "web"}}, **more}]}

    apply(place, pod("first", spread(minDomains=2), labels={"app": "web"}))
    place.running("first")
    apply(place, pod("p", spread(minDomains=2), labels={"app": "web"}), pod("q", spread(), labels={"app": "web"}, command="true"))
    scheduled(place, "q")
    waits(place, "p", none_fits("1 node(s) didn't match pod topology spread constraints", NO_VICTIMS))


def test_topology_spread_counts_the_pods_with_equal_label_keys(place):
    spread = {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": SELF, "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2,
                                             "labelSelector": {"matchLabels": {"app": "web"}}, "matchLabelKeys": ["version"],
                                             "nodeAffinityPolicy": "Ignore", "nodeTaintsPolicy": "Honor"}]}
    apply(place, pod("old", spread, labels={"app": "web", "version": "1"}))
    kept = place.running("old")["spec"]["topologySpreadConstraints"][0]
    assert (kept["nodeAffinityPolicy"], kept["nodeTaintsPolicy"]) == ("Ignore", "Honor")
    apply(place, pod("p", spread, labels={"app": "web", "version": "1"}), pod("q", spread, labels={"app": "web", "version": "2"}, command="true"))
    scheduled(place, "q")
    waits(place, "p", none_fits("1 node(s) didn't match pod topology spread constraints", NO_VICTIMS))


def test_topology_spread_needs_the_nodes_label(place):
    def spread(action):
        return {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": action,
                                               "labelSelector": {"matchLabels": {"app": "web"}}}]}

    apply(place, pod("p", spread("DoNotSchedule")), pod("q", spread("ScheduleAnyway"), command="true"))
    scheduled(place, "q")
    waits(place, "p", none_fits("1 node(s) didn't match pod topology spread constraints (missing required label)"))
    place.husk("label", "node", place.name, "zone=a")
    place.running("p")


# ---- priority ----

def priority_class(name, value, **more):
    return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value, **more}


@pytest.fixture
def classes(place):
    yield place
    place.delete_all()
    place.husk("delete", "pc", "--all", check=False)


def important(milli, name="important", of="system-cluster-critical"):
    return pod(name, {"priorityClassName": of}, container=requests(milli))


def test_preemption_ends_the_less_important_pod_gracefully(place):
    most = milli_cpu(place) * 3 // 4
    slow = "trap 'sleep 2; exit 0' TERM; while :; do sleep 0.1; done"
    apply(place, pod("small", container=requests(milli_cpu(place) // 8)), pod("victim", container=requests(most), command=slow))
    place.running("victim")
    place.running("small")
    apply(place, important(most))
    v = until("the victim is told", lambda: (lambda q: q if condition(q, "DisruptionTarget") else None)(get(place, "victim") or {"status": {}}))
    c = condition(v, "DisruptionTarget")
    assert (c["status"], c["reason"], c["message"]) == (
        "True", "PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod")
    assert v["metadata"]["deletionGracePeriodSeconds"] == 30
    assert get(place, "important")["status"].get("nominatedNodeName") == place.name
    assert "Preempted by pod %s on node %s" % (get(place, "important")["metadata"]["uid"], place.name) in place.husk("events", "--for", "pod/victim").out
    p = place.running("important")
    assert p["spec"]["priority"] == 2000000000 and "nominatedNodeName" not in p["status"]
    gone(place, "victim")
    assert get(place, "small")["status"]["phase"] == "Running"


def test_preemption_policy_never_waits(classes):
    most = milli_cpu(classes) * 3 // 4
    apply(classes, pod("first", container=requests(most)))
    classes.running("first")
    apply(classes, priority_class("patient", 10, preemptionPolicy="Never"), important(most, of="patient"))
    other = pod("other", {"priorityClassName": "patient", "preemptionPolicy": "PreemptLowerPriority"})
    assert "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided" in apply(classes, other, check=False).err
    waits(classes, "important", "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to "
          "preemptionPolicy=Never.")
    assert "deletionTimestamp" not in get(classes, "first")["metadata"]


def test_room_goes_to_the_first_in_the_queue_of_those_that_fit(classes):
    """By priority, then by how long they have waited; one that does not fit holds nobody up. Whoever asks first."""
    most = milli_cpu(classes) * 3 // 4
    patient = [priority_class(name, value, preemptionPolicy="Never") for name, value in (("high", 30), ("middle", 20), ("low", 10))]
    apply(classes, *patient, important(most, "first", of="low"))
    classes.running("first")
    queue = [("too-large", "high", most * 2), ("b", "low", most), ("c", "middle", most), ("d", "high", most), ("e", "middle", most)]
    for name, of, milli in queue:
        apply(classes, important(milli, name, of))
        until("%s waits" % name, lambda: condition(get(classes, name), "PodScheduled").get("status") == "False")
    before, left = "first", ["d", "c", "e", "b"]
    for name in list(left):
        classes.husk("delete", "pod", before, "--force")
        classes.running(name)
        left = left[1:]
        assert {other: condition(get(classes, other), "PodScheduled")["status"] for other in left + ["too-large"]} == {
            other: "False" for other in left + ["too-large"]}
        before = name


def test_a_waiting_pod_that_goes_or_is_looked_after_by_nobody_holds_nobody_up(classes):
    most = milli_cpu(classes) * 3 // 4
    apply(classes, priority_class("high", 30, preemptionPolicy="Never"), pod("first", container=requests(most)))
    classes.running("first")
    for name, of in ("goes", "high"), ("lost", "high"), ("last", None):
        apply(classes, important(most, name, of) if of else pod(name, container=requests(most)))
        until("%s waits" % name, lambda: condition(get(classes, name), "PodScheduled").get("status") == "False")
    lost = get(classes, "lost")["metadata"]["uid"]
    for how in signal.SIGSTOP, signal.SIGKILL:
        for pid in classes.of_program("husk-keeper", lost) + classes.of_program("husk-pod", lost):
            os.kill(pid, how)
    classes.husk("delete", "pod", "goes", "--force")
    classes.husk("delete", "pod", "first", "--force")
    classes.running("last")


def test_a_priority_class_of_the_same_file_counts(classes):
    most = milli_cpu(classes) * 3 // 4
    apply(classes, priority_class("gold", 1000), priority_class("usual", 5, globalDefault=True))
    apply(classes, important(most, "low", "usual"))
    classes.running("low")
    apply(classes, important(most, "mid", "silver"), priority_class("silver", 500))
    assert classes.running("mid")["spec"]["priority"] == 500
    gone(classes, "low")
    apply(classes, pod("usual", container=requests(most)))
    waits(classes, "usual", none_fits("1 Insufficient cpu", NO_VICTIMS))
    assert (get(classes, "usual")["spec"]["priorityClassName"], get(classes, "usual")["spec"]["priority"]) == ("usual", 5)
    assert [line.split()[:3] for line in classes.husk("get", "pc", "--no-headers").out.splitlines()] == [
        ["gold", "1000", "false"], ["silver", "500", "false"], ["usual", "5", "true"]]


def test_a_pod_keeps_its_priority_when_its_class_is_gone(classes):
    manifest = important(100, of="gold")
    apply(classes, priority_class("gold", 1000), manifest)
    classes.running("important")
    classes.husk("delete", "pc", "gold")
    manifest["metadata"]["labels"] = {"a": "b"}
    assert apply(classes, manifest).out == "pod/important configured\n"
    manifest["spec"]["nodeName"] = classes.name
    classes.husk("replace", "-f", "-", input=json.dumps(manifest))
    assert get(classes, "important")["spec"]["priority"] == 1000


def test_preemption_removes_a_victim_that_nobody_supervises(place):
    most = milli_cpu(place) * 3 // 4
    apply(place, pod("victim", container=requests(most)))
    place.running("victim")
    uid = place.remember("victim")["metadata"]["uid"]
    for pid in place.of_program("husk-keeper", uid) + place.of_program("husk-pod", uid):
        os.kill(pid, 19)
    for pid in place.of_program("husk-keeper", uid) + place.of_program("husk-pod", uid):
        os.kill(pid, 9)
    apply(place, important(most))
    place.running("important")
    gone(place, "victim")


def test_an_unknown_priority_class_is_refused(place):
    r = apply(place, pod("p", {"priorityClassName": "high"}), check=False)
    assert r.code != 0 and "no PriorityClass with name high was found" in r.err
    assert get(place, "p") is None


def test_what_a_killed_writer_had_begun_is_written_over(place):
    left = os.path.join(place.run, ".new")
    with open(left, "w") as f:
        f.write("{" * 10000)
    apply(place, pod("p"))
    place.running("p")
    assert not os.path.exists(left)
    with open(os.path.join(place.run, "claims.json")) as f:
        json.load(f)
