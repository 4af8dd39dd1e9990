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

static json_t *parse(const char *text) {
        _cleanup_free_ char *copy = xstrdup(text);
        json_t *json;

        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        json = json_loads(copy, 0, NULL);
        if (!json)
                fail_msg("bad JSON: %s", copy);
        return json;
}

struct case_of {
        const char *node;     /* members of its spec */
        const char *metadata; /* of the pod, after its name and uid u1 */
        const char *pod;      /* spec */
        const char *claims, *held, *namespaces;
        char *const *allowed; /* unsafe sysctls */
        bool enforcing;       /* AppArmor and SELinux */
};

static struct admission_result ask_case(struct case_of c) {
        _cleanup_free_ char *node = xasprintf(NODE, c.node ?: "");
        _cleanup_free_ char *pod =
                xasprintf("{'metadata':{'name':'web','uid':'u1'%s},'spec':%s}", c.metadata ?: "", c.pod);
        json_t *claims = parse(c.claims ?: "{}"), *held = c.held ? parse(c.held) : NULL;
        json_t *namespaces = c.namespaces ? parse(c.namespaces) : NULL;
        struct admission_result result;

        arena = api_arena_new();
        struct admit_facts facts = {
                .node = decode(node, &v1_node__descriptor), .claims = claims, .held = held, .namespaces = namespaces
        };
        facts.allowed_sysctls = c.allowed;
        facts.apparmor = facts.selinux = c.enforcing;
        admit_pod(decode(pod, &v1_pod__descriptor), &facts, &result);
        json_decref(claims);
        json_decref(held);
        json_decref(namespaces);
        arena = api_arena_free(arena);
        return result;
}

static struct admission_result ask(const char *node_spec, const char *pod_spec, const char *claims) {
        return ask_case((struct case_of){ .node = node_spec, .pod = pod_spec, .claims = claims });
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
                { "", "{'securityContext':{'appArmorProfile':{'type':'RuntimeDefault'}}," C "}", "{}", "AppArmor",
                  "Cannot enforce AppArmor: AppArmor is not enabled on the host" },
                { "", "{'initContainers':[{'name':'i','securityContext':{'seLinuxOptions':{'type':'t'}}}]," C "}", "{}",
                  "SELinux", "Cannot enforce SELinux: SELinux is not enabled on the host" },
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
        assert_int_equal(ask("", "{'securityContext':{'appArmorProfile':{'type':'Unconfined'}}," C "}", "{}").admission,
                         ADMIT_YES);
}

TEST(what_the_node_allows_and_enforces_is_admitted) {
        static char *const allowed[] = { (char *)"kernel.msg*", (char *)"net.core.somaxconn", NULL };
        struct case_of c = { .node = "",
                             .pod = "{'securityContext':{'sysctls':[{'name':'kernel.msgmax','value':'1'},{'name':"
                                    "'net/core/somaxconn','value':'1'}],'appArmorProfile':{'type':'RuntimeDefault'},"
                                    "'seLinuxOptions':{'level':'s0'}}," C "}",
                             .allowed = allowed,
                             .enforcing = true };

        assert_int_equal(ask_case(c).admission, ADMIT_YES);
        /* Allowed or not: what is the node's own stays the node's. */
        c.pod = "{'securityContext':{'sysctls':[{'name':'kernel.panic','value':'1'}]}," C "}";
        c.allowed = (char *const[]){ (char *)"kernel.*", NULL };
        assert_string_equal(ask_case(c).reason, "SysctlForbidden");
        /* What is here already is not asked again. */
        c.allowed = NULL;
        c.held = "{'resources':{}}";
        assert_int_equal(ask_case(c).admission, ADMIT_YES);
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
        wanted = json_loads("{\"namespace\":\"default\",\"resources\":{\"cpu\":3000,\"memory\":1024},\"ports\":[{"
                            "\"ip\":\"0.0.0.0\",\"protocol\":"
                            "\"UDP\",\"port\":2},"
                            "{\"ip\":\"127.0.0.1\",\"protocol\":\"TCP\",\"port\":8081}]}",
                            0, NULL);
        assert_true(json_equal(claim, wanted));
        json_decref(claim);
        json_decref(wanted);
        arena = api_arena_free(arena);
}

/* ---- other pods ---- */

#define TERM(selector, more) "{'labelSelector':{" selector "},'topologyKey':'disktype'" more "}"
#define NEAR(terms) "{'affinity':{'podAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':[" terms "]}}," C "}"
#define FAR(terms) \
        "{'affinity':{'podAntiAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':[" terms "]}}," C "}"
#define IS_DB "'matchLabels':{'app':'db'}"
#define DB "{'u2':{'namespace':'default','labels':{'app':'db','tier':'1'}}}"
#define DB_ELSEWHERE "{'u2':{'namespace':'store','labels':{'app':'db','tier':'1'}}}"
#define AVAILABLE "0/1 nodes are available: 1 "
#define NO_AFFINITY AVAILABLE "node(s) didn't match pod affinity rules." PREEMPTION_USELESS
#define NO_ANTI_AFFINITY AVAILABLE "node(s) didn't match pod anti-affinity rules." PREEMPTION_NO_VICTIMS
#define NOT_WANTED AVAILABLE "node(s) didn't satisfy existing pods anti-affinity rules." PREEMPTION_NO_VICTIMS

TEST(a_pod_goes_only_where_its_affinity_to_other_pods_holds) {
        static const struct {
                struct case_of c;
                const char *message; /* NULL: fits */
        } rows[] = {
                { { .pod = NEAR(TERM(IS_DB, "")), .claims = DB }, NULL },
                { { .pod = NEAR(TERM(IS_DB, "")) }, NO_AFFINITY },
                { { .pod = NEAR(TERM(IS_DB, "")), .claims = DB_ELSEWHERE }, NO_AFFINITY },
                { { .pod = NEAR(TERM(IS_DB, ",'namespaces':['store']")), .claims = DB_ELSEWHERE }, NULL },
                { { .pod = NEAR(TERM(IS_DB, ",'namespaces':['store']")), .claims = DB }, NO_AFFINITY },
                { { .pod = NEAR(TERM(IS_DB, ",'namespaceSelector':{}")), .claims = DB_ELSEWHERE }, NULL },
                { { .pod = NEAR(TERM(IS_DB, ",'namespaceSelector':{'matchLabels':{'team':'a'}}")),
                    .claims = DB_ELSEWHERE,
                    .namespaces = "{'store':{'team':'a'}}" },
                  NULL },
                { { .pod = NEAR(TERM(IS_DB, ",'namespaceSelector':{'matchLabels':{'team':'b'}}")),
                    .claims = DB_ELSEWHERE,
                    .namespaces = "{'store':{'team':'a'}}" },
                  NO_AFFINITY },
                { { .pod = NEAR(TERM(IS_DB,
                                     ",'namespaceSelector':{'matchLabels':{'kubernetes.io/metadata.name':'store'}}")),
                    .claims = DB_ELSEWHERE },
                  NULL },
                /* All terms must mean the same pod. */
                { { .pod = NEAR(TERM(IS_DB, "") "," TERM("'matchLabels':{'app':'cache'}", "")),
                    .claims = "{'u2':{'namespace':'default','labels':{'app':'db'}},"
                              "'u3':{'namespace':'default','labels':{'app':'cache'}}}" },
                  NO_AFFINITY },
                /* Every operator. */
                { { .pod = NEAR(
                            TERM("'matchExpressions':[{'key':'app','operator':'In','values':['x','db']},"
                                 "{'key':'app','operator':'NotIn','values':['x']},{'key':'tier','operator':'Exists'},"
                                 "{'key':'none','operator':'DoesNotExist'}]",
                                 "")),
                    .claims = DB },
                  NULL },
                { { .metadata = ",'labels':{'tier':'1'}",
                    .pod = NEAR(TERM("'matchExpressions':[{'key':'tier','operator':'DoesNotExist'}]", "")),
                    .claims = DB },
                  NO_AFFINITY },
                /* The first of a group is its own company, but not on a node outside the topology. */
                { { .metadata = ",'labels':{'app':'db'}", .pod = NEAR(TERM(IS_DB, "")) }, NULL },
                { { .metadata = ",'labels':{'app':'db'}",
                    .pod = NEAR("{'labelSelector':{" IS_DB "},'topologyKey':'zone'}"),
                    .claims = DB },
                  NO_AFFINITY },
                /* A pod that only hopes to come is no company. */
                { { .pod = NEAR(TERM(IS_DB, "")),
                    .claims = "{'u2':{'namespace':'default','labels':{'app':'db'},'nominated':true}}" },
                  NO_AFFINITY },
                /* Preferences only rank nodes. */
                { { .pod = "{'affinity':{'podAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[{'weight':1,"
                           "'"
                           "podAffinityTerm':" TERM(IS_DB, "") "}]}}," C "}" },
                  NULL },
                { { .pod = FAR(TERM(IS_DB, "")) }, NULL },
                { { .pod = FAR(TERM(IS_DB, "")), .claims = DB }, NO_ANTI_AFFINITY },
                { { .pod = FAR(TERM(IS_DB, "")), .claims = DB_ELSEWHERE }, NULL },
                { { .pod = FAR(TERM("'matchLabels':{'app':'x'}", "") "," TERM(IS_DB, "")), .claims = DB },
                  NO_ANTI_AFFINITY },
                { { .pod = FAR("{'labelSelector':{" IS_DB "},'topologyKey':'zone'}"), .claims = DB }, NULL },
                { { .pod = FAR("{'topologyKey':'disktype'}"), .claims = DB }, NULL }, /* no selector: nobody */
                { { .metadata = ",'labels':{'app':'db'}", .pod = FAR(TERM(IS_DB, "")) }, NULL }, /* not itself */
                /* What is here may not want it. */
                { { .metadata = ",'labels':{'app':'db'}",
                    .pod = "{" C "}",
                    .claims = "{'u2':{'namespace':'default','antiAffinity':[" TERM(IS_DB, "") "]}}" },
                  NOT_WANTED },
                { { .metadata = ",'labels':{'app':'web'}",
                    .pod = "{" C "}",
                    .claims = "{'u2':{'namespace':'default','antiAffinity':[" TERM(IS_DB, "") "]}}" },
                  NULL },
                { { .metadata = ",'labels':{'app':'db'}",
                    .pod = "{" C "}",
                    .claims = "{'u2':{'namespace':'store','antiAffinity':[" TERM(IS_DB, "") "]}}" },
                  NULL },
                { { .metadata = ",'labels':{'app':'db'}",
                    .pod = "{" C "}",
                    .claims = "{'u2':{'namespace':'store','antiAffinity':[" TERM(IS_DB,
                                                                                 ",'namespaceSelector':{}") "]}}" },
                  NOT_WANTED },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct admission_result r = ask_case(rows[i].c);

                if ((r.admission == ADMIT_YES) != (rows[i].message == NULL) || !streq(r.message, rows[i].message ?: ""))
                        fail_msg("row %zu: %d %s: %s", i, r.admission, r.reason, r.message);
        }
}

#define SPREAD(more) \
        "{'topologySpreadConstraints':[{'topologyKey':'disktype','whenUnsatisfiable':'DoNotSchedule'," \
        "'labelSelector':{'matchLabels':{'app':'web'}}" more "}]," C "}"
#define WEB(n) "'w" n "':{'namespace':'default','labels':{'app':'web'}}"
#define NO_SPREAD AVAILABLE "node(s) didn't match pod topology spread constraints."

TEST(one_node_is_spread_over_as_far_as_its_one_domain_goes) {
        static const struct {
                const char *spec, *claims, *message;
        } rows[] = {
                { SPREAD(",'maxSkew':1"), "{" WEB("1") "," WEB("2") "}", NULL }, /* the least crowded domain there is */
                { SPREAD(",'maxSkew':1,'minDomains':1"), "{" WEB("1") "}", NULL },
                { SPREAD(",'maxSkew':1,'minDomains':2"), "{}", NULL },
                { SPREAD(",'maxSkew':1,'minDomains':2"), "{" WEB("1") "}", NO_SPREAD PREEMPTION_NO_VICTIMS },
                { SPREAD(",'maxSkew':2,'minDomains':2"), "{" WEB("1") "}", NULL },
                { SPREAD(",'maxSkew':2,'minDomains':2"), "{" WEB("1") "," WEB("2") "}",
                  NO_SPREAD PREEMPTION_NO_VICTIMS },
                { SPREAD(",'maxSkew':1,'minDomains':2"),
                  "{'w1':{'namespace':'default','labels':{'app':'web'},'ending':true}}", NULL },
                { SPREAD(",'maxSkew':1,'minDomains':2"), "{'w1':{'namespace':'store','labels':{'app':'web'}}}", NULL },
                { SPREAD(",'maxSkew':1,'minDomains':2,'nodeAffinityPolicy':'Ignore','nodeTaintsPolicy':'Honor'"),
                  "{" WEB("1") "}", NO_SPREAD PREEMPTION_NO_VICTIMS },
                { "{'topologySpreadConstraints':[{'topologyKey':'zone','whenUnsatisfiable':'DoNotSchedule','maxSkew':1}"
                  "]," C "}",
                  "{}",
                  AVAILABLE
                  "node(s) didn't match pod topology spread constraints (missing required label)." PREEMPTION_USELESS },
                { "{'topologySpreadConstraints':[{'topologyKey':'zone','whenUnsatisfiable':'ScheduleAnyway','maxSkew':"
                  "1}]," C "}",
                  "{}", NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct admission_result r = ask_case((struct case_of){
                        .metadata = ",'labels':{'app':'web'}", .pod = rows[i].spec, .claims = rows[i].claims });

                if ((r.admission == ADMIT_YES) != (rows[i].message == NULL) || !streq(r.message, rows[i].message ?: ""))
                        fail_msg("row %zu: %d %s: %s", i, r.admission, r.reason, r.message);
        }
}

/* ---- preemption ---- */

#define IMPORTANT(more) \
        "{'priority':2000000000" more ",'containers':[{'name':'a','resources':{'requests':{'cpu':'1'}}}]}"

TEST(a_pod_of_higher_priority_pushes_as_few_aside_as_it_can) {
        static const struct {
                const char *spec, *claims, *held;
                const char *victims, *message;
        } rows[] = {
                /* The least important goes, the others stay. */
                { IMPORTANT(""), "{'a':{'resources':{'cpu':1000},'priority':5},'b':{'resources':{'cpu':1000}}}", NULL,
                  "b", AVAILABLE "Insufficient cpu." },
                /* Among equals the youngest. */
                { IMPORTANT(""),
                  "{'a':{'resources':{'cpu':1000},'created':'2026-01-02T00:00:00Z'},"
                  "'b':{'resources':{'cpu':1000},'created':'2026-01-01T00:00:00Z'}}",
                  NULL, "a", AVAILABLE "Insufficient cpu." },
                { IMPORTANT(""),
                  "{'a':{'resources':{'cpu':700}},'b':{'resources':{'cpu':700}},'c':{'resources':{'cpu':600}}}", NULL,
                  "b c", AVAILABLE "Insufficient cpu, 1 Too many pods." },
                /* Equals are left in peace. */
                { IMPORTANT(""), "{'a':{'resources':{'cpu':2000},'priority':2000000000}}", NULL, "",
                  AVAILABLE "Insufficient cpu." PREEMPTION_NO_VICTIMS },
                { IMPORTANT(""), "{'a':{'resources':{'cpu':1500},'priority':2000000000},'b':{'resources':{'cpu':500}}}",
                  NULL, "",
                  AVAILABLE "Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 "
                            "Insufficient cpu." },
                { IMPORTANT(",'preemptionPolicy':'Never'"), "{'a':{'resources':{'cpu':2000}}}", NULL, "",
                  AVAILABLE "Insufficient cpu. no new claims to deallocate, preemption: not eligible due to "
                            "preemptionPolicy=Never." },
                /* It waits for those it has pushed. */
                { IMPORTANT(""), "{'a':{'resources':{'cpu':2000},'ending':true}}", "{'nominated':true}", "",
                  AVAILABLE
                  "Insufficient cpu. no new claims to deallocate, preemption: not eligible due to a terminating "
                  "pod on the nominated node." },
                /* Not only for room. */
                { "{'priority':1,'containers':[{'name':'a','ports':[{'containerPort':80,'hostPort':80}]}]}",
                  "{'a':{'ports':[{'ip':'0.0.0.0','protocol':'TCP','port':80}]},'b':{}}", NULL, "a",
                  AVAILABLE "node(s) didn't have free ports for the requested pod ports." },
                { "{'priority':1,'affinity':{'podAntiAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':"
                  "[" TERM(IS_DB, "") "]}}," C "}",
                  DB, NULL, "u2", AVAILABLE "node(s) didn't match pod anti-affinity rules." },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct admission_result r = ask_case(
                        (struct case_of){ .pod = rows[i].spec, .claims = rows[i].claims, .held = rows[i].held });
                _cleanup_strbuf_ struct strbuf victims = STRBUF_INIT;
                bool nominated = *rows[i].victims || rows[i].held;

                for (size_t j = 0; j < r.n_victims; j++)
                        strbuf_addf(&victims, "%s%s", j ? " " : "", r.victims[j]);
                if (r.admission != ADMIT_WAIT || !streq(strbuf_str(&victims), rows[i].victims) ||
                    !streq(r.message, rows[i].message) || r.nominated != nominated)
                        fail_msg("row %zu: %d [%s] %s", i, r.admission, strbuf_str(&victims), r.message);
        }
}

TEST(room_that_is_being_made_is_kept_from_the_less_important_only) {
        const char *claims = "{'a':{'resources':{'cpu':1500},'priority':10,'nominated':true}}";

        assert_int_equal(ask("", REQUESTS("'cpu':'1'"), claims).admission, ADMIT_WAIT);
        assert_int_equal(ask("", IMPORTANT(""), claims).admission, ADMIT_YES);
}

/* ---- pods that are here ---- */

TEST(a_resize_is_deferred_or_infeasible_in_the_kubelets_words) {
        static const struct {
                const char *spec, *claims;
                enum admission admission;
                const char *reason, *message;
        } rows[] = {
                { REQUESTS("'cpu':'2'"), "{}", ADMIT_YES, "", "" },
                { REQUESTS("'cpu':'1500m'"), "{'b':{'resources':{'cpu':1000}}}", ADMIT_WAIT, "Deferred",
                  "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000" },
                { REQUESTS("'cpu':'5'"), "{'b':{'resources':{'cpu':1000}}}", ADMIT_WAIT, "Infeasible",
                  "Node didn't have enough capacity: cpu, requested: 5000, capacity: 2000" },
                { REQUESTS("'cpu':'5','memory':'4500Mi'"), "{}", ADMIT_WAIT, "Infeasible",
                  "Node didn't have enough capacity: memory, requested: 4718592000, capacity: 1073741824" },
                /* What would keep a new pod out does not touch one that is here. */
                { "{'nodeSelector':{'disktype':'hdd'}," C "}", "{}", ADMIT_YES, "", "" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct admission_result r = ask_case((struct case_of){
                        .pod = rows[i].spec, .claims = rows[i].claims, .held = "{'resources':{'cpu':100}}" });

                if (r.admission != rows[i].admission || !streq(r.reason, rows[i].reason) ||
                    !streq(r.message, rows[i].message) || r.n_victims)
                        fail_msg("row %zu: %d %s: %s", i, r.admission, r.reason, r.message);
        }
}

TEST(overhead_counts_as_a_request) {
        assert_string_equal(ask("",
                                "{'overhead':{'cpu':'1500m'},'containers':[{'name':'a','resources':{'requests':{'cpu':"
                                "'600m'}}}]}",
                                "{}")
                                    .message,
                            "0/1 nodes are available: 1 Insufficient cpu." PREEMPTION_USELESS);
}

TEST(a_claim_tells_others_what_they_may_ask_and_keeps_its_resources_when_renewed) {
        json_t *claim, *renewed, *wanted;
        V1Pod *pod;

        arena = api_arena_new();
        pod = decode(
                "{'metadata':{'name':'x','namespace':'n','creationTimestamp':'2026-01-01T00:00:00Z','labels':{'a':'b'},"
                "'deletionTimestamp':'2026-01-02T00:00:00Z'},'spec':{'priority':7,'affinity':{'podAntiAffinity':{"
                "'requiredDuringSchedulingIgnoredDuringExecution':[" TERM(
                        IS_DB, "") "]}},'containers':[{'name':'a',"
                                   "'resources':{'requests':{'cpu':'3'}}}]}}",
                &v1_pod__descriptor);
        claim = admit_claim_nominated(pod);
        wanted =
                parse("{'namespace':'n','labels':{'a':'b'},'priority':7,'created':'2026-01-01T00:00:00Z','ending':true,"
                      "'antiAffinity':[" TERM(IS_DB, "") "],'resources':{'cpu':3000},'ports':[],'nominated':true}");
        if (!json_equal(claim, wanted))
                fail_msg("%s", json_dumps(claim, 0));
        json_object_set_new(json_object_get(claim, "resources"), "cpu", json_integer(1));
        renewed = admit_claim_renewed(pod, claim);
        assert_true(json_equal(claim, renewed));
        json_decref(claim);
        json_decref(renewed);
        json_decref(wanted);
        arena = api_arena_free(arena);
}

TEST(no_execute_taints_let_stay_as_long_as_the_shortest_toleration) {
        static const struct {
                const char *node, *pod;
                int64_t seconds;
        } rows[] = {
                { "", "{" C "}", INT64_MAX },
                { "'taints':[{'key':'k','effect':'NoSchedule'}]", "{" C "}", INT64_MAX },
                { "'taints':[{'key':'k','effect':'NoExecute'}]", "{" C "}", 0 },
                { "'taints':[{'key':'k','effect':'NoExecute'}]",
                  "{'tolerations':[{'key':'k','operator':'Exists','effect':'NoExecute'}]," C "}", INT64_MAX },
                { "'taints':[{'key':'k','effect':'NoExecute'}]",
                  "{'tolerations':[{'key':'k','operator':'Exists','effect':'NoExecute','tolerationSeconds':30},"
                  "{'operator':'Exists','effect':'NoExecute','tolerationSeconds':20}]," C "}",
                  20 },
                { "'taints':[{'key':'k','effect':'NoExecute'},{'key':'l','effect':'NoExecute'}]",
                  "{'tolerations':[{'key':'k','operator':'Exists','effect':'NoExecute','tolerationSeconds':30}]," C "}",
                  0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *node = xasprintf(NODE, rows[i].node);
                _cleanup_free_ char *pod = xasprintf("{'metadata':{'name':'web'},'spec':%s}", rows[i].pod);
                V1Pod *decoded;

                arena = api_arena_new();
                decoded = decode(pod, &v1_pod__descriptor);
                assert_int_equal(admit_tolerated_seconds(decoded->spec, decode(node, &v1_node__descriptor)),
                                 rows[i].seconds);
                arena = api_arena_free(arena);
        }
}
