/* taint.c - `husk taint`: what the node repels, unless a pod tolerates it. */
#include "husk/taint.h"

#include "api/api.h"
#include "base/str.h"
#include "server/field.h"
#include "husk/output.h"
#include "husk/selection.h"
#include "husk/submit.h"
#include "husk/verbs.h"

static struct selection selection;
static bool overwrite;
static const char *output_text, *template_text, *dry_run_text;

const struct flag taint_flags[] = {
        { "overwrite", 0, FLAG_BOOL, &overwrite, NULL, NULL, "Allow the value of a taint that exists to be changed" },
        FLAG_ALL(selection),
        FLAG_SELECTOR(selection),
        FLAG_DRY_RUN(dry_run_text),
        { "output", 'o', FLAG_TEXT, &output_text, "FORMAT", NULL, "Print the node as json, yaml, name, jsonpath=…" },
        FLAG_TEMPLATE(template_text),
        FLAG_MISSING_KEYS,
        FLAG_MANAGED_FIELDS,
        FLAG_FIELD_MANAGER,
        { "validate", 0, FLAG_ACCEPTED, NULL, NULL, "strict", "a taint has no unknown fields" },
        { 0 },
};

/* ---- the words ---- */

bool taint_is_edit(const char *word) {
        return strchr(word, '=') || strchr(word, ':') || str_ends_with(word, "-");
}

static bool is_effect(const char *word) {
        return streq(word, "NoSchedule") || streq(word, "PreferNoSchedule") || streq(word, "NoExecute");
}

/* KEY[=VALUE][:EFFECT]; the node's own rules look at key and value. */
static struct error *parse_one(const char *word, size_t len, json_t **ret) {
        _cleanup_free_ char *text = xstrndup(word, len);
        char *effect = strchr(text, ':'), *value;
        json_t *taint;

        if (effect)
                *effect++ = '\0';
        if (effect && strchr(effect, ':'))
                return usage_error("invalid taint spec: %s", word);
        if (effect && !is_effect(effect))
                return usage_error("invalid taint effect: %s, unsupported taint effect", effect);
        value = strchr(text, '=');
        if (value)
                *value++ = '\0';
        if (!*text || (value && (!effect || strchr(value, '='))))
                return usage_error("invalid taint spec: %s", word);
        taint = json_pack("{s:s}", "key", text);
        if (value && *value)
                json_object_set_new(taint, "value", json_string(value));
        if (effect)
                json_object_set_new(taint, "effect", json_string(effect));
        *ret = taint;
        return NULL;
}

static bool same_text(const json_t *a, const json_t *b, const char *key) {
        return streq_ptr(field_text(a, key), field_text(b, key));
}

/* Taints are told apart by key and effect. */
static bool same_taint(const json_t *a, const json_t *b) {
        return same_text(a, b, "key") && same_text(a, b, "effect");
}

static bool has_taint(const json_t *taints, const json_t *taint) {
        json_t *other;
        size_t i;

        json_array_foreach(taints, i, other) {
                if (same_taint(other, taint))
                        return true;
        }
        return false;
}

static struct error *edit_add_word(struct taint_edit *edit, const char *word) {
        bool removal = str_ends_with(word, "-");
        json_t *taint = NULL;
        struct error *err = parse_one(word, strlen(word) - removal, &taint);

        if (err)
                return err;
        if (!removal && !field_text(taint, "effect"))
                err = usage_error("invalid taint spec: %s", word);
        else if (!removal && has_taint(edit->add, taint))
                err = usage_error("duplicated taints with the same key and effect: %s", word);
        json_array_append_new(removal ? edit->remove : edit->add, taint);
        return err;
}

void taint_edit_release(struct taint_edit *edit) {
        json_decref(edit->add);
        json_decref(edit->remove);
        *edit = (struct taint_edit){ 0 };
}

struct error *taint_edit_parse(char *const *words, size_t n_words, struct taint_edit *ret) {
        struct taint_edit edit = { .add = json_array(), .remove = json_array() };

        for (size_t i = 0; i < n_words; i++) {
                struct error *err = edit_add_word(&edit, words[i]);
                if (err) {
                        taint_edit_release(&edit);
                        return err;
                }
        }
        *ret = edit;
        return NULL;
}

/* ---- the node's list ---- */

static struct error *check_new(const struct taint_edit *edit, const json_t *node, const json_t *taints) {
        struct strbuf there = STRBUF_INIT;
        struct error *err = NULL;
        json_t *taint;
        size_t i;

        json_array_foreach(edit->add, i, taint) {
                if (has_taint(taints, taint))
                        strbuf_addf(&there, "%s%s", strbuf_str(&there)[0] ? "," : "", field_text(taint, "key"));
        }
        if (!edit->overwrite && strbuf_str(&there)[0])
                err = usage_error("node %s already has %s taint(s) with same effect(s) and --overwrite is false",
                                  object_name(node), strbuf_str(&there));
        strbuf_release(&there);
        return err;
}

static bool is_meant(const json_t *removal, const json_t *taint) {
        return same_text(removal, taint, "key") &&
               (!field_text(removal, "effect") || same_text(removal, taint, "effect"));
}

static struct error *remove_taint(json_t *taints, const json_t *removal) {
        const char *effect = field_text(removal, "effect");
        bool found = false;

        for (size_t i = json_array_size(taints); i-- > 0;)
                if (is_meant(removal, json_array_get(taints, i))) {
                        json_array_remove(taints, i);
                        found = true;
                }
        return found ? NULL
                     : usage_error("taint \"%s%s%s\" not found", field_text(removal, "key"), effect ? ":" : "",
                                   effect ? effect : "");
}

/* As kubectl orders and calls it: new taints first, then those that stay. */
struct error *taint_edit_apply(const struct taint_edit *edit, json_t *node, const char **ret_word) {
        json_t *spec = field_make_object(node, "spec"), *old = json_object_get(spec, "taints");
        _cleanup_json_ json_t *taints = json_copy(edit->add);
        struct error *err = check_new(edit, node, old);
        json_t *taint;
        bool added;
        size_t i;

        json_array_foreach(old, i, taint) {
                if (!has_taint(taints, taint))
                        json_array_append(taints, taint);
        }
        added = json_array_size(taints) != json_array_size(old);
        json_array_foreach(edit->remove, i, taint) {
                if (!err)
                        err = remove_taint(taints, taint);
        }
        if (err)
                return err;
        *ret_word = (added && json_array_size(edit->remove)) || edit->overwrite ? "modified"
                    : added                                                     ? "tainted"
                                                                                : "untainted";
        if (json_array_size(taints))
                json_object_set(spec, "taints", taints);
        else
                json_object_del(spec, "taints");
        return NULL;
}

/* ---- the verb ---- */

struct change {
        const struct taint_edit *edit;
        const char *word;
};

static struct error *change_node(json_t *node, void *arg) {
        struct change *change = arg;

        return taint_edit_apply(change->edit, node, &change->word);
}

static struct error *taint_one(struct cli *cli, const json_t *node, const struct taint_edit *edit,
                               const struct output *output, enum dry_run dry_run) {
        struct change change = { .edit = edit };
        _cleanup_json_ json_t *result = NULL;
        struct error *err;

        err = submit_modify(cli, api_kind_of("Node"), NULL, object_name(node), NULL, dry_run != DRY_RUN_NONE,
                            change_node, &change, &result, NULL);
        if (err)
                return err;
        _cleanup_free_ char *action = xasprintf("%s%s", change.word, dry_run_suffix(dry_run));
        return output_result(output, result, action);
}

struct error *taint_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        _cleanup_output_ struct output output = OUTPUT_INIT;
        _cleanup_(taint_edit_release) struct taint_edit edit = { 0 };
        enum dry_run dry_run;
        size_t n_names = 0, i;
        struct error *err;
        json_t *node;

        while (n_names < arguments->n_words && !taint_is_edit(arguments->words[n_names]))
                n_names++;
        if (n_names == arguments->n_words)
                return usage_error("at least one taint update is required");
        err = taint_edit_parse(arguments->words + n_names, arguments->n_words - n_names, &edit);
        edit.overwrite = overwrite;
        if (!err)
                err = dry_run_parse(dry_run_text, &dry_run);
        if (!err)
                err = output_parse(output_text, template_text, &output);
        if (!err)
                err = selection_parse(cli, &selection, arguments->words, n_names, NULL, &requests);
        if (err)
                return err;
        for (i = 0; i < requests.n; i++) {
                if (!streq(requests.items[i].kind->kind, "Node"))
                        return usage_error("invalid resource type %s, only node(s) is supported",
                                           requests.items[i].kind->plural);
                if (!requests.items[i].name && !selection.all && !selection.labels)
                        return usage_error(
                                "at least one resource name must be specified since 'all' parameter is not set");
        }
        _cleanup_json_ json_t *nodes = requests_load(cli, &requests, &selection);
        json_array_foreach(nodes, i, node) cli_report(cli, taint_one(cli, node, &edit, &output, dry_run));
        return NULL;
}
