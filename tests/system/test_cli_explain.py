"""`husk explain`: what kubectl's says, in its layout, and what husk does with fields that it refuses."""


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
