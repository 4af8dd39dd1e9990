/* husk.c - the verbs of husk: one row each, from which the command line is parsed and the help is printed.
 *
 * A verb's code is in the file of its name, with its flags in a table beside it. To add one: write that file, add a row
 * here and its name to the list in verbs.h. */
#include <stdio.h>

#include "base/str.h"
#include "husk/cli.h"
#include "husk/verbs.h"

#define BASIC "Basic verbs"
#define LOOK "Looking into pods"
#define CHANGE "Changing objects"
#define OTHER "Node, images and this program"

#define CODE(id) .flags = id##_flags, .run = id##_run

const struct verb verbs[] = {
        {
                .name = "apply",
                .group = BASIC,
                .summary = "Make what a manifest describes, and change what differs from it",
                .usage = "-f (FILE | DIR | -) [flags]",
                .description = "A file may hold several documents, YAML or JSON. All of them are checked before "
                               "anything is done: a\n"
                               "file with a mistake changes nothing, and every mistake is shown with its line.",
                .example = "# run the pods of a file\n"
                           "husk apply -f web.yaml\n"
                           "# all manifests of a folder\n"
                           "husk apply -f manifests/ -R\n"
                           "# from another program\n"
                           "generate | husk apply -f -\n"
                           "# look first\n"
                           "husk apply -f web.yaml --dry-run=server -o yaml",
                CODE(apply),
        },
        {
                .name = "apply view-last-applied",
                .group = BASIC,
                .summary = "Show the manifest that an object was last made from",
                .usage = "(TYPE/NAME | TYPE NAME | -f FILE) [flags]",
                .example = "# what apply compares a changed manifest with\n"
                           "husk apply view-last-applied pod/web -o yaml",
                CODE(view_last_applied),
        },
        {
                .name = "create",
                .group = BASIC,
                .summary = "Create objects that do not exist yet",
                .usage = "-f (FILE | DIR | -) [flags]",
                .example = "# fails if there is a pod of that name\n"
                           "husk create -f web.yaml",
                CODE(create),
        },
        {
                .name = "create configmap",
                .alias = "create cm",
                .group = BASIC,
                .summary = "Create a ConfigMap from files and values",
                .usage = "NAME [--from-file=[KEY=]PATH] [--from-literal=KEY=VALUE] [--from-env-file=FILE] [flags]",
                .example = "# a value, and a file under its own name\n"
                           "husk create configmap web --from-literal=mode=fast --from-file=settings.json\n"
                           "# each file of a folder\n"
                           "husk create configmap site --from-file=site/\n"
                           "# the manifest only\n"
                           "husk create configmap web --from-env-file=web.env --dry-run=client -o yaml",
                CODE(create_configmap),
        },
        {
                .name = "create secret generic",
                .group = BASIC,
                .summary = "Create a Secret from files and values",
                .usage = "NAME [--from-file=[KEY=]PATH] [--from-literal=KEY=VALUE] [--from-env-file=FILE] [flags]",
                .example = "# a password\n"
                           "husk create secret generic db --from-literal=password=hunter2\n"
                           "# from a file, so that it stands in no shell's history\n"
                           "husk create secret generic db --from-file=password=db.pw",
                CODE(create_secret_generic),
        },
        {
                .name = "create secret tls",
                .group = BASIC,
                .summary = "Create a Secret of a certificate and its key",
                .usage = "NAME --cert=FILE --key=FILE [flags]",
                .example = "# for a server in a pod\n"
                           "husk create secret tls web --cert=web.crt --key=web.key",
                CODE(create_secret_tls),
        },
        {
                .name = "create secret docker-registry",
                .group = BASIC,
                .summary = "Create a Secret with a registry's login, for imagePullSecrets",
                .usage = "NAME (--docker-username=USER --docker-password=TEXT | --from-file=FILE) [flags]",
                .example = "# a login of your own registry\n"
                           "husk create secret docker-registry pull --docker-server=registry.example.com \\\n"
                           "  --docker-username=me --docker-password=secret\n"
                           "# what docker or podman login has left\n"
                           "husk create secret docker-registry pull --from-file=$HOME/.docker/config.json",
                CODE(create_secret_docker_registry),
        },
        {
                .name = "create namespace",
                .alias = "create ns",
                .group = BASIC,
                .summary = "Create a namespace",
                .usage = "NAME [flags]",
                .example = "# for the pods of one project\n"
                           "husk create namespace shop",
                CODE(create_namespace),
        },
        {
                .name = "create priorityclass",
                .alias = "create pc",
                .group = BASIC,
                .summary = "Create a priority class",
                .usage = "NAME --value=N [flags]",
                .example = "# for what has to run before all else\n"
                           "husk create priorityclass urgent --value=1000 --description='first of all'",
                CODE(create_priorityclass),
        },
        {
                .name = "run",
                .group = BASIC,
                .summary = "Run an image as a pod of one container",
                .usage = "NAME --image=IMAGE [flags] [-- ARGUMENT…]",
                .example = "# a pod that stays\n"
                           "husk run cache --image=redis:7 --port=6379\n"
                           "# a shell, gone when it ends\n"
                           "husk run -it --rm shell --image=busybox --restart=Never -- sh\n"
                           "# the manifest only\n"
                           "husk run cache --image=redis:7 --dry-run=client -o yaml",
                CODE(run),
        },
        {
                .name = "get",
                .group = BASIC,
                .summary = "Show objects: one line each, or as JSON or YAML",
                .usage = "(TYPE[,TYPE…] [NAME…] | TYPE/NAME… | -f FILE) [flags]",
                .example = "# the pods of the namespace\n"
                           "husk get pods\n"
                           "# with addresses, of all namespaces, as they change\n"
                           "husk get pods -A -o wide -w\n"
                           "# one field\n"
                           "husk get pod web -o jsonpath='{.status.podIP}'\n"
                           "# columns of your own\n"
                           "husk get pods -l app=web -o "
                           "custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[*].image",
                CODE(get),
        },
        {
                .name = "diff",
                .group = BASIC,
                .summary = "Show what apply would change",
                .usage = "-f (FILE | DIR | -) [flags]",
                .description = "It exits with 0 if that is nothing, with 1 if it is something, with 2 on an error. "
                               "KUBECTL_EXTERNAL_DIFF names "
                               "another\n"
                               "program than `diff -u -N`; it is given two folders.",
                .example = "# before it is applied\n"
                           "husk diff -f web.yaml",
                CODE(diff),
        },
        {
                .name = "delete",
                .group = BASIC,
                .summary = "Stop pods gracefully and remove them; remove other objects",
                .usage = "([-f FILE] | TYPE (NAME… | -l SELECTOR | --all) | TYPE/NAME…) [flags]",
                .example = "# what a file made\n"
                           "husk delete -f web.yaml\n"
                           "# some pods by their labels\n"
                           "husk delete pods -l app=web\n"
                           "# at once\n"
                           "husk delete pod web --grace-period=0 --force",
                CODE(delete),
        },
        {
                .name = "replace",
                .group = BASIC,
                .summary = "Replace objects as a whole",
                .usage = "-f (FILE | DIR | -) [--force] [flags]",
                .example = "# change what may be changed\n"
                           "husk replace -f web.yaml\n"
                           "# delete and create anew\n"
                           "husk replace --force -f web.yaml",
                CODE(replace),
        },
        {
                .name = "describe",
                .group = LOOK,
                .summary = "Tell all about an object, with its events",
                .usage = "(TYPE [NAME…] | TYPE/NAME… | -f FILE) [flags]",
                .example = "# why does it not start?\n"
                           "husk describe pod web\n"
                           "# this machine\n"
                           "husk describe node",
                CODE(describe),
        },
        {
                .name = "logs",
                .group = LOOK,
                .summary = "Show what containers printed",
                .usage = "(POD | TYPE/NAME) [CONTAINER] [flags]",
                .example = "# of the default container\n"
                           "husk logs web\n"
                           "# go on with what comes\n"
                           "husk logs web -c app -f --tail=10\n"
                           "# of the run that crashed\n"
                           "husk logs web -c app --previous\n"
                           "# of all containers of several pods\n"
                           "husk logs -l app=web --all-containers --prefix",
                CODE(logs),
        },
        {
                .name = "exec",
                .group = LOOK,
                .summary = "Run a command in a container",
                .usage = "(POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [ARGUMENT…]",
                .description = "The command gets the container's user, environment, folder and limits; its exit status "
                               "is that of husk.",
                .example = "# a shell\n"
                           "husk exec -it web -- sh\n"
                           "# in another container, with input\n"
                           "husk exec -i web -c db -- psql < dump.sql",
                CODE(exec),
        },
        {
                .name = "debug",
                .group = LOOK,
                .summary = "Look into a pod with a container of your own tools",
                .usage = "(POD | TYPE/NAME…) --image=IMAGE [flags] [-- COMMAND [ARGUMENT…]]",
                .description =
                        "The container joins the running pod (--target: sees the processes of one container), or a\n"
                        "copy of the pod (--copy-to), or the node (node/NAME: its files are at /host).",
                .example = "# a shell in the pod, with the processes of its container app\n"
                           "husk debug -it web --image=busybox --target=app -- sh\n"
                           "# a copy whose container app runs a shell instead of what it runs\n"
                           "husk debug -it web --copy-to=web-debug -c app -- sh\n"
                           "# a copy with another image\n"
                           "husk debug web --copy-to=web-debug --set-image=app=app:debug\n"
                           "# as root of the machine\n"
                           "husk debug -it node/$(hostname) --image=busybox --profile=sysadmin -- chroot /host",
                CODE(debug),
        },
        {
                .name = "attach",
                .group = LOOK,
                .summary = "Connect to the streams of a container's main process",
                .usage = "(POD | TYPE/NAME) [-c CONTAINER] [flags]",
                .example = "# see what it prints from now on\n"
                           "husk attach web\n"
                           "# talk to a program that has `stdin: true` and `tty: true`\n"
                           "husk attach -it console -c app",
                CODE(attach),
        },
        {
                .name = "cp",
                .group = LOOK,
                .summary = "Copy files and folders into and out of containers",
                .usage = "SOURCE TARGET [-c CONTAINER] [flags], one of them as [NAMESPACE/]POD:PATH",
                .description = "Nothing in the image is needed. Links are not followed out of either tree.",
                .example = "# into the container's /tmp\n"
                           "husk cp settings.json web:/tmp/\n"
                           "# out of another one\n"
                           "husk cp web:/var/lib/data ./data -c db",
                CODE(cp),
        },
        {
                .name = "port-forward",
                .group = LOOK,
                .summary = "Connect ports of this machine to ports of a pod, its loopback included",
                .usage = "(POD | TYPE/NAME) [LOCAL:]REMOTE… [flags]",
                .example = "# port 8080 here is port 80 there\n"
                           "husk port-forward web 8080:80\n"
                           "# any free port\n"
                           "husk port-forward web :80",
                CODE(port_forward),
        },
        {
                .name = "events",
                .group = LOOK,
                .summary = "List what happened to pods",
                .usage = "[flags]",
                .example = "# everything in the namespace\n"
                           "husk events\n"
                           "# one pod's trouble as it comes\n"
                           "husk events --for pod/web --types=Warning -w",
                CODE(events),
        },
        {
                .name = "wait",
                .group = LOOK,
                .summary = "Wait until objects are as you need them",
                .usage = "(TYPE NAME… | TYPE/NAME… | -f FILE | TYPE (-l SELECTOR | --all)) --for=WHAT [flags]",
                .example = "# ready to serve\n"
                           "husk wait --for=condition=Ready pod/web --timeout=60s\n"
                           "# done\n"
                           "husk wait --for=jsonpath='{.status.phase}'=Succeeded pod/job\n"
                           "# gone\n"
                           "husk wait --for=delete pod/web",
                CODE(wait),
        },
        {
                .name = "top",
                .group = LOOK,
                .summary = "Show what pods use of processor and memory",
                .usage = "pod [NAME…] [flags]",
                .example = "# all pods, the hungriest first\n"
                           "husk top pod --sort-by=memory\n"
                           "# each container of one\n"
                           "husk top pod web --containers",
                CODE(top),
        },
        {
                .name = "network",
                .group = LOOK,
                .summary = "Show which pod is connected to what",
                .usage = "[POD…] [flags]",
                .example = "# bridge, addresses, interfaces and host ports\n"
                           "husk network -A\n"
                           "# is it all there?\n"
                           "husk network web --check",
                CODE(network),
        },
        {
                .name = "network ls",
                .group = LOOK,
                .summary = "List which pod is connected to what",
                .usage = "[POD…] [flags]",
                .example = "# the same as husk network\n"
                           "husk network ls",
                CODE(network),
        },
        {
                .name = "network inspect",
                .group = LOOK,
                .summary = "Show all that is known of the network of pods",
                .usage = "[POD…] [flags]",
                .example = "# addresses, gateways, interfaces, host ports, and whether they are there\n"
                           "husk network inspect web",
                CODE(network_inspect),
        },
        {
                .name = "tree",
                .group = LOOK,
                .summary = "Show a pod as a group of processes and who shares which namespace",
                .usage = "(POD | TYPE/NAME) [flags]",
                .example = "# one letter is one namespace\n"
                           "husk tree web",
                CODE(tree),
        },
        {
                .name = "start",
                .group = CHANGE,
                .summary = "Give pods a supervisor that have lost theirs, as after a reboot",
                .usage = "(POD… | --all) [flags]",
                .description =
                        "A pod whose processes were killed, or that was cut short by the end of the machine, goes on "
                        "from what it was: containers as their restart policy says, restart counts as they were, init "
                        "containers anew, in a new sandbox. What has ended stays so. huskd does this by itself.",
                .example = "# after a reboot\n"
                           "husk start --all\n"
                           "# after an upgrade of husk, under the running pods\n"
                           "husk start --all --renew\n"
                           "# one pod\n"
                           "husk start web",
                CODE(start),
        },
        {
                .name = "label",
                .group = CHANGE,
                .summary = "Set or remove labels",
                .usage = "(TYPE NAME… | TYPE/NAME… | -f FILE | TYPE --all) KEY=VALUE… KEY-… [flags]",
                .example = "# what nodeSelectors look for\n"
                           "husk label node --all disktype=ssd\n"
                           "# change one, remove another\n"
                           "husk label pod web tier=front old- --overwrite",
                CODE(label),
        },
        {
                .name = "annotate",
                .group = CHANGE,
                .summary = "Set or remove annotations",
                .usage = "(TYPE NAME… | TYPE/NAME… | -f FILE | TYPE --all) KEY=VALUE… KEY-… [flags]",
                .example = "# which container exec and logs mean\n"
                           "husk annotate pod web kubectl.kubernetes.io/default-container=app\n"
                           "# remove it\n"
                           "husk annotate pod web kubectl.kubernetes.io/default-container-",
                CODE(annotate),
        },
        {
                .name = "edit",
                .group = CHANGE,
                .summary = "Change an object in your editor",
                .usage = "(TYPE NAME… | TYPE/NAME… | -f FILE) [flags]",
                .description = "The editor is KUBE_EDITOR, EDITOR or vi. A mistake opens it again, with the mistake "
                               "above the text.",
                .example = "# labels, images, what may be changed of a pod\n"
                           "husk edit pod web\n"
                           "# with another editor, as JSON\n"
                           "EDITOR=nano husk edit configmap settings -o json",
                CODE(edit),
        },
        {
                .name = "patch",
                .group = CHANGE,
                .summary = "Change parts of an object",
                .usage = "(TYPE NAME… | TYPE/NAME… | -f FILE) (-p PATCH | --patch-file FILE) [flags]",
                .example =
                        "# another image for one container\n"
                        "husk patch pod web -p '{\"spec\":{\"containers\":[{\"name\":\"app\",\"image\":\"app:2\"}]}}'\n"
                        "# more memory without a restart\n"
                        "husk patch pod web --subresource=resize -p \\\n"
                        "  "
                        "'{\"spec\":{\"containers\":[{\"name\":\"app\",\"resources\":{\"limits\":{\"memory\":\"1Gi\"}}}"
                        "]}}'\n"
                        "# operations instead of an object\n"
                        "husk patch pod web --type=json -p '[{\"op\":\"remove\",\"path\":\"/metadata/labels/old\"}]'",
                CODE(patch),
        },
        {
                .name = "taint",
                .group = CHANGE,
                .summary = "Let the node repel pods that do not tolerate it",
                .usage = "node (NAME | --all) KEY[=VALUE]:EFFECT… KEY[:EFFECT]-… [flags]",
                .description = "EFFECT is NoSchedule (new pods wait), NoExecute (pods that run are ended, too) or "
                               "PreferNoSchedule (which has\n"
                               "no effect where there is one node).",
                .example = "# let only pods in that tolerate it\n"
                           "husk taint node --all dedicated=database:NoSchedule\n"
                           "# end all others at once, or after their tolerationSeconds\n"
                           "husk taint node --all maintenance:NoExecute\n"
                           "# no more\n"
                           "husk taint node --all maintenance-",
                CODE(taint),
        },
        {
                .name = "cordon",
                .group = CHANGE,
                .summary = "Let no new pods onto the node; those that run go on",
                .usage = "NODE [flags]",
                .example = "# before work on the machine\n"
                           "husk cordon \"$(hostname)\"",
                CODE(cordon),
        },
        {
                .name = "uncordon",
                .group = CHANGE,
                .summary = "Let new pods onto the node again",
                .usage = "NODE [flags]",
                .example = "# pods that have waited start at once\n"
                           "husk uncordon \"$(hostname)\"",
                CODE(uncordon),
        },
        {
                .name = "set image",
                .group = CHANGE,
                .summary = "Change images of containers; each restarts alone",
                .usage = "(pod NAME… | pod/NAME… | -f FILE | pod (-l SELECTOR | --all)) CONTAINER=IMAGE… [flags]",
                .example = "# a newer version, beside the others that go on\n"
                           "husk set image pod/web app=registry.example.com/app:2\n"
                           "# of every container\n"
                           "husk set image pods -l app=web '*=app:2'",
                CODE(set_image),
        },
        {
                .name = "image",
                .group = OTHER,
                .summary = "Pull, load, list and remove images",
                .usage = "(pull | load | ls | inspect | history | tag | rm | prune | save | df | verify) … [flags]",
                .example = "# from a registry\n"
                           "husk image pull docker.io/library/redis:7\n"
                           "# an archive of docker save, podman save or skopeo\n"
                           "husk image load app.tar\n"
                           "# what is here\n"
                           "husk image ls\n"
                           "# every flag of pull, load, ls and the others\n"
                           "husk image pull --help",
                .verbatim = true,
                CODE(image),
        },
        {
                .name = "api-resources",
                .group = OTHER,
                .summary = "List the kinds of objects husk knows",
                .usage = "[flags]",
                .example = "# with their short names\n"
                           "husk api-resources",
                CODE(api_resources),
        },
        {
                .name = "api-versions",
                .group = OTHER,
                .summary = "List the versions of the API whose objects husk takes",
                .usage = "[flags]",
                .example = "# v1, and nothing that needs a cluster\n"
                           "husk api-versions",
                CODE(api_versions),
        },
        {
                .name = "explain",
                .group = OTHER,
                .summary = "Show the fields of a type and what each of them does",
                .usage = "TYPE[.FIELD…] [flags]",
                .example = "# what may stand in a container\n"
                           "husk explain pod.spec.containers\n"
                           "# everything below a field\n"
                           "husk explain pod.spec.volumes --recursive",
                CODE(explain),
        },
        {
                .name = "completion",
                .group = OTHER,
                .summary = "Print a script that completes husk's words in a shell",
                .usage = "(bash | zsh | fish)",
                .example = "# in this shell\n"
                           "source <(husk completion bash)",
                CODE(completion),
        },
        {
                .name = "__complete", /* what those scripts call; no summary: it is not for people */
                .verbatim = true,
                CODE(complete),
        },
        {
                .name = "version",
                .group = OTHER,
                .summary = "Print the version of husk and of the Kubernetes API it speaks",
                .usage = "[-o json|yaml] [flags]",
                .example = "# both versions\n"
                           "husk version\n"
                           "# for a script\n"
                           "husk version -o json",
                CODE(version),
        },
        { 0 },
};

#define NO_CLUSTER \
        "husk works on this machine alone and has no clusters to choose among; a node of its own is --root DIR"
#define NO_LOGIN "husk works on this machine's own files; there is nothing to log in to"

const struct flag global_flags[] = {
        { "namespace", 'n', FLAG_TEXT, &cli_invocation.ns, "NAMESPACE", NULL,
          "Namespace of the objects (default \"default\")" },
        { "root", 0, FLAG_TEXT, &cli_invocation.root, "DIR", NULL,
          "Folder of this node's objects, pods and images (default $HUSK_ROOT or /var/lib/husk)" },
        { "run", 0, FLAG_TEXT, &cli_invocation.run, "DIR", NULL,
          "Folder of what lives until the next boot (default $HUSK_RUN or /run/husk)" },
        { "help", 'h', FLAG_BOOL, &cli_invocation.help, NULL, NULL, "Explain the verb and stop" },
        { "context", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_CLUSTER },
        { "cluster", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_CLUSTER },
        { "kubeconfig", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_CLUSTER },
        { "server", 's', FLAG_REFUSED, NULL, NULL, NULL, NO_CLUSTER },
        { "user", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_LOGIN },
        { "username", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_LOGIN },
        { "password", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_LOGIN },
        { "token", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_LOGIN },
        { "as", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_LOGIN },
        { "as-group", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_LOGIN },
        { "as-uid", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_LOGIN },
        { "certificate-authority", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_LOGIN },
        { "client-certificate", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_LOGIN },
        { "client-key", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_LOGIN },
        { "insecure-skip-tls-verify", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_LOGIN },
        { "tls-server-name", 0, FLAG_REFUSED, NULL, NULL, NULL, NO_LOGIN },
        { "version", 0, FLAG_REFUSED, NULL, NULL, NULL, "`husk version` prints it" },
        { "v", 'v', FLAG_REFUSED, NULL, NULL, NULL, "HUSK_LOG=debug makes every program of husk talk" },
        { "request-timeout", 0, FLAG_ACCEPTED, NULL, "TIME", NULL, "no request is sent anywhere" },
        { "cache-dir", 0, FLAG_ACCEPTED, NULL, "DIR", NULL, "nothing is cached" },
        { "match-server-version", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "there is one version" },
        { "warnings-as-errors", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "what husk cannot honour is an error" },
        { "disable-compression", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "nothing is sent" },
        { 0 },
};

#define CONTROLLER "husk runs Pods; what makes and replaces them by a template is a controller's work, in Kubernetes"

const struct refused_verb refused_verbs[] = {
        { "expose",
          "there are no Services on one machine; publish a port with `ports[].hostPort` or `husk port-forward`" },
        { "scale", CONTROLLER },
        { "autoscale", CONTROLLER },
        { "rollout", CONTROLLER "; `husk set image` changes the image of a pod that runs" },
        { "proxy", "there is no API server to lead to; `husk port-forward` leads into a pod" },
        { "config", "husk has no clusters to choose among: -n names the namespace, --root or HUSK_ROOT the node" },
        { "cluster-info", "there is no cluster; `husk describe node` tells about this machine" },
        { "cluster", "there is no cluster; `husk describe node` tells about this machine" },
        { "drain", "there is no other node to move pods to; `husk delete pods --all -A` ends them" },
        { "auth", "husk has no users of its own: who may write below --root may do everything" },
        { "certificate", "husk signs no certificates" },
        { "kustomize", "pipe it: kustomize build DIR | husk apply -f -" },
        { "plugin", "husk has no plugins" },
        { "set", "expected `husk set image`; other fields are changed with `husk edit` or `husk patch`" },
        { NULL, NULL },
};
