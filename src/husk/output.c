#include "husk/output.h"

#include <ctype.h>

#include "api/api.h"
#include "api/yaml.h"
#include "base/file.h"
#include "base/str.h"
#include "server/field.h"
#include "husk/flag.h"
#include "husk/table.h"

#define TEMPLATE_SIZE_MAX (1U << 20)

static const struct {
        const char *name;
        enum output_format format;
        bool takes_text; /* name=TEXT */
        bool text_is_file;
} formats[] = {
        { "wide", OUTPUT_WIDE },
        { "json", OUTPUT_JSON },
        { "yaml", OUTPUT_YAML },
        { "name", OUTPUT_NAME },
        { "jsonpath", OUTPUT_JSONPATH, true },
        { "jsonpath-as-json", OUTPUT_JSONPATH_AS_JSON, true },
        { "jsonpath-file", OUTPUT_JSONPATH, true, true },
        { "custom-columns", OUTPUT_CUSTOM_COLUMNS, true },
        { "custom-columns-file", OUTPUT_CUSTOM_COLUMNS, true, true },
};

static struct error *column_add(struct output *output, const char *title, size_t title_len, const char *path) {
        struct output_column *column;

        output->columns = xreallocarray(output->columns, output->n_columns + 1, sizeof(*output->columns));
        column = &output->columns[output->n_columns++];
        *column = (struct output_column){ .title = xstrndup(title, title_len) };
        _cleanup_free_ char *full = jsonpath_relax(path);
        return jsonpath_parse(full, &column->path);
}

/* "NAME:.metadata.name,IMAGE:.spec.containers[*].image" */
static struct error *columns_parse(struct output *output, const char *text) {
        _cleanup_strv_ char **specs = strv_split(text, ',');

        for (size_t i = 0; specs[i]; i++) {
                char *colon = strchr(specs[i], ':');
                if (!colon || colon == specs[i] || !colon[1])
                        return usage_error("unexpected custom-columns spec: %s, expected <header>:<json-path-expr>",
                                           specs[i]);
                struct error *err = column_add(output, specs[i], colon - specs[i], colon + 1);
                if (err)
                        return error_context(err, "column %s", specs[i]);
        }
        return NULL;
}

/* A file of custom columns: a line of titles, a line of paths, both separated by blanks. */
static struct error *columns_file_parse(struct output *output, char *text) {
        char *line_end = strchr(text, '\n'), *titles_at = NULL, *paths_at = NULL;

        if (!line_end)
                return usage_error("expected a line of titles and a line of paths");
        *line_end = '\0';
        char *title = strtok_r(text, " \t\r", &titles_at), *path = strtok_r(line_end + 1, " \t\r\n", &paths_at);
        for (; title && path;
             title = strtok_r(NULL, " \t\r", &titles_at), path = strtok_r(NULL, " \t\r\n", &paths_at)) {
                struct error *err = column_add(output, title, strlen(title), path);
                if (err)
                        return error_context(err, "column %s", title);
        }
        if (title || path)
                return usage_error("as many titles as paths are expected");
        return NULL;
}

static struct error *template_set(struct output *output, char *text, bool is_file) {
        if (output->format != OUTPUT_CUSTOM_COLUMNS)
                return jsonpath_parse(text, &output->template);
        return is_file ? columns_file_parse(output, text) : columns_parse(output, text);
}

static struct error *format_unknown(const char *text) {
        _cleanup_strbuf_ struct strbuf known = STRBUF_INIT;

        if (str_starts_with(text, "go-template") || str_starts_with(text, "template"))
                return usage_error("husk has no Go templates; -o jsonpath='{.status.podIP}' prints fields, "
                                   "-o custom-columns=… tables, -o json feeds jq");
        for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
                strbuf_addf(&known, "%s%s", i ? "," : "", formats[i].name);
        return usage_error("unable to match a printer suitable for the output format \"%s\", allowed formats are: %s",
                           text, strbuf_str(&known));
}

struct error *output_parse(const char *text, const char *template, struct output *ret) {
        size_t len = text ? strcspn(text, "=") : 0;
        const char *argument = text && text[len] == '=' ? text + len + 1 : template;

        if (str_empty(text))
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
                _cleanup_free_ char *content = NULL;
                if (strlen(formats[i].name) != len || strncmp(formats[i].name, text, len) != 0)
                        continue;
                ret->format = formats[i].format;
                if (!formats[i].takes_text)
                        return text[len] ? format_unknown(text) : NULL;
                if (str_empty(argument))
                        return usage_error("%s format specified but no template given", formats[i].name);
                if (formats[i].text_is_file) {
                        struct error *err = file_read(argument, TEMPLATE_SIZE_MAX, &content, NULL);
                        if (err)
                                return err;
                }
                if (!content)
                        content = xstrdup(argument);
                return template_set(ret, content, formats[i].text_is_file);
        }
        return format_unknown(text);
}

void output_release(struct output *output) {
        jsonpath_free(output->template);
        for (size_t i = 0; i < output->n_columns; i++) {
                free(output->columns[i].title);
                jsonpath_free(output->columns[i].path);
        }
        free(output->columns);
        *output = (struct output)OUTPUT_INIT;
}

char *output_name(const json_t *object) {
        const char *kind = field_text_or(object, "kind", "");
        const struct api_kind *known = api_kind_of(kind);

        if (known)
                return xasprintf("%s/%s", known->singular, object_name(object));
        char *name = xasprintf("%s/%s", kind, object_name(object));
        for (char *c = name; *c && *c != '/'; c++)
                *c = tolower((unsigned char)*c);
        return name;
}

static void print_json(const json_t *json) {
        json_dumpf(json, stdout, JSON_INDENT(4) | JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        putchar('\n');
}

static void print_names(const json_t *object) {
        const json_t *items = json_object_get(object, "items");
        json_t *item;
        size_t i;

        if (!streq_ptr(field_text(object, "kind"), "List")) {
                _cleanup_free_ char *name = output_name(object);
                puts(name);
                return;
        }
        json_array_foreach(items, i, item) print_names(item);
}

/* Several values of one path stand in one cell, separated by commas; none is "<none>". */
static struct error *column_cell(struct table *table, const struct output_column *column, const json_t *object) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_json_ json_t *values = NULL;
        struct error *err;
        json_t *value;
        size_t i;

        err = jsonpath_find(column->path, object, &values);
        if (err)
                return err;
        json_array_foreach(values, i, value) {
                _cleanup_free_ char *one = jsonpath_value_text(value);
                strbuf_addf(&text, "%s%s", i ? "," : "", one);
        }
        table_cell(table, json_array_size(values) ? strbuf_str(&text) : "<none>");
        return NULL;
}

static struct error *columns_row(const struct output *output, struct table *table, const json_t *object) {
        table_row(table);
        for (size_t c = 0; c < output->n_columns; c++) {
                struct error *err = column_cell(table, &output->columns[c], object);
                if (err)
                        return err;
        }
        return NULL;
}

static struct error *print_columns(const struct output *output, const json_t *object) {
        _cleanup_table_ struct table table = TABLE_INIT;
        const json_t *items = json_object_get(object, "items");
        struct error *err = NULL;
        json_t *item;
        size_t i;

        if (!output->no_headers) {
                table_row(&table);
                for (size_t c = 0; c < output->n_columns; c++)
                        table_cell(&table, output->columns[c].title);
        }
        if (!streq_ptr(field_text(object, "kind"), "List"))
                err = columns_row(output, &table, object);
        else
                json_array_foreach(items, i, item) {
                        err = columns_row(output, &table, item);
                        if (err)
                                break;
                }
        if (err)
                return err;
        table_print(&table, stdout);
        return NULL;
}

static struct error *print_template(const struct output *output, const json_t *object) {
        _cleanup_free_ char *text = NULL;
        struct error *err = jsonpath_print(output->template, object, &text);

        if (err)
                return err;
        fputs(text, stdout);
        return NULL;
}

static struct error *print_template_as_json(const struct output *output, const json_t *object) {
        _cleanup_json_ json_t *values = NULL;
        struct error *err = jsonpath_find(output->template, object, &values);

        if (err)
                return err;
        print_json(values);
        return NULL;
}

struct error *output_print(const struct output *output, const json_t *object) {
        switch (output->format) {
        case OUTPUT_TABLE:
        case OUTPUT_WIDE:
        case OUTPUT_JSON:
                print_json(object);
                return NULL;
        case OUTPUT_YAML: {
                _cleanup_free_ char *text = yaml_format(object);
                fputs(text, stdout);
                return NULL;
        }
        case OUTPUT_NAME:
                print_names(object);
                return NULL;
        case OUTPUT_JSONPATH:
                return print_template(output, object);
        case OUTPUT_JSONPATH_AS_JSON:
                return print_template_as_json(output, object);
        case OUTPUT_CUSTOM_COLUMNS:
                return print_columns(output, object);
        }
        return NULL;
}

struct error *output_result(const struct output *output, const json_t *object, const char *action) {
        if (output->format == OUTPUT_TABLE || output->format == OUTPUT_WIDE) {
                _cleanup_free_ char *name = output_name(object);
                if (action)
                        printf("%s %s\n", name, action);
                return NULL;
        }
        return output_print(output, object);
}

struct error *output_document(const char *format, const json_t *document) {
        _cleanup_output_ struct output output = OUTPUT_INIT;
        struct error *err = output_parse(format, NULL, &output);

        if (err)
                return err;
        if (output.format != OUTPUT_JSON && output.format != OUTPUT_YAML)
                return usage_error("--output must be 'yaml' or 'json'");
        return output_print(&output, document);
}

json_t *output_list(const json_t *items) {
        return json_pack("{s:s, s:O, s:s, s:{s:s}}", "apiVersion", "v1", "items", items, "kind", "List", "metadata",
                         "resourceVersion", "");
}

struct error *output_flush(void) {
        if (fflush(stdout) != 0 || ferror(stdout))
                return error_errno(errno ? errno : EIO, "write standard output");
        return NULL;
}
