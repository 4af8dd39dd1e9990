#include "test.h"

#include "api/api.h"
#include "base/str.h"
#include "husk-pod/admit.h"

static struct api_arena *arena;

static void *decode(const char *text, const ProtobufCMessageDescriptor *descriptor) {
        _cleanup_free_ char *copy = xstrdup(text);
        struct diagnostics diags = DIAGNOSTICS_INIT;
        json_t *json;
        void *message;

        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        json = json_loads(copy, 0, NULL);
        if (!json)
                fail_msg("bad JSON: %s", copy);
        message = api_decode(json, descriptor, arena, &diags);
        if (!message || diags.n)
                fail_msg("bad object: %s", copy);
        diagnostics_release(&diags);
        json_decref(json);
        return message;
}

#define NODE \
        "{'metadata':{'name':'node1','labels':{'disktype':'ssd','cores':'8'}},'spec':{%s},'status':{'allocatable':" \
        "{'cpu':'2','memory':'1Gi','pods':'3'}}}"

static struct admission_result ask(const char *node_spec, const char *pod_spec, const char *claims) {
        _cleanup_free_ char *node = xasprintf(NODE, node_spec);
        _cleanup_free_ char *pod = xasprintf("{'metadata':{'name':'web','uid':'u1'},'spec':%s}", pod_spec);
        _cleanup_free_ char *claims_text = xstrdup(claims);
        struct admit_facts facts = { 0 };
        struct admission_result result;

        for (char *p = claims_text; *p; p++)
                if (*p == '\'')
                        *p = '"';
        arena = api_arena_new();
        facts.node = decode(node, &v1_node__descriptor);
        facts.claims = json_loads(claims_text, 0, NULL);
        admit_pod(decode(pod, &v1_pod__descriptor), &facts, &result);
        json_decref((json_t *)facts.claims);
        arena = api_arena_free(arena);
        return result;
}

#define PREEMPTION_USELESS \
        " no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for " \
        "scheduling."
#define PREEMPTION_NO_VICTIMS \
        " no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for " \
        "incoming pod."
#define C "'containers':[{'name':'a'}]"
#define REQUESTS(r) "{'containers':[{'name':'a','resources':{'requests':{" r "}}}]}"
#define AFFINITY(e) \
        "{'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{'nodeSelectorTerms':[{'" \
        "matchExpressions':[" e "]}]}}}," C "}"
#define NO_MATCH "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector." PREEMPTION_USELESS

TEST(the_scheduler_says_what_does_not_fit) {
        static const struct {
                const char *node, *pod, *claims;
                enum admission admission;
                const char *message;
        } rows[] = {
                { "", "{" C "}", "{}", ADMIT_YES, "" },
                { "", "{'nodeSelector':{'disktype':'ssd'}," C "}", "{}", ADMIT_YES, "" },
                { "", "{'nodeSelector':{'disktype':'hdd'}," C "}", "{}", ADMIT_WAIT, NO_MATCH },
                { "", "{'nodeSelector':{'other':'x'}," C "}", "{}", ADMIT_WAIT, NO_MATCH },
                { "", AFFINITY("{'key':'disktype','operator':'In','values':['ssd','nvme']}"), "{}", ADMIT_YES, "" },
                { "", AFFINITY("{'key':'disktype','operator':'NotIn','values':['ssd']}"), "{}", ADMIT_WAIT, NO_MATCH },
                { "", AFFINITY("{'key':'cores','operator':'Gt','values':['7']}"), "{}", ADMIT_YES, "" },
                { "", AFFINITY("{'key':'gpu','operator':'Exists'}"), "{}", ADMIT_WAIT, NO_MATCH },
                { "'taints':[{'key':'k','value':'v','effect':'NoSchedule'}]", "{" C "}", "{}", ADMIT_WAIT,
                  "0/1 nodes are available: 1 node(s) had untolerated taint(s)." PREEMPTION_USELESS },
                { "'taints':[{'key':'k','value':'v','effect':'NoSchedule'}]",
                  "{'tolerations':[{'key':'k','value':'v'}]," C "}", "{}", ADMIT_YES, "" },
                { "'taints':[{'key':'k','value':'v','effect':'NoSchedule'}]",
                  "{'tolerations':[{'operator':'Exists'}]," C "}", "{}", ADMIT_YES, "" },
                { "'taints':[{'key':'k','value':'v','effect':'NoSchedule'}]",
                  "{'tolerations':[{'key':'k','operator':'Exists','effect':'NoExecute'}]," C "}", "{}", ADMIT_WAIT,
                  "0/1 nodes are available: 1 node(s) had untolerated taint(s)." PREEMPTION_USELESS },
                { "'taints':[{'key':'k','effect':'PreferNoSchedule'}]", "{" C "}", "{}", ADMIT_YES, "" },
                { "'unschedulable':true", "{" C "}", "{}", ADMIT_WAIT,
                  "0/1 nodes are available: 1 node(s) were unschedulable." PREEMPTION_USELESS },
                { "", REQUESTS("'cpu':'2'"), "{}", ADMIT_YES, "" },
                { "", REQUESTS("'cpu':'2001m'"), "{}", ADMIT_WAIT,
                  "0/1 nodes are available: 1 Insufficient cpu." PREEMPTION_USELESS },
                { "", REQUESTS("'cpu':'1','memory':'1Gi'"), "{'u2':{'resources':{'cpu':1500,'memory':1}}}", ADMIT_WAIT,
                  "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory." PREEMPTION_NO_VICTIMS },
                { "", REQUESTS("'cpu':'1'"), "{'u1':{'resources':{'cpu':1500}}}", ADMIT_YES, "" }, /* its own claim */
                { "", REQUESTS("'example.com/gpu':'1'"), "{}", ADMIT_WAIT,
                  "0/1 nodes are available: 1 Insufficient example.com/gpu." PREEMPTION_USELESS },
                { "", "{" C "}", "{'a':{},'b':{},'c':{}}", ADMIT_WAIT,
                  "0/1 nodes are available: 1 Too many pods." PREEMPTION_NO_VICTIMS },
                { "", "{'containers':[{'name':'a','ports':[{'containerPort':80,'hostPort':8080}]}]}",
                  "{'u2':{'ports':[{'ip':'0.0.0.0','protocol':'TCP','port':8080}]}}", ADMIT_WAIT,
                  "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod "
                  "ports." PREEMPTION_NO_VICTIMS },
                { "", "{'containers':[{'name':'a','ports':[{'containerPort':80,'hostPort':8080,'protocol':'UDP'}]}]}",
                  "{'u2':{'ports':[{'ip':'0.0.0.0','protocol':'TCP','port':8080}]}}", ADMIT_YES, "" },
                { "",
                  "{'containers':[{'name':'a','ports':[{'containerPort':80,'hostPort':8080,'hostIP':'127.0.0.1'}]}]}",
                  "{'u2':{'ports':[{'ip':'10.0.0.1','protocol':'TCP','port':8080}]}}", ADMIT_YES, "" },
                { "", "{'nodeName':'elsewhere'," C "}", "{}", ADMIT_WAIT,
                  "0/1 nodes are available: 1 node(s) didn't match the requested node name." PREEMPTION_USELESS },
                { "", "{'schedulingGates':[{'name':'g'}]," C "}", "{}", ADMIT_WAIT,
                  "Scheduling is blocked due to non-empty scheduling gates" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct admission_result r = ask(rows[i].node, rows[i].pod, rows[i].claims);

                if (r.admission != rows[i].admission || !streq(r.message, rows[i].message))
                        fail_msg("row %zu: %d %s: %s", i, r.admission, r.reason, r.message);
        }
}

TEST(a_pod_with_a_node_name_is_refused_by_the_kubelets_rules) {
        static const struct {
                const char *node, *pod, *claims, *reason, *message;
        } rows[] = {
                { "", "{'nodeName':'node1','nodeSelector':{'disktype':'hdd'}," C "}", "{}", "NodeAffinity",
                  "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector" },
                { "", "{'nodeName':'node1','containers':[{'name':'a','resources':{'requests':{'cpu':'500'}}}]}",
                  "{'u2':{'resources':{'cpu':100}}}", "OutOfcpu",
                  "Node didn't have enough resource: cpu, requested: 500000, used: 100, capacity: 2000" },
                { "", "{'nodeName':'node1'," C "}", "{'a':{},'b':{},'c':{}}", "OutOfpods",
                  "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3" },
                { "'taints':[{'key':'k','effect':'NoExecute'}]", "{'nodeName':'node1'," C "}", "{}", "TaintToleration",
                  "Predicate TaintToleration failed: node(s) had untolerated taint(s)" },
                { "", "{'securityContext':{'sysctls':[{'name':'kernel.msgmax','value':'1'}]}," C "}", "{}",
                  "SysctlForbidden", "forbidden sysctl: \"kernel.msgmax\" not allowlisted" },
                { "",
                  "{'securityContext':{'sysctls':[{'name':'net/ipv4/"
                  "tcp_syncookies','value':'1'}]},'hostNetwork':true," C "}",
                  "{}", "SysctlForbidden",
                  "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct admission_result r = ask(rows[i].node, rows[i].pod, rows[i].claims);

                if (r.admission != ADMIT_REFUSE || !streq(r.reason, rows[i].reason) ||
                    !streq(r.message, rows[i].message))
                        fail_msg("row %zu: %d %s: %s", i, r.admission, r.reason, r.message);
        }
        assert_int_equal(
                ask("'taints':[{'key':'k','effect':'NoSchedule'}]", "{'nodeName':'node1'," C "}", "{}").admission,
                ADMIT_YES);
        assert_int_equal(
                ask("", "{'securityContext':{'sysctls':[{'name':'net.ipv4.tcp_syncookies','value':'1'}]}," C "}", "{}")
                        .admission,
                ADMIT_YES);
}

TEST(a_claim_counts_init_containers_sidecars_and_host_ports) {
        json_t *claim, *wanted;

        arena = api_arena_new();
        claim = admit_claim(decode(
                "{'metadata':{'name':'x'},'spec':{'initContainers':[{'name':'i','resources':{'requests':{'cpu':'3'}}},"
                "{'name':'s','restartPolicy':'Always','resources':{'requests':{'cpu':'500m','memory':'1Ki'}},"
                "'ports':[{'containerPort':1,'hostPort':2,'protocol':'UDP'}]}],"
                "'containers':[{'name':'a','resources':{'requests':{'cpu':'1'}},'ports':[{'containerPort':80},{'"
                "containerPort':81,'hostPort':8081,'hostIP':'127.0.0.1'}]}]}}",
                &v1_pod__descriptor));
        wanted = json_loads("{\"resources\":{\"cpu\":3000,\"memory\":1024},\"ports\":[{\"ip\":\"0.0.0.0\",\"protocol\":"
                            "\"UDP\",\"port\":2},"
                            "{\"ip\":\"127.0.0.1\",\"protocol\":\"TCP\",\"port\":8081}]}",
                            0, NULL);
        assert_true(json_equal(claim, wanted));
        json_decref(claim);
        json_decref(wanted);
        arena = api_arena_free(arena);
}
