#!/usr/bin/env python3
"""Writes src/api/core-v1.proto from a table of Kubernetes' interface facts (tab-separated: message, field, number, label,
type, JSON name, inline, omitempty|always, patch strategy, patch merge key). Run when husk moves to a newer Kubernetes:

    scripts/gen-proto.py TABLE > src/api/core-v1.proto

What a descriptor cannot carry stands behind each field in a machine-readable comment `//@ …`, from which
scripts/gen-fields.py makes the side table at build time:
    json=NAME    its name in JSON, where that differs
    inline       its fields stand in the parent's JSON
    always       written even when empty
    map          an object in JSON
    pointer      a pointer to a scalar in Go: a zero that was set is written
    value        a struct in Go: written even when empty, as {} (null for a time, "0" for a quantity)
    omitzero     … but left out when zero all the same
    patch=STRATEGY[,…]  key=MERGEKEY
and behind a message:
    kind         apiVersion and kind belong to it
    form=quantity|time|micro-time|int-or-string|raw|list   not written as an object of its fields
"""
import collections
import sys

SCALARS = {"string", "bool", "int32", "int64", "bytes", "uint32", "uint64", "double"}
MAPS = {"string": "V1StringEntry", "resource.Quantity": "V1QuantityEntry", "bytes": "V1BytesEntry"}

FORMS = {"Quantity": "quantity", "Time": "time", "MicroTime": "micro-time", "IntOrString": "int-or-string",
         "FieldsV1": "raw", "RawExtension": "raw", "Verbs": "list"}

# The table tells neither which scalars are pointers in Go's types, nor which structs are not, nor which types are kinds.
POINTERS = """
AppArmorProfile:localhostProfile  AzureDiskVolumeSource:cachingMode,fsType,readOnly,kind
CSIVolumeSource:readOnly,fsType  ClusterTrustBundleProjection:name,signerName,optional  ConfigMap:immutable
ConfigMapEnvSource:optional  ConfigMapKeySelector:optional  ConfigMapProjection:optional
ConfigMapVolumeSource:defaultMode,optional  Container:restartPolicy  ContainerStatus:started,stopSignal
DownwardAPIVolumeFile:mode  DownwardAPIVolumeSource:defaultMode  EphemeralContainerCommon:restartPolicy
FCVolumeSource:lun  FileKeySelector:optional  GRPCAction:service  HostPathVolumeSource:type
ISCSIVolumeSource:initiatorName  KeyToPath:mode  Lifecycle:stopSignal  NodeFeatures:supplementalGroupsPolicy
NodeRuntimeHandlerFeatures:recursiveReadOnlyMounts,userNamespaces  NodeSwapStatus:capacity
PersistentVolumeClaimSpec:storageClassName,volumeMode,volumeAttributesClassName
PersistentVolumeClaimStatus:currentVolumeAttributesClassName  PodCertificateProjection:maxExpirationSeconds
PodDNSConfigOption:value  PodLogOptions:sinceSeconds,tailLines,limitBytes,stream
PodResourceClaim:resourceClaimName,resourceClaimTemplateName  PodResourceClaimStatus:resourceClaimName
PodSchedulingGroup:podGroupName  PriorityClass:preemptionPolicy
PodSecurityContext:runAsUser,runAsGroup,runAsNonRoot,supplementalGroupsPolicy,fsGroup,fsGroupChangePolicy,seLinuxChangePolicy
PodSpec:terminationGracePeriodSeconds,activeDeadlineSeconds,automountServiceAccountToken,shareProcessNamespace,priority,runtimeClassName,enableServiceLinks,preemptionPolicy,setHostnameAsFQDN,hostUsers,hostnameOverride
Probe:terminationGracePeriodSeconds  ProjectedVolumeSource:defaultMode  ResourceHealth:message
SeccompProfile:localhostProfile  Secret:immutable  SecretEnvSource:optional  SecretKeySelector:optional
SecretProjection:optional  SecretVolumeSource:defaultMode,optional
SecurityContext:privileged,runAsUser,runAsGroup,runAsNonRoot,readOnlyRootFilesystem,allowPrivilegeEscalation,procMount
ServiceAccountTokenProjection:expirationSeconds  Toleration:tolerationSeconds
TopologySpreadConstraint:minDomains,nodeAffinityPolicy,nodeTaintsPolicy  TypedLocalObjectReference:apiGroup
TypedObjectReference:apiGroup,namespace  VolumeMount:recursiveReadOnly,mountPropagation
VolumeMountStatus:recursiveReadOnly
WindowsSecurityContextOptions:gmsaCredentialSpecName,gmsaCredentialSpec,runAsUserName,hostProcess
DeleteOptions:gracePeriodSeconds,orphanDependents,propagationPolicy,ignoreStoreReadErrorWithClusterBreakingPotential
ListMeta:remainingItemCount  ListOptions:timeoutSeconds,sendInitialEvents
ObjectMeta:deletionGracePeriodSeconds  OwnerReference:controller,blockOwnerDeletion  PatchOptions:force
Preconditions:uid,resourceVersion
"""
VALUES = """
Binding:metadata,target  ConfigMap:metadata  ConfigMapList:metadata  Container:resources
ContainerStateRunning:startedAt  ContainerStateTerminated:startedAt,finishedAt
ContainerStatus:state,lastState  EphemeralContainerCommon:resources
Event:metadata,involvedObject,source,firstTimestamp,lastTimestamp,eventTime  EventList:metadata
EventSeries:lastObservedTime  HTTPGetAction:port  Namespace:metadata,spec,status
NamespaceCondition:lastTransitionTime  NamespaceList:metadata  Node:metadata,spec,status
NodeCondition:lastHeartbeatTime,lastTransitionTime  NodeDaemonEndpoints:kubeletEndpoint  NodeList:metadata
NodeStatus:daemonEndpoints,nodeInfo  PersistentVolumeClaim:metadata,spec,status
PersistentVolumeClaimCondition:lastProbeTime,lastTransitionTime  PersistentVolumeClaimList:metadata
PersistentVolumeClaimSpec:resources  PersistentVolumeClaimTemplate:metadata,spec  Pod:metadata,spec,status
PodCondition:lastProbeTime,lastTransitionTime  PodList:metadata  PodTemplate:metadata,template
PodTemplateSpec:metadata,spec  PreferredSchedulingTerm:preference  ResourceFieldSelector:divisor
Secret:metadata  SecretList:metadata  TCPSocketAction:port  WeightedPodAffinityTerm:podAffinityTerm
APIGroup:preferredVersion  APIResource:verbs  ObjectMeta:creationTimestamp  PartialObjectMetadata:metadata
PartialObjectMetadataList:metadata  PriorityClass:metadata  RuntimeClass:metadata
Status:metadata
"""
OMITZERO = "ObjectMeta:creationTimestamp"
KINDS = """
PersistentVolumeClaim Pod PodTemplate Node Namespace Binding PodLogOptions PodAttachOptions PodExecOptions
PodPortForwardOptions Event Secret ConfigMap ListOptions GetOptions DeleteOptions CreateOptions PatchOptions
UpdateOptions Status APIVersions APIGroupList APIGroup APIResourceList PartialObjectMetadata
PriorityClass RuntimeClass PersistentVolumeClaimList PodList NodeList NamespaceList EventList SecretList ConfigMapList
PartialObjectMetadataList
""".split()

# scheduling.k8s.io/v1 and node.k8s.io/v1, in the table's columns.
OTHER_GROUPS = """
PriorityClass	metadata	1	optional	ObjectMeta			omitempty
PriorityClass	value	2	optional	int32			always
PriorityClass	globalDefault	3	optional	bool			omitempty
PriorityClass	description	4	optional	string			omitempty
PriorityClass	preemptionPolicy	5	optional	string			omitempty
RuntimeClass	metadata	1	optional	ObjectMeta			omitempty
RuntimeClass	handler	2	optional	string			always
RuntimeClass	overhead	3	optional	Overhead			omitempty
RuntimeClass	scheduling	4	optional	Scheduling			omitempty
Overhead	podFixed	1		map<string,resource.Quantity>			omitempty
Scheduling	nodeSelector	1		map<string,string>			omitempty
Scheduling	tolerations	2	repeated	Toleration			omitempty
"""


def facts(text):
    """"A:x,y  B:z" as a set of (message, field)."""
    return {(m, f) for m, fs in (entry.split(":") for entry in text.split()) for f in fs.split(",")}


def name(t):
    t = t.split(".")[-1]
    return "V1" + t


def main():
    messages = collections.OrderedDict()
    for line in list(open(sys.argv[1])) + OTHER_GROUPS.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        c = line.rstrip("\n").split("\t") + [""] * 10
        m, f, num, label, typ, json, inline, omit, strategy, key = c[:10]
        messages.setdefault(m, []).append((f, int(num), label, typ, json, inline, omit, strategy, key))
    names = {name(m) for m in messages}
    pointers, values, omitzero = facts(POINTERS), facts(VALUES), facts(OMITZERO)
    print("// Kubernetes 1.36 core/v1 and what it uses: names and numbers as Kubernetes publishes them.")
    print("// Made by scripts/gen-proto.py. `//@` marks what JSON does differently; see src/api/fields.h.")
    print('syntax = "proto2";\n')
    for e, t in (("V1StringEntry", "string"), ("V1QuantityEntry", "V1Quantity"), ("V1BytesEntry", "bytes")):
        print("// One entry of a map; on the wire the same as map<string, %s>." % t)
        print("message %s {\n  optional string key = 1;\n  optional %s value = 2;\n}\n" % (e, t))
    if "V1RawExtension" not in names:
        print("message V1RawExtension {  //@ form=raw\n  optional bytes raw = 1;\n}\n")
    for m, fields in messages.items():
        bare = m.split(".")[-1]
        marks = ["kind"] if bare in KINDS else ["form=" + FORMS[bare]] if bare in FORMS else []
        print("message %s {%s" % (name(m), "  //@ " + " ".join(marks) if marks else ""))
        for f, num, label, typ, json, inline, omit, strategy, key in fields:
            marks = []
            if typ.startswith("map<"):
                label, typ = "repeated", MAPS[typ[4:-1].split(",")[1]]
                marks.append("map")
            elif typ == "" :
                sys.exit("no type: %s.%s" % (m, f))
            elif typ not in SCALARS:
                typ = name(typ)
                if typ not in names and typ != "V1RawExtension":
                    sys.exit("unknown type %s in %s.%s" % (typ, m, f))
            if json:
                marks.append("json=" + json)
            if inline:
                marks.append("inline")
            if omit == "always":
                marks.append("always")
            where = (bare, json or f)
            for mark, known in (("pointer", pointers), ("value", values), ("omitzero", omitzero)):
                if where in known:
                    marks.append(mark)
                    known.discard(where)
            if strategy:
                marks.append("patch=" + strategy)
            if key:
                marks.append("key=" + key)
            print("  %s %s %s = %d;%s" % (label, typ, f, num, "  //@ " + " ".join(marks) if marks else ""))
        print("}\n")
    if pointers or values or omitzero:
        sys.exit("no such field: %s" % (pointers | values | omitzero))


main()
