#include "fixture.h"

#define C "'containers': [{'name': 'a', 'image': 'x'}]"
#define CONTAINER(fields) "'containers': [{'name': 'a', 'image': 'x', " fields "}]"
#define VOLUME(fields) C ", 'volumes': [{'name': 'v', " fields "}]"
#define MOUNT(volume, mount) \
        "'containers': [{'name': 'a', 'image': 'x', 'volumeMounts': [{'name': 'v', 'mountPath': '/v', " mount "}]}], " \
        "'volumes': [{'name': 'v', " volume "}]"
#define AFFINITY "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"

/* Each spec breaks one rule; the fault named must be among those found. */
static const struct {
        const char *spec, *path;
        enum diagnostic_cause cause;
} refused[] = {
        { "", "spec.containers", DIAGNOSTIC_REQUIRED },
        { "'containers': [{'image': 'x'}]", "spec.containers[0].name", DIAGNOSTIC_REQUIRED },
        { "'containers': [{'name': 'a', 'image': 'x'}, {'name': 'a', 'image': 'x'}]", "spec.containers[1].name",
          DIAGNOSTIC_DUPLICATE },
        { CONTAINER("'imagePullPolicy': 'Sometimes'"), "spec.containers[0].imagePullPolicy", DIAGNOSTIC_NOT_SUPPORTED },
        { "'containers': [{'name': 'a', 'image': ' x'}]", "spec.containers[0].image", DIAGNOSTIC_INVALID },
        { CONTAINER("'terminationMessagePolicy': 'Logs'"), "spec.containers[0].terminationMessagePolicy",
          DIAGNOSTIC_NOT_SUPPORTED },
        { C ", 'initContainers': [{'name': 'a', 'image': 'x'}]", "spec.initContainers[0].name", DIAGNOSTIC_DUPLICATE },
        { C ", 'initContainers': [{'name': 'i', 'image': 'x', 'livenessProbe': {'grpc': {'port': 1}}}]",
          "spec.initContainers[0].livenessProbe", DIAGNOSTIC_FORBIDDEN },
        { C ", 'ephemeralContainers': [{'name': 'e', 'image': 'x'}]", "spec.ephemeralContainers",
          DIAGNOSTIC_FORBIDDEN },
        { C ", 'ephemeralContainers': [{'name': 'e', 'image': 'x', 'ports': [{'containerPort': 1}]}]",
          "spec.ephemeralContainers[0].ports", DIAGNOSTIC_FORBIDDEN },
        { C ", 'ephemeralContainers': [{'name': 'e', 'image': 'x', 'targetContainerName': 'z'}]",
          "spec.ephemeralContainers[0].targetContainerName", DIAGNOSTIC_NOT_FOUND },
        { C ", 'ephemeralContainers': [{'name': 'a', 'image': 'x'}]", "spec.ephemeralContainers[0].name",
          DIAGNOSTIC_DUPLICATE },

        /* ports */
        { CONTAINER("'ports': [{'name': 'p', 'containerPort': 1}, {'name': 'p', 'containerPort': 2}]"),
          "spec.containers[0].ports[1].name", DIAGNOSTIC_DUPLICATE },
        { "'containers': [{'name': 'a', 'image': 'x', 'ports': [{'containerPort': 1, 'hostPort': 9}]}, "
          "{'name': 'b', 'image': 'x', 'ports': [{'containerPort': 2, 'hostPort': 9}]}]",
          "spec.containers[1].ports[0].hostPort", DIAGNOSTIC_DUPLICATE },
        { "'hostNetwork': true, " CONTAINER("'ports': [{'containerPort': 1, 'hostPort': 9}]"),
          "spec.containers[0].ports[0].hostPort", DIAGNOSTIC_INVALID },

        /* environment */
        { CONTAINER("'env': [{'name': 'A=B'}]"), "spec.containers[0].env[0].name", DIAGNOSTIC_INVALID },
        { CONTAINER("'env': [{'name': 'A', 'valueFrom': {'fieldRef': {'fieldPath': 'metadata.labels'}}}]"),
          "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath", DIAGNOSTIC_NOT_SUPPORTED },
        { CONTAINER(
                  "'env': [{'name': 'A', 'valueFrom': {'fieldRef': {'fieldPath': 'metadata.name[\\u0027x\\u0027]'}}}]"),
          "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath", DIAGNOSTIC_INVALID },
        { CONTAINER("'env': [{'name': 'A', 'valueFrom': {'resourceFieldRef': {'resource': 'limits.cpu', 'divisor': "
                    "'2'}}}]"),
          "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor", DIAGNOSTIC_INVALID },
        { CONTAINER("'env': [{'name': 'A', 'valueFrom': {'secretKeyRef': {'name': 's', 'key': 'a/b'}}}]"),
          "spec.containers[0].env[0].valueFrom.secretKeyRef.key", DIAGNOSTIC_INVALID },
        { CONTAINER(
                  "'env': [{'name': 'A', 'valueFrom': {'fileKeyRef': {'volumeName': 'v', 'path': 'f', 'key': 'k'}}}]"),
          "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName", DIAGNOSTIC_NOT_FOUND },
        { CONTAINER("'env': [{'name': 'A', 'valueFrom': {'fileKeyRef': {'volumeName': 'v', 'path': '../f', 'key': "
                    "'k'}}}]"),
          "spec.containers[0].env[0].valueFrom.fileKeyRef.path", DIAGNOSTIC_INVALID },
        { CONTAINER("'env': [{'name': 'A', 'valueFrom': {'fileKeyRef': {'volumeName': 'v', 'path': 'f', 'key': "
                    "'k'}}}]") ", 'volumes': [{'name': 'v', 'hostPath': {'path': '/'}}]",
          "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName", DIAGNOSTIC_INVALID },

        /* mounts and devices */
        { MOUNT("'emptyDir': {}", "'subPath': '/abs'"), "spec.containers[0].volumeMounts.subPath", DIAGNOSTIC_INVALID },
        { MOUNT("'emptyDir': {}", "'mountPropagation': 'Bidirectional'"),
          "spec.containers[0].volumeMounts.mountPropagation", DIAGNOSTIC_FORBIDDEN },
        { MOUNT("'emptyDir': {}", "'recursiveReadOnly': 'Enabled'"),
          "spec.containers[0].volumeMounts.recursiveReadOnly", DIAGNOSTIC_FORBIDDEN },
        { "'containers': [{'name': 'a', 'image': 'x', 'volumeDevices': [{'name': 'v', 'devicePath': '/d'}]}], "
          "'volumes': [{'name': 'v', 'emptyDir': {}}]",
          "spec.containers[0].volumeDevices[0].name", DIAGNOSTIC_INVALID },
        { "'hostUsers': false, 'containers': [{'name': 'a', 'image': 'x', 'volumeDevices': [{'name': 'v', "
          "'devicePath': '/d'}]}], 'volumes': [{'name': 'v', 'persistentVolumeClaim': {'claimName': 'c'}}]",
          "spec.containers[0].volumeDevices", DIAGNOSTIC_FORBIDDEN },

        /* volumes */
        { VOLUME("'emptyDir': {}, 'nfs': {'server': 's', 'path': '/'}"), "spec.volumes[0].nfs", DIAGNOSTIC_FORBIDDEN },
        { VOLUME("'emptyDir': {'sizeLimit': '-1'}"), "spec.volumes[0].emptyDir.sizeLimit", DIAGNOSTIC_FORBIDDEN },
        { VOLUME("'hostPath': {'path': '/a/../b'}"), "spec.volumes[0].hostPath.path", DIAGNOSTIC_INVALID },
        { VOLUME("'nfs': {'server': 's', 'path': 'rel'}"), "spec.volumes[0].nfs.path", DIAGNOSTIC_INVALID },
        { VOLUME("'rbd': {'image': 'i'}"), "spec.volumes[0].rbd.monitors", DIAGNOSTIC_REQUIRED },
        { VOLUME("'gcePersistentDisk': {'pdName': ''}"), "spec.volumes[0].persistentDisk.pdName", DIAGNOSTIC_REQUIRED },
        { VOLUME("'iscsi': {'targetPortal': 't', 'iqn': 'iqn.2001', 'lun': 0}"), "spec.volumes[0].iscsi.iqn",
          DIAGNOSTIC_INVALID },
        { VOLUME("'flexVolume': {'driver': 'd', 'options': {'kubernetes.io/x': 'y'}}"),
          "spec.volumes[0].flexVolume.options[kubernetes.io/x]", DIAGNOSTIC_INVALID },
        { VOLUME("'csi': {'driver': '-'}"), "spec.volumes[0].csi.driver", DIAGNOSTIC_INVALID },
        { VOLUME("'image': {'reference': ''}"), "spec.volumes[0].image.reference", DIAGNOSTIC_REQUIRED },
        { VOLUME("'configMap': {'name': 'c', 'defaultMode': 512}"), "spec.volumes[0].configMap.defaultMode",
          DIAGNOSTIC_INVALID },
        { VOLUME("'secret': {'secretName': 's', 'items': [{'key': 'k', 'path': '..x'}]}"),
          "spec.volumes[0].secret.items[0].path", DIAGNOSTIC_INVALID },
        { VOLUME("'downwardAPI': {'items': [{'path': 'p'}]}"), "spec.volumes[0].downwardAPI", DIAGNOSTIC_REQUIRED },
        { VOLUME("'projected': {'sources': [{'secret': {'name': 's', 'items': [{'key': 'k', 'path': 'f'}]}}, "
                 "{'configMap': {'name': 'c', 'items': [{'key': 'k', 'path': 'f'}]}}]}"),
          "spec.volumes[0].projected", DIAGNOSTIC_INVALID },
        { VOLUME("'projected': {'sources': [{'secret': {'name': 's'}, 'configMap': {'name': 'c'}}]}"),
          "spec.volumes[0].projected.sources[0]", DIAGNOSTIC_FORBIDDEN },
        { VOLUME("'projected': {'sources': [{'serviceAccountToken': {'path': 't', 'expirationSeconds': 5}}]}"),
          "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds", DIAGNOSTIC_INVALID },
        { VOLUME("'ephemeral': {}"), "spec.volumes[0].ephemeral.volumeClaimTemplate", DIAGNOSTIC_REQUIRED },
        { VOLUME("'ephemeral': {'volumeClaimTemplate': {'metadata': {'name': 'n'}, 'spec': {'accessModes': "
                 "['ReadWriteOnce'], 'resources': {'requests': {'storage': '1'}}}}}"),
          "spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name", DIAGNOSTIC_FORBIDDEN },
        { VOLUME("'ephemeral': {'volumeClaimTemplate': {'spec': {'accessModes': ['ReadWriteOnce'], 'resources': "
                 "{'requests': {'storage': '1'}}}}}}, {'name': 'w', 'persistentVolumeClaim': {'claimName': 'p-v'}"),
          "spec.volumes[1].persistentVolumeClaim.claimName", DIAGNOSTIC_INVALID },

        /* probes and hooks */
        { CONTAINER("'lifecycle': {'preStop': {}}"), "spec.containers[0].lifecycle.preStop", DIAGNOSTIC_REQUIRED },
        { CONTAINER("'readinessProbe': {'grpc': {'port': 1}, 'terminationGracePeriodSeconds': 1}"),
          "spec.containers[0].readinessProbe.terminationGracePeriodSeconds", DIAGNOSTIC_INVALID },
        { CONTAINER("'livenessProbe': {'httpGet': {'port': 1, 'httpHeaders': [{'name': 'a b', 'value': ''}]}}"),
          "spec.containers[0].livenessProbe.httpGet.httpHeaders", DIAGNOSTIC_INVALID },

        /* restarts */
        { CONTAINER("'restartPolicy': 'Never', 'restartPolicyRules': [{'action': 'Stop', 'exitCodes': {'operator': "
                    "'In'}}]"),
          "spec.containers[0].restartPolicyRules[0].action", DIAGNOSTIC_NOT_SUPPORTED },
        { CONTAINER("'restartPolicyRules': [{'action': 'Restart', 'exitCodes': {'operator': 'In'}}]"),
          "spec.containers[0].restartPolicy", DIAGNOSTIC_REQUIRED },
        { "'restartPolicy': 'Never', " CONTAINER("'resizePolicy': [{'resourceName': 'cpu', 'restartPolicy': "
                                                 "'RestartContainer'}]"),
          "spec.containers[0].resizePolicy", DIAGNOSTIC_INVALID },

        /* resources */
        { CONTAINER("'resources': {'requests': {'gpu': '1'}}"), "spec.containers[0].resources.requests[gpu]",
          DIAGNOSTIC_INVALID },
        { CONTAINER("'resources': {'requests': {'a.example/gpu': '1'}}"), "spec.containers[0].resources.limits",
          DIAGNOSTIC_REQUIRED },
        { CONTAINER("'resources': {'limits': {'a.example/gpu': '1500m'}}"),
          "spec.containers[0].resources.limits[a.example/gpu]", DIAGNOSTIC_INVALID },
        { CONTAINER("'resources': {'limits': {'hugepages-2Mi': '4Mi'}}"), "spec.containers[0].resources",
          DIAGNOSTIC_FORBIDDEN },
        { CONTAINER("'resources': {'limits': {'cpu': '1', 'hugepages-2Mi': '3Mi'}}"),
          "spec.containers[0].resources.limits[hugepages-2Mi]", DIAGNOSTIC_INVALID },
        { CONTAINER("'resources': {'claims': [{'name': 'c'}]}"), "spec.containers[0].resources.claims[0]",
          DIAGNOSTIC_NOT_FOUND },
        { C ", 'resourceClaims': [{'name': 'c'}]", "spec.resourceClaims[0]", DIAGNOSTIC_INVALID },
        { "'resources': {'limits': {'ephemeral-storage': '1'}}, " C, "spec.resources.limits[ephemeral-storage]",
          DIAGNOSTIC_NOT_SUPPORTED },
        { "'resources': {'requests': {'cpu': '1'}}, " CONTAINER("'resources': {'requests': {'cpu': '2'}}"),
          "spec.resources.requests[cpu]", DIAGNOSTIC_INVALID },
        { "'resources': {'limits': {'cpu': '1'}}, " CONTAINER("'resources': {'limits': {'cpu': '2'}, 'requests': "
                                                              "{'cpu': '1'}}"),
          "spec.resources.containers[0][cpu].limits", DIAGNOSTIC_INVALID },
        { C ", 'overhead': {'cpu': '-1'}", "spec.overhead.limits[cpu]", DIAGNOSTIC_INVALID },

        /* security */
        { CONTAINER("'securityContext': {'procMount': 'Unmasked'}"), "spec.containers[0].securityContext.procMount",
          DIAGNOSTIC_INVALID },
        { CONTAINER("'securityContext': {'allowPrivilegeEscalation': false, 'capabilities': {'add': "
                    "['CAP_SYS_ADMIN']}}"),
          "spec.containers[0].securityContext", DIAGNOSTIC_INVALID },
        { CONTAINER("'securityContext': {'seccompProfile': {'type': 'Localhost'}}"),
          "spec.containers[0].securityContext.seccompProfile.localhostProfile", DIAGNOSTIC_REQUIRED },
        { CONTAINER("'securityContext': {'appArmorProfile': {'type': 'RuntimeDefault', 'localhostProfile': 'x'}}"),
          "spec.containers[0].securityContext.appArmorProfile.localhostProfile", DIAGNOSTIC_INVALID },
        { "'hostIPC': true, 'securityContext': {'sysctls': [{'name': 'kernel.shmmax', 'value': '1'}]}, " C,
          "spec.securityContext.sysctls[0].name", DIAGNOSTIC_INVALID },
        { "'hostNetwork': true, 'securityContext': {'sysctls': [{'name': 'net/ipv4/ip_forward', 'value': '1'}]}, " C,
          "spec.securityContext.sysctls[0].name", DIAGNOSTIC_INVALID },
        { "'securityContext': {'seLinuxChangePolicy': 'MountOption'}, " C, "spec.securityContext.seLinuxChangePolicy",
          DIAGNOSTIC_NOT_SUPPORTED },
        { "'hostUsers': false, 'hostPID': true, " C, "spec.HostPID", DIAGNOSTIC_FORBIDDEN },
        { "'os': {'name': 'plan9'}, " C, "spec.os", DIAGNOSTIC_NOT_SUPPORTED },
        { "'os': {'name': 'windows'}, 'securityContext': {'fsGroup': 1}, " C, "spec.securityContext.fsGroup",
          DIAGNOSTIC_FORBIDDEN },
        { "'os': {'name': 'linux'}, " CONTAINER("'securityContext': {'windowsOptions': {}}"),
          "spec.containers[0].securityContext.windowsOptions", DIAGNOSTIC_FORBIDDEN },
        { CONTAINER("'securityContext': {'windowsOptions': {'hostProcess': true}}"), "spec.hostNetwork",
          DIAGNOSTIC_INVALID },

        /* stop signals */
        { CONTAINER("'lifecycle': {'stopSignal': 'SIGINT'}"), "spec.containers[0].lifecycle.stopSignal",
          DIAGNOSTIC_FORBIDDEN },
        { "'os': {'name': 'linux'}, " CONTAINER("'lifecycle': {'stopSignal': 'INT'}"),
          "spec.containers[0].lifecycle.stopSignal", DIAGNOSTIC_NOT_SUPPORTED },
        { "'os': {'name': 'linux'}, " CONTAINER("'lifecycle': {'stopSignal': 'SIGRTMIN+16'}"),
          "spec.containers[0].lifecycle.stopSignal", DIAGNOSTIC_NOT_SUPPORTED },
        { "'os': {'name': 'windows'}, " CONTAINER("'lifecycle': {'stopSignal': 'SIGINT'}"),
          "spec.containers[0].lifecycle.stopSignal", DIAGNOSTIC_NOT_SUPPORTED },

        /* names and network */
        { "'hostnameOverride': 'h', 'hostNetwork': true, " C, "spec.hostnameOverride", DIAGNOSTIC_FORBIDDEN },
        { "'hostnameOverride': 'h', 'setHostnameAsFQDN': true, " C, "spec.hostnameOverride", DIAGNOSTIC_FORBIDDEN },
        { "'hostnameOverride': 'a_b', " C, "spec.hostnameOverride", DIAGNOSTIC_INVALID },
        { "'hostAliases': [{'ip': '10.0.0.010'}], " C, "spec.hostAliases[0].ip", DIAGNOSTIC_INVALID },
        { "'hostAliases': [{'ip': '::ffff:1.2.3.4'}], " C, "spec.hostAliases[0].ip", DIAGNOSTIC_INVALID },
        { "'dnsConfig': {'nameservers': ['1.1.1.1', '2.2.2.2', '3.3.3.3', '4.4.4.4']}, " C,
          "spec.dnsConfig.nameservers", DIAGNOSTIC_INVALID },
        { "'dnsConfig': {'searches': ['-']}, " C, "spec.dnsConfig.searches[0]", DIAGNOSTIC_INVALID },
        { "'overhead': {'cpu': '1m'}, " C, "spec.overhead", DIAGNOSTIC_FORBIDDEN },
        { "'runtimeClassName': 'no-such', " C, "spec.runtimeClassName", DIAGNOSTIC_FORBIDDEN },
        { "'runtimeClassName': '', " C, "spec.runtimeClassName", DIAGNOSTIC_INVALID },
        { "'priority': 7, " C, "spec.priority", DIAGNOSTIC_FORBIDDEN },
        { "'priority': 7, 'priorityClassName': 'system-node-critical', " C, "spec.priority", DIAGNOSTIC_FORBIDDEN },
        { "'priorityClassName': 'gold', " C, "spec.priorityClassName", DIAGNOSTIC_FORBIDDEN },
        { "'preemptionPolicy': 'Maybe', " C, "spec.preemptionPolicy", DIAGNOSTIC_NOT_SUPPORTED },

        /* scheduling */
        { "'affinity': {'nodeAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': {'nodeSelectorTerms': "
          "[]}}}, " C,
          AFFINITY, DIAGNOSTIC_REQUIRED },
        { "'affinity': {'nodeAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': {'nodeSelectorTerms': "
          "[{'matchFields': [{'key': 'metadata.uid', 'operator': 'In', 'values': ['x']}]}]}}}, " C,
          AFFINITY "[0].matchFields[0].key", DIAGNOSTIC_INVALID },
        { "'affinity': {'nodeAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': {'nodeSelectorTerms': "
          "[{'matchExpressions': [{'key': 'k', 'operator': 'Exists', 'values': ['x']}]}]}}}, " C,
          AFFINITY "[0].matchExpressions[0].values", DIAGNOSTIC_FORBIDDEN },
        { "'affinity': {'podAffinity': {'preferredDuringSchedulingIgnoredDuringExecution': [{'weight': 101, "
          "'podAffinityTerm': {'topologyKey': 'k'}}]}}, " C,
          "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight", DIAGNOSTIC_INVALID },
        { "'affinity': {'podAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': [{'topologyKey': 'k', "
          "'labelSelector': {}, 'matchLabelKeys': ['a'], 'mismatchLabelKeys': ['a']}]}}, " C,
          "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[0]",
          DIAGNOSTIC_INVALID },
        { "'topologySpreadConstraints': [{'maxSkew': 1, 'topologyKey': 'k', 'whenUnsatisfiable': 'DoNotSchedule'}, "
          "{'maxSkew': 2, 'topologyKey': 'k', 'whenUnsatisfiable': 'DoNotSchedule'}], " C,
          "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}", DIAGNOSTIC_DUPLICATE },
        { "'topologySpreadConstraints': [{'maxSkew': 1, 'topologyKey': 'k', 'whenUnsatisfiable': 'ScheduleAnyway', "
          "'minDomains': 2}], " C,
          "spec.topologySpreadConstraints[0].minDomains", DIAGNOSTIC_INVALID },
        { "'topologySpreadConstraints': [{'maxSkew': 1, 'topologyKey': 'k', 'whenUnsatisfiable': 'ScheduleAnyway', "
          "'matchLabelKeys': ['app'], 'labelSelector': {'matchLabels': {'app': 'web'}}}], " C,
          "spec.topologySpreadConstraints[0].matchLabelKeys[0]", DIAGNOSTIC_INVALID },
        { "'tolerations': [{'operator': 'Equal'}], " C, "spec.tolerations[0].operator", DIAGNOSTIC_INVALID },
        { "'tolerations': [{'key': 'k', 'operator': 'Gt', 'value': '1'}], " C, "spec.tolerations[0].operator",
          DIAGNOSTIC_NOT_SUPPORTED },
        { "'tolerations': [{'key': 'k', 'effect': 'NoSchedule', 'tolerationSeconds': 1}], " C,
          "spec.tolerations[0].effect", DIAGNOSTIC_INVALID },
        { "'schedulingGates': [{'name': 'g'}, {'name': 'g'}], " C, "spec.schedulingGates[1]", DIAGNOSTIC_DUPLICATE },
        { "'schedulingGates': [{'name': 'g'}], 'nodeName': 'n', " C, "spec.nodeName", DIAGNOSTIC_FORBIDDEN },
        { "'readinessGates': [{'conditionType': '-'}], " C, "spec.readinessGates[0].conditionType",
          DIAGNOSTIC_INVALID },
};

TEST(each_broken_rule_is_reported_at_its_path_with_its_cause) {
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
                _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
                _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;

                api_validate_pod(fixture_pod(arena, refused[i].spec), &diags);
                if (!fixture_has(&diags, refused[i].path, refused[i].cause)) {
                        _cleanup_free_ char *found = fixture_messages(&diags);

                        fail_msg("{%s}: no %s at %s but %s", refused[i].spec, diagnostic_cause_string(refused[i].cause),
                                 refused[i].path, found);
                }
        }
}

/* What looks odd and is right. */
static const char *const accepted[] = {
        C,
        C ", 'terminationGracePeriodSeconds': -5",
        CONTAINER("'env': [{'name': 'a.b-c d', 'value': 'x'}]"),
        CONTAINER("'env': [{'name': 'A', 'valueFrom': {'fieldRef': {'fieldPath': "
                  "'metadata.annotations[\\u0027A.B/C\\u0027]'}}}]"),
        CONTAINER("'env': [{'name': 'A', 'valueFrom': {'resourceFieldRef': {'resource': 'requests.hugepages-2Mi'}}}]"),
        CONTAINER(
                "'restartPolicy': 'OnFailure', 'restartPolicyRules': [{'action': 'RestartAllContainers', 'exitCodes': "
                "{'operator': 'NotIn', 'values': [0, 1]}}]"),
        CONTAINER("'resources': {'limits': {'cpu': '1', 'hugepages-2Mi': '4Mi', 'vendor.example/fpga': '2'}}"),
        CONTAINER("'lifecycle': {'preStop': {'sleep': {'seconds': 0}}}"),
        "'os': {'name': 'linux'}, " CONTAINER("'lifecycle': {'stopSignal': 'SIGRTMAX-14'}"),
        "'os': {'name': 'windows'}, " CONTAINER("'lifecycle': {'stopSignal': 'SIGKILL'}"),
        CONTAINER("'securityContext': {'runAsNonRoot': true, 'runAsUser': 0}"),
        "'hostUsers': false, " CONTAINER("'securityContext': {'procMount': 'Unmasked'}"),
        "'hostNetwork': true, " CONTAINER("'ports': [{'containerPort': 80}]"),
        "'hostnameOverride': 'a.b', " C,
        "'dnsConfig': {'searches': ['.', '_srv.example.', 'a_b.example']}, " C,
        "'hostAliases': [{'ip': '2001:db8::1', 'hostnames': ['a.b']}], " C,
        "'tolerations': [{'operator': 'Exists'}, {'key': 'k', 'value': 'v'}], " C,
        "'resources': {'limits': {'cpu': '2', 'memory': '1Gi'}}, " CONTAINER("'resources': {'limits': {'cpu': '1'}}"),
        MOUNT("'image': {'reference': 'x'}", "'subPath': 'a/b'"),
        MOUNT("'emptyDir': {}", "'mountPropagation': 'Bidirectional'") ", 'restartPolicy': 'Never'",
        VOLUME("'projected': {'sources': [{'serviceAccountToken': {'path': 't'}}]}"),
        VOLUME("'projected': {'sources': [{'clusterTrustBundle': {'path': ''}}]}"),
        C ", 'initContainers': [{'name': 's', 'image': 'x', 'restartPolicy': 'Always', 'lifecycle': {'preStop': "
          "{'exec': {'command': ['x']}}}, 'ports': [{'containerPort': 1, 'hostPort': 9}]}, {'name': 't', 'image': 'x', "
          "'ports': [{'containerPort': 1, 'hostPort': 9}]}]",
        "'topologySpreadConstraints': [{'maxSkew': 1, 'topologyKey': 'k', 'whenUnsatisfiable': 'DoNotSchedule', "
        "'matchLabelKeys': ['app'], 'labelSelector': {}}], " C,
        "'affinity': {'podAntiAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': [{'topologyKey': 'k', "
        "'labelSelector': {}, 'matchLabelKeys': ['app'], 'mismatchLabelKeys': ['other']}]}}, " C,
        "'priority': 0, 'priorityClassName': '', " C,
        "'priority': 2000001000, 'priorityClassName': 'system-node-critical', " C,
        "'resourceClaims': [{'name': 'c', 'resourceClaimName': 'x'}], " CONTAINER("'resources': {'claims': [{'name': "
                                                                                  "'c', 'request': 'r'}, {'name': 'c', "
                                                                                  "'request': 's'}]}"),
        "'os': {'name': 'windows'}, 'hostNetwork': true, 'securityContext': {'windowsOptions': {'hostProcess': true, "
        "'runAsUserName': 'NT AUTHORITY\\\\SYSTEM'}}, " C,
};

TEST(what_kubernetes_accepts_is_accepted) {
        for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
                _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
                _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
                bool needs_privilege = strstr(accepted[i], "Bidirectional");
                V1Pod *pod = fixture_pod(arena, accepted[i]);

                if (needs_privilege) {
                        pod->spec->containers[0]->securitycontext = api_new(arena, &v1_security_context__descriptor);
                        pod->spec->containers[0]->securitycontext->has_privileged = true;
                        pod->spec->containers[0]->securitycontext->privileged = true;
                }
                api_validate_pod(pod, &diags);
                if (diags.n > 0) {
                        _cleanup_free_ char *found = fixture_messages(&diags);

                        fail_msg("{%s}: %s", accepted[i], found);
                }
        }
}

TEST(a_volume_with_a_fault_cannot_be_mounted_either) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;

        api_validate_pod(fixture_pod(arena, MOUNT("'hostPath': {'path': '..'}", "'readOnly': true")), &diags);
        assert_true(fixture_has(&diags, "spec.volumes[0].hostPath.path", DIAGNOSTIC_INVALID));
        assert_true(fixture_has(&diags, "spec.containers[0].volumeMounts[0].name", DIAGNOSTIC_NOT_FOUND));
}

TEST(sentences_are_kubernetes_own) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        _cleanup_free_ char *message = NULL;

        api_validate_pod(fixture_pod(arena, "'restartPolicy': 'Allways', " C), &diags);
        assert_int_equal(diags.n, 1);
        message = diagnostic_message(&diags.items[0]);
        assert_string_equal(message, "spec.restartPolicy: Unsupported value: \"Allways\": supported values: "
                                     "\"Always\", \"OnFailure\", \"Never\"");
}

TEST(a_pod_without_anything_is_refused_and_nothing_breaks) {
        V1Pod pod = V1_POD__INIT;
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;

        api_validate_pod(&pod, &diags);
        assert_true(fixture_has(&diags, "metadata.name", DIAGNOSTIC_REQUIRED));
        assert_true(fixture_has(&diags, "spec.containers", DIAGNOSTIC_REQUIRED));
}

TEST(profiles_in_annotations_must_agree_with_the_fields) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;

        api_validate_pod(
                fixture_object(arena, &v1_pod__descriptor,
                               "{'metadata': {'name': 'p', 'namespace': 'd', 'annotations': {"
                               "'container.apparmor.security.beta.kubernetes.io/a': 'unconfined', "
                               "'container.seccomp.security.alpha.kubernetes.io/a': 'runtime/default', "
                               "'container.apparmor.security.beta.kubernetes.io/z': 'bogus', "
                               "'controller.kubernetes.io/pod-deletion-cost': '08'}}, 'spec': {'containers': [{'name': "
                               "'a', 'image': 'x', 'securityContext': {'appArmorProfile': {'type': 'RuntimeDefault'}, "
                               "'seccompProfile': {'type': 'Unconfined'}}}]}}"),
                &diags);
        assert_true(
                fixture_has(&diags, "spec.containers[0].securityContext.appArmorProfile.type", DIAGNOSTIC_FORBIDDEN));
        assert_true(
                fixture_has(&diags, "spec.containers[0].securityContext.seccompProfile.type", DIAGNOSTIC_FORBIDDEN));
        assert_true(fixture_has(&diags, "metadata.annotations[container.apparmor.security.beta.kubernetes.io/z]",
                                DIAGNOSTIC_INVALID));
        assert_true(fixture_has(&diags, "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]",
                                DIAGNOSTIC_INVALID));
        assert_int_equal(diags.n, 5);
}

/* Whatever else stands in the metadata of a claim's template would be without effect, so Kubernetes refuses it. */
TEST(the_template_of_a_claim_has_labels_and_annotations_alone) {
        static const char *const fields[] = { "name",
                                              "generateName",
                                              "namespace",
                                              "selfLink",
                                              "uid",
                                              "resourceVersion",
                                              "generation",
                                              "creationTimestamp",
                                              "deletionTimestamp",
                                              "deletionGracePeriodSeconds",
                                              "ownerReferences",
                                              "finalizers",
                                              "managedFields" };
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        V1Pod *pod = fixture_pod(
                arena, C
                ", 'volumes': [{'name': 'v', 'ephemeral': {'volumeClaimTemplate': {'metadata': {'labels': {'a': 'b'}, "
                "'annotations': {'c': 'd'}, 'name': 'n', 'generateName': 'n-', 'namespace': 'd', 'selfLink': '/x', "
                "'uid': 'u', 'resourceVersion': '1', 'generation': 1, 'creationTimestamp': '2026-01-01T00:00:00Z', "
                "'deletionTimestamp': '2026-01-01T00:00:00Z', 'deletionGracePeriodSeconds': 1, 'ownerReferences': "
                "[{'apiVersion': 'v1', 'kind': 'Pod', 'name': 'p', 'uid': 'u'}], 'finalizers': ['a.b/c'], "
                "'managedFields': [{'manager': 'm'}]}, 'spec': {'accessModes': ['ReadWriteOnce'], 'resources': "
                "{'requests': {'storage': '1Mi'}}}}}}]");

        api_validate(&pod->base, NULL, &diags);
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                _cleanup_free_ char *path =
                        xasprintf("spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.%s", fields[i]);
                _cleanup_free_ char *all = fixture_messages(&diags);

                if (!fixture_has(&diags, path, DIAGNOSTIC_FORBIDDEN))
                        fail_msg("%s is not refused: %s", path, all);
        }
        assert_int_equal(diags.n, ARRAY_SIZE(fields));
}

static bool owners_are_valid(const char *owners) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        _cleanup_free_ char *text = xasprintf(
                "{'metadata': {'name': 'p', 'namespace': 'default', 'ownerReferences': [%s]}, 'spec': {" C "}}",
                owners);
        V1Pod *pod = fixture_object(arena, &v1_pod__descriptor, text);

        api_validate(&pod->base, NULL, &diags);
        return diags.n == 0;
}

#define OWNER(fields) "{'apiVersion': 'v1', 'kind': 'Pod', 'name': 'a', 'uid': 'u'" fields "}"

TEST(owners_are_named_in_full_and_one_of_them_controls) {
        assert_true(owners_are_valid(OWNER("") ", " OWNER(", 'controller': true")));
        assert_false(owners_are_valid(OWNER(", 'controller': true") ", " OWNER(", 'controller': true")));
}

TEST(a_field_is_asked_for_in_a_version_of_the_api_that_there_is) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        V1Pod *pod =
                fixture_pod(arena, CONTAINER("'env': [{'name': 'A', 'valueFrom': {'fieldRef': {'apiVersion': 'v2', "
                                             "'fieldPath': 'metadata.name'}}}]"));

        api_validate(&pod->base, NULL, &diags);
        assert_true(fixture_has(&diags, "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath", DIAGNOSTIC_INVALID));
}
