#!/usr/bin/env python3
"""gen-man.py PROGRAM VERSION: the man page of husk, husk-image or huskd, written from what the program itself prints with --help.

The tables in the program are the only place where verbs, flags and examples stand; this reads their print and sets it as
a page. It fails on a line it does not understand, so that a new layout of the help cannot lose anything unseen."""
import re
import subprocess
import sys

HEAD = {
    "husk": ("run Kubernetes Pods on one machine, without a cluster", """\
husk runs Kubernetes Pods on this machine and needs no cluster and no daemon. It takes the manifests of Kubernetes and does
with them what a node of a cluster would; a field it cannot honour it refuses by name. Verbs, flags, output and exit
statuses are those of kubectl."""),
    "husk-image": ("fetch, verify, unpack and keep container images", """\
husk-image is what stands behind `husk image`: it fetches images from registries, takes them from archives, checks every
byte against its digest, unpacks layers in a process without privileges, and removes what is no longer used."""),
    "huskd": ("node daemon: supervisors for pods, static manifests, and image archives", """\
huskd looks after three things: every pod that has not ended has a supervisor (one that was killed together with its keeper is
replaced, and after a reboot all of them are), the objects of the node are what a folder of manifests asks for, and its images
are what a folder of archives holds, without filling the disk. Pods need no huskd to run, and do not notice when it ends, crashes or is replaced."""),
}
TAIL = {
    "huskd": """\
.SH STATIC MANIFESTS
Every file of the folder whose name does not begin with a dot is read, whatever its ending; folders within it are not. A
file may hold any number of documents (pods, config maps, secrets, namespaces, claims). A pod is named after its document and
the node, as a kubelet does: web on the node
.I host
is
.IR web\\-host ,
and it gets the annotations
.BR kubernetes.io/config.source ", " kubernetes.io/config.hash ", " kubernetes.io/config.mirror .
.PP
A new file makes its objects. A changed one replaces the pods whose documents changed, each with its grace, and changes other
objects in place. A removed one deletes what it made. What somebody deletes by hand comes back. Changes made while huskd is
not running are found when it starts.
.PP
A file with a mistake changes nothing: what its last good version made goes on, and the mistake is told, with line and
column, in the log and as an event about the node
.RB ( "husk events" ).
.SH IMAGE ARCHIVES
Every file of the folder whose name ends with .tar, .tar.gz, .tgz, .tar.zst or .tzst, and does not begin with a dot, is taken in
as by
.BR "husk image load \\-\\-pin" :
at the start before the manifests are looked at, and later when it appears. It is read once, unless it becomes another file or
one of its images is missing when huskd starts. What is no whole archive is told in the log. The images stay when the file goes:
.B "husk image rm"
removes them.
.PP
Every five minutes huskd looks how full the disk of the images is, and has those removed that nobody uses if it is as full as
.I config.yaml
says: see
.BR husk\\-image (1),
verb gc.
.SH SIGNALS
.TP
.B SIGHUP
Look at the folders, the disk and at all pods now. Folders and pods are watched; this is for who does not trust that.
.TP
.BR SIGTERM ", " SIGINT
End. The pods go on.
.SH ENVIRONMENT
.TP
.BR HUSK_ROOT ", " HUSK_RUN ", " HUSK_LOG
As for
.BR husk (1).
.TP
.BR NOTIFY_SOCKET ", " WATCHDOG_USEC
The service manager's, see
.BR sd_notify (3):
huskd says when it is ready, reloading and stopping, how many pods and manifests there are, and, if asked to, that it lives.
.SH FILES
.TP
.I /etc/husk/manifests
The static manifests, unless
.B \\-\\-manifests
or another
.B \\-\\-root
says otherwise.
.TP
.I /var/lib/husk/images.d
The image archives, unless
.B \\-\\-archives
says otherwise.
.SH EXIT STATUS
0 after SIGTERM or SIGINT, 1 if it could not run, 2 for a wrong command line.
.SH SEE ALSO
.BR husk (1),
.BR husk\\-pod (8),
.BR husk\\-keeper (8)
""",
    "husk": """\
.SH EXIT STATUS
0 if all was done, 1 if anything was not.
.B husk exec
exits with the status of the command it ran, 126 or 127 if that could not be started;
.B husk image
with those of
.BR husk-image (1).
.SH ENVIRONMENT
.TP
.BR HUSK_ROOT ", " HUSK_RUN
The folders that
.BR --root " and " --run
name.
.TP
.B HUSK_RUNTIME
The OCI runtime to start the containers of a new pod with, a name or a path; crun if unset. The pod keeps to it.
.TP
.B HUSK_LOG
.I debug
makes every program of husk talk.
.SH FILES
.TP
.I /var/lib/husk
Objects, pods, images, volumes: what survives a boot.
.TP
.I /run/husk
Status, locks, sockets: what does not.
.TP
.I /var/log/pods
What containers printed, in the CRI format.
.SH SEE ALSO
.BR husk-image (1),
.BR husk-pod (8),
.BR husk-keeper (8),
.BR huskd (8),
.BR crun (1),
.BR kubectl (1)
""",
    "husk-image": """\
.SH FILES
.TP
.I /var/lib/husk/images
Blobs by their digests, unpacked layers, and the records of images.
.TP
.IR $REGISTRY_AUTH_FILE ", " ~/.docker/config.json " and others"
Credentials, looked for where docker, podman and a kubelet look.
.SH SEE ALSO
.BR husk (1),
.BR skopeo (1)
""",
}


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\`")
    text = "".join(c if c < "\x7f" else "\\[u%04X]" % ord(c) for c in text)
    return "\\&" + text if text.startswith((".", "\\(aq")) else text


def sections(text):
    """Paragraphs before the first title, then title to lines."""
    found = [("", [])]
    for line in text.splitlines():
        title = re.fullmatch(r"([A-Z][A-Za-z ,]*):", line)
        if title:
            found.append((title.group(1), []))
        elif re.match(r"Exit status: ", line):
            found.append(("Exit status", [line.split(": ", 1)[1]]))
        elif re.match(r"`husk VERB", line):
            pass
        else:
            found[-1][1].append(line)
    return found


def example(lines):
    return [".EX", *map(escape, lines_without_margin(lines)), ".EE"]


def lines_without_margin(lines):
    text = [line[2:] if line.startswith("  ") else line for line in lines]
    while text and not text[-1]:
        text.pop()
    return text


def table(lines):
    """Lines of a term and its words, which begin two blanks later at the least or stand on the next line."""
    out, column = [], 0
    for line in filter(None, lines):
        whole = re.fullmatch(r"  ( {4}--|-|[a-z])(.*?)(?:  +(\S.*))?", line)
        if re.match(r" {12,}\S", line) and out:
            out.append(escape(line.strip()))
        elif whole:
            out += [".TP", ".B " + escape((whole.group(1) + whole.group(2)).strip())]
            if whole.group(3):
                out.append(escape(whole.group(3)))
        else:
            sys.exit("gen-man.py: what is this line of the help? %r" % line)
    return out


def image_verbs(lines):
    """husk-image's verbs stand in three columns: name, arguments, what it does."""
    out = []
    for line in filter(None, lines):
        out += [".TP", ".B " + escape(" ".join(line[:28].split())), escape(line[28:])]
    return out


def subverbs(program, verb):
    lines = dict(sections(help_of(program, *verb.split()))).get("More verbs", [])
    return [line[2:].split("  ")[0] for line in filter(None, lines)]


def help_of(program, *args):
    return subprocess.run([program, *args, "--help"], check=True, capture_output=True, text=True).stdout


def verb_page(program, verb):
    out = [".SS " + escape(verb)]
    for title, lines in sections(help_of(program, *verb.split())):
        if title == "":
            paragraphs = " ".join(line or "\n" for line in lines).split("\n")
            for text in filter(None, map(str.strip, paragraphs)):
                out += [escape(text), ".PP"]
            out.pop()
        elif title == "Usage":
            out += [".PP", ".B " + escape(" ".join(filter(None, map(str.strip, lines))))]
        elif title == "Examples":
            out += [".PP", ".RS 4", *example(lines), ".RE"]
        elif title == "Flags":
            out += table(lines)
        elif title == "More verbs":
            out += [".PP", escape("See below: " + ", ".join(line[2:].split("  ")[0] for line in filter(None, lines)) + ".")]
        elif title.startswith("Accepted"):
            out += [".PP", escape(title + ": " + " ".join(map(str.strip, lines)).strip() + ".")]
        elif title != "Global flags":
            sys.exit("gen-man.py: %s has a part %r" % (verb, title))
    return out


def main():
    program, version = sys.argv[1:]
    name = program.rsplit("/", 1)[-1]
    summary, description = HEAD[name]
    section = '8 "" "husk %s" "System Administration"' if name == "huskd" else '1 "" "husk %s" "User Commands"'
    out = ['.\\" Written by scripts/gen-man.py from the output of %s --help.' % name,
           ".TH %s %s" % (name.upper(), section % version),
           ".SH NAME", escape("%s - %s" % (name, summary)).replace(" \\- ", " \\- ", 1),
           ".SH SYNOPSIS", ".B " + name, "[FLAGS]" if name == "huskd" else "VERB [ARGUMENTS] [FLAGS]",
           ".SH DESCRIPTION", escape(description.replace("\n", " "))]
    overview = sections(help_of(program))
    if name == "husk":
        verbs = [re.match(r"  (\S+(?: \S+)*)", line).group(1) for title, lines in overview if title not in ("", "Usage", "Global flags")
                 for line in filter(None, lines)]
        out += [".SH GLOBAL FLAGS", *table(dict(overview)["Global flags"]), ".SH VERBS"]
        for verb in verbs:
            out += verb_page(program, verb)
            for below in subverbs(program, verb):
                out += verb_page(program, below)
    elif name == "huskd":
        out += [".SH FLAGS", *table(dict(overview)["Flags"])]
    else:
        parts = dict(overview)
        out += [".SH VERBS", *image_verbs(parts["Verbs"]), ".SH FLAGS", *table(parts["Flags"]),
                ".SH EXIT STATUS", escape(" ".join(map(str.strip, parts["Exit status"])).strip()),
                ".SH EXAMPLES", *example(parts["Examples"])]
    print("\n".join(out) + "\n" + TAIL[name], end="")


main()
