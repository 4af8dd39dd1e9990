/* explain.c - `husk explain`: what the fields of a type are and do, in the layout of kubectl explain. */
#include <stdio.h>

#include "api/api.h"
#include "api/explain.h"
#include "base/str.h"
#include "husk/selection.h"
#include "husk/verbs.h"

static bool recursive;
static const char *format = "plaintext", *api_version;

const struct flag explain_flags[] = {
        { "recursive", 0, FLAG_BOOL, &recursive, NULL, NULL, "Show the fields of the fields, too" },
        { "api-version", 0, FLAG_TEXT, &api_version, "VERSION", NULL, "Only if this is the kind's version" },
        { "output", 0, FLAG_TEXT, &format, "FORMAT", NULL, "Layout: plaintext is the only one" },
        { 0 },
};

#define DEPTH_MAX 12 /* the schema refers to itself nowhere this deep */

static const char *scalar_name(ProtobufCType type) {
        switch (type) {
        case PROTOBUF_C_TYPE_BOOL:
                return "boolean";
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_BYTES:
                return "string";
        case PROTOBUF_C_TYPE_DOUBLE:
        case PROTOBUF_C_TYPE_FLOAT:
                return "number";
        default:
                return "integer";
        }
}

/* What a type that is no object of fields is in JSON; "Object" names are those of Kubernetes, without our V1. */
static const char *message_name(const struct api_type *type) {
        switch (type->form) {
        case API_TYPE_QUANTITY:
                return "Quantity";
        case API_TYPE_TIME:
        case API_TYPE_MICRO_TIME:
                return "string";
        case API_TYPE_INT_OR_STRING:
                return "IntOrString";
        case API_TYPE_RAW:
        case API_TYPE_STRUCT:
        case API_TYPE_LIST:
                break;
        }
        return api_type_name(type) + strlen("V1");
}

static char *type_text(const struct api_type *owner, const struct api_field *field) {
        const ProtobufCFieldDescriptor *d = api_field_descriptor(owner, field);
        const char *name = field->type ? message_name(api_field_type(field)) : scalar_name(d->type);

        if (field->flags & API_FIELD_MAP) {
                const struct api_type *entry = api_field_type(field);
                const char *value = "string";
                for (size_t i = 0; entry && i < entry->n_fields; i++) {
                        const struct api_field *member = api_type_field(entry, i);
                        if (streq(api_field_name(member), "value") && api_field_type(member))
                                value = message_name(api_field_type(member));
                }
                return xasprintf("map[string]%s", value);
        }
        return xasprintf("%s%s", d->label == PROTOBUF_C_LABEL_REPEATED ? "[]" : "", name);
}

static bool has_fields(const struct api_field *field) {
        return field->type && api_field_type(field)->form == API_TYPE_STRUCT && !(field->flags & API_FIELD_MAP);
}

/* Prints text in lines of at most `width` columns, each after `indent` blanks. */
static void print_wrapped(const char *text, int indent, size_t width) {
        while (*text) {
                size_t len = strlen(text), end = MIN(len, width);
                if (end < len) {
                        while (end > 0 && text[end] != ' ')
                                end--;
                        if (end == 0) /* a word longer than the line */
                                end = strcspn(text, " ");
                }
                printf("%*s%.*s\n", indent, "", (int)end, text);
                text += end + strspn(text + end, " ");
        }
}

/* What a field does and, of one that is refused, why. A field without a sentence is one below `refused`. */
static char *description(const struct api_explanation *explanation, const struct api_field *field,
                         const struct api_field *refused) {
        const char *text = api_explanation_text(explanation);

        if (!text && refused)
                return xasprintf("Part of %s, which is not supported on a single machine: it %s.",
                                 api_field_name(refused), api_field_reason(refused));
        if (!text)
                return xstrdup("<no description>");
        if (!field || field->support != FIELD_REFUSED)
                return xstrdup(text);
        if (api_field_harmless(field))
                return xasprintf("%s A value other than %s is not supported on a single machine: it %s.", text,
                                 api_field_harmless(field), api_field_reason(field));
        return xasprintf("%s Not supported on a single machine: it %s.", text, api_field_reason(field));
}

/* Whatever its value. */
static bool is_refused(const struct api_field *field) {
        return field && field->support == FIELD_REFUSED && !api_field_harmless(field);
}

#define VALUES_SHOWN 4 /* in a list of fields; a field by itself shows them all */

static void print_values_in_line(const char *values, int indent) {
        _cleanup_strv_ char **parts = strv_split(values, ',');

        printf("%*senum: ", indent, "");
        for (size_t i = 0; parts[i]; i++) {
                if (i == VALUES_SHOWN) {
                        printf(", ....");
                        break;
                }
                printf("%s%s", i > 0 ? ", " : "", parts[i]);
        }
        putchar('\n');
}

static void print_values_below(const char *values) {
        _cleanup_strv_ char **parts = strv_split(values, ',');

        printf("ENUM:\n");
        for (size_t i = 0; parts[i]; i++)
                printf("    %s\n", parts[i]);
}

/* One line of the list of a type's fields. */
struct entry {
        const char *name;
        char *type;
        const struct api_explanation *explanation;
        const struct api_field *field; /* NULL: apiVersion or kind, which no message of the schema has */
};

static void print_entry(const struct entry *entry, int depth, const struct api_field *refused) {
        const char *values = api_explanation_values(entry->explanation);

        printf("%*s%s\t<%s>%s%s\n", 2 * depth, "", entry->name, entry->type,
               entry->explanation->required ? " -required-" : "", is_refused(entry->field) ? " -refused-" : "");
        if (values)
                print_values_in_line(values, 2 * depth);
        if (recursive)
                return;
        _cleanup_free_ char *text = description(entry->explanation, entry->field, refused);
        print_wrapped(text, 2 * depth + 2, 76);
        putchar('\n');
}

static int compare_entries(const void *a, const void *b) {
        return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* `refused` is the field through which the type was reached, if husk refuses that. */
static void print_fields(const struct api_type *type, int depth, const struct api_field *refused) {
        struct entry entries[256]; /* no type has nearly as many; test-explain.c looks */
        size_t n = 0;

        for (size_t i = 0; i < type->n_names && n < ARRAY_SIZE(entries) - 2; i++) {
                const struct api_name *name = api_type_json_name(type, i);
                const struct api_field *field = api_name_field(name), *inlined = api_name_inlined(name);
                entries[n++] =
                        (struct entry){ api_name_text(name), type_text(inlined ? api_field_type(inlined) : type, field),
                                        api_explanation_of(field), field };
        }
        if (type->is_kind) {
                entries[n++] = (struct entry){ "apiVersion", xstrdup("string"), &api_explanation_of_api_version, NULL };
                entries[n++] = (struct entry){ "kind", xstrdup("string"), &api_explanation_of_kind, NULL };
        }
        qsort(entries, n, sizeof(entries[0]), compare_entries);
        for (size_t i = 0; i < n; i++) {
                print_entry(&entries[i], depth, refused);
                if (recursive && depth < DEPTH_MAX && entries[i].field && has_fields(entries[i].field))
                        print_fields(api_field_type(entries[i].field), depth + 1, refused);
                free(entries[i].type);
        }
}

static struct error *unknown_field(const struct api_type *type, const char *path) {
        const char *names[256];
        size_t n = 0;

        for (size_t i = 0; i < type->n_names && n < ARRAY_SIZE(names) - 1; i++)
                names[n++] = api_name_text(api_type_json_name(type, i));
        names[n] = NULL;
        const char *nearest = nearest_name(path, names);
        if (nearest)
                return usage_error("field \"%s\" does not exist; did you mean \"%s\"?", path, nearest);
        return usage_error("field \"%s\" does not exist", path);
}

/* What a path like "spec.containers.image" leads to. */
struct target {
        const struct api_type *type; /* of the value; NULL: it has no fields */
        const struct api_type *owner;
        const struct api_field *field;   /* NULL: the kind itself, or what `constant` is about */
        const struct api_field *refused; /* the first one on the way that husk refuses; NULL: none */
        const char *constant;            /* "apiVersion", "kind" */
        const struct api_explanation *explanation;
};

static bool find_constant(struct target *target, const char *name) {
        if (!target->type->is_kind || !(streq(name, "apiVersion") || streq(name, "kind")))
                return false;
        target->explanation = streq(name, "kind") ? &api_explanation_of_kind : &api_explanation_of_api_version;
        target->constant = streq(name, "kind") ? "kind" : "apiVersion";
        target->field = NULL;
        target->type = NULL;
        return true;
}

static struct error *walk(struct target *target, const char *path) {
        _cleanup_strv_ char **parts = strv_split(path, '.');

        for (size_t i = 0; *path && parts[i]; i++) {
                if (!target->type)
                        return usage_error("field \"%s\" does not exist", parts[i]);
                if (find_constant(target, parts[i]))
                        continue;
                const struct api_name *name = api_type_find(target->type, parts[i]);
                if (!name)
                        return unknown_field(target->type, parts[i]);
                target->owner = name->inlined ? api_field_type(api_name_inlined(name)) : target->type;
                target->field = api_name_field(name);
                target->explanation = api_explanation_of(target->field);
                if (!target->refused && is_refused(target->field))
                        target->refused = target->field;
                target->type = has_fields(target->field) ? api_field_type(target->field) : NULL;
        }
        return NULL;
}

static void print_head(const struct api_kind *kind) {
        const char *slash = strchr(kind->api_version, '/');

        if (slash)
                printf("GROUP:      %.*s\n", (int)(slash - kind->api_version), kind->api_version);
        printf("KIND:       %s\nVERSION:    %s\n\n", kind->kind, slash ? slash + 1 : kind->api_version);
}

static void print_field_head(const struct target *target) {
        const char *values = api_explanation_values(target->explanation);
        _cleanup_free_ char *type = target->field ? type_text(target->owner, target->field) : xstrdup("string");

        printf("FIELD: %s <%s>\n", target->field ? api_field_name(target->field) : target->constant, type);
        if (values)
                print_values_below(values);
        printf(values ? "\n" : "\n\n");
}

/* The field's sentence, then that of its type. */
static void print_description(const struct target *target) {
        const char *about_type = target->type ? api_type_explanation(target->type) : NULL;

        printf("DESCRIPTION:\n");
        if (target->explanation) {
                _cleanup_free_ char *text = description(target->explanation, target->field, target->refused);
                print_wrapped(text, 4, 76);
        }
        if (about_type)
                print_wrapped(about_type, 4, 76);
        printf("    \n");
}

static struct error *parse_kind(const char *word, const struct api_kind **ret) {
        struct error *err;

        if (!str_starts_with(format, "plaintext"))
                return usage_error("unknown output format \"%s\": plaintext is the only one", format);
        err = kind_parse(word, ret);
        if (!err && api_version && !streq(api_version, (*ret)->api_version))
                return usage_error("there is no %s of version %s, but one of version %s", (*ret)->kind, api_version,
                                   (*ret)->api_version);
        return err;
}

struct error *explain_run(struct cli *cli, struct arguments *arguments) {
        const struct api_kind *kind;
        struct error *err;

        if (arguments->n_words != 1)
                return usage_error("you must specify the type of resource to explain, e.g. `husk explain pod.spec`");
        size_t len = strcspn(arguments->words[0], ".");
        _cleanup_free_ char *word = xstrndup(arguments->words[0], len);
        err = parse_kind(word, &kind);
        if (err)
                return err;
        struct target target = { .type = api_type_of(kind->descriptor) };
        err = walk(&target, arguments->words[0] + len + (arguments->words[0][len] == '.'));
        if (err)
                return err;
        print_head(kind);
        if (target.explanation)
                print_field_head(&target);
        print_description(&target);
        if (target.type) {
                printf("FIELDS:\n");
                print_fields(target.type, 1, target.refused);
        }
        putchar('\n');
        return NULL;
}
