#include <dirent.h>
#include <sys/stat.h>

#include "api/manifest.h"
#include "api/yaml.h"
#include "base/file.h"
#include "base/str.h"

#define FOLDER_DEPTH_MAX 32
#define SEARCHED_MAX (64U * 1024 * 1024) /* bytes of a file read to look up places */
#define EXPLAINED_MAX 100

struct manifest *manifest_new(void) {
        return new0(struct manifest);
}

static void document_free(struct manifest_document *document) {
        json_decref(document->json);
        free(document->prefix);
        diagnostics_release(&document->diags);
        free(document);
}

struct manifest *manifest_free(struct manifest *manifest) {
        if (!manifest)
                return NULL;
        for (size_t i = 0; i < manifest->n; i++)
                document_free(manifest->documents[i]);
        for (size_t i = 0; i < manifest->n_files; i++) {
                free(manifest->files[i]->name);
                free(manifest->files[i]->text);
                free(manifest->files[i]);
        }
        free(manifest->documents);
        free(manifest->files);
        free(manifest);
        return NULL;
}

/* A stretch of a file's text that holds one document. */
struct stretch {
        struct manifest_file *file;
        size_t offset, len;
        bool is_json;
};

/* json is taken over. */
static struct manifest_document *document_add(struct manifest *manifest, const struct stretch *at, json_t *json,
                                              char *prefix) {
        struct manifest_document *document = new0(struct manifest_document);

        *document = (struct manifest_document){ .json = json,
                                                .file = at->file,
                                                .offset = at->offset,
                                                .len = at->len,
                                                .is_json = at->is_json,
                                                .prefix = prefix };
        manifest->documents = xreallocarray(manifest->documents, manifest->n + 1, sizeof(*manifest->documents));
        manifest->documents[manifest->n++] = document;
        return document;
}

static bool is_list(const json_t *json) {
        const char *kind = json_string_value(json_object_get(json, "kind"));

        return kind && json_is_array(json_object_get(json, "items")) &&
               (streq(kind, "List") || (str_ends_with(kind, "List") &&
                                        streq_ptr(json_string_value(json_object_get(json, "apiVersion")), "v1")));
}

/* json is taken over. A list becomes its items; those of a PodList need not say that they are Pods. */
static void object_add(struct manifest *manifest, const struct stretch *at, json_t *json) {
        const char *kind = json_string_value(json_object_get(json, "kind"));
        size_t i;
        json_t *item;

        if (!is_list(json)) {
                document_add(manifest, at, json, xstrdup(""));
                return;
        }
        json_array_foreach(json_object_get(json, "items"), i, item) {
                if (!streq(kind, "List") && json_is_object(item)) {
                        if (!json_object_get(item, "apiVersion"))
                                json_object_set(item, "apiVersion", json_object_get(json, "apiVersion"));
                        if (!json_object_get(item, "kind"))
                                json_object_set_new(item, "kind", json_stringn(kind, strlen(kind) - strlen("List")));
                }
                document_add(manifest, at, json_incref(item), xasprintf("items[%zu]", i));
        }
        json_decref(json);
}

/* Puts a mark within a document into its file's lines. A column changes only in the document's first line. */
static void place(const struct manifest_document *document, struct yaml_mark mark, struct diagnostic *diagnostic) {
        const char *text = document->file->text, *start = text + document->offset;

        if (mark.line == 0)
                return;
        diagnostic->line = mark.line;
        diagnostic->column = mark.column;
        if (mark.line == 1)
                for (const char *p = start; p > text && p[-1] != '\n'; p--)
                        diagnostic->column += ((unsigned char)p[-1] & 0xc0) != 0x80;
        for (const char *p = text; p < start; p++)
                diagnostic->line += *p == '\n';
}

static void syntax_mistake(struct manifest *manifest, const struct stretch *at, struct error *err,
                           struct yaml_mark mark) {
        struct manifest_document *document = document_add(manifest, at, NULL, xstrdup(""));

        diagnostics_add(&document->diags, DIAGNOSTIC_DECODE, NULL, "%s", error_message(err));
        place(document, mark, &document->diags.items[0]);
        error_free(err);
}

static void add_yaml(struct manifest *manifest, const struct stretch *at) {
        struct yaml_mark mark = { 0 };
        json_t *json = NULL;
        struct error *err = yaml_parse(at->file->text + at->offset, at->len, &json, &mark);

        if (err)
                syntax_mistake(manifest, at, err, mark);
        else if (json_is_null(json))
                json_decref(json); /* "---" with nothing after it */
        else if (json)
                object_add(manifest, at, json);
}

static bool is_separator(const char *line, const char *end, const char *dashes) {
        return end - line >= 3 && memcmp(line, dashes, 3) == 0 && (end - line == 3 || strchr(" \t\r\n", line[3]));
}

static bool is_blank_or_comment(const char *line, const char *end) {
        while (line < end && (*line == ' ' || *line == '\t' || *line == '\r'))
                line++;
        return line == end || *line == '#' || *line == '\n';
}

/* A line "---" begins a document and "..." ends one, wherever they stand; so that a mistake in one document does not
 * hide those in the next, the text is cut there before it is parsed. Directives (%YAML) belong to what follows. */
static void add_yaml_documents(struct manifest *manifest, struct manifest_file *file, size_t offset) {
        const char *text = file->text, *end = text + file->len, *start = text + offset;
        bool has_content = false;

        for (const char *line = start; line < end;) {
                const char *newline = memchr(line, '\n', end - line);
                const char *line_end = newline ? newline : end, *next = newline ? newline + 1 : end;
                bool begins = is_separator(line, line_end, "---"), ends = is_separator(line, line_end, "...");

                if (ends || (begins && has_content)) {
                        struct stretch at = { file, start - text, (ends ? next : line) - start, false };

                        if (has_content)
                                add_yaml(manifest, &at);
                        start = ends ? next : line;
                        has_content = begins;
                } else if (begins || (*line != '%' && !is_blank_or_comment(line, line_end))) {
                        has_content = true;
                }
                line = next;
        }
        if (has_content) {
                struct stretch at = { file, start - text, end - start, false };
                add_yaml(manifest, &at);
        }
}

/* One JSON value after the other. From a line "---" on it is YAML, of which JSON is a part. */
static void add_json_documents(struct manifest *manifest, struct manifest_file *file) {
        size_t offset = 0;

        for (;;) {
                struct stretch at = { file, 0, 0, true };
                json_error_t error;
                json_t *json;

                offset += strspn(file->text + offset, " \t\r\n");
                if (offset >= file->len)
                        return;
                if (offset > 0 && file->text[offset - 1] == '\n' &&
                    is_separator(file->text + offset, file->text + file->len, "---")) {
                        add_yaml_documents(manifest, file, offset);
                        return;
                }
                at.offset = offset;
                at.len = file->len - offset;
                json = json_loadb(file->text + offset, at.len, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &error);
                if (!json) {
                        struct yaml_mark mark = { MAX(error.line, 1), MAX(error.column, 1) };
                        syntax_mistake(manifest, &at, error_new(ERROR_BAD_REQUEST, "not valid JSON: %s", error.text),
                                       mark);
                        return;
                }
                at.len = error.position;
                offset += error.position;
                object_add(manifest, &at, json);
        }
}

void manifest_add_text(struct manifest *manifest, const char *name, const char *text, size_t len) {
        struct manifest_file *file = new0(struct manifest_file);
        size_t first;

        if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
                text += 3;
                len -= 3;
        }
        file->name = xstrdup(name);
        file->text = xmalloc(len + 1);
        memcpy(file->text, text, len);
        file->text[len] = '\0';
        file->len = len;
        manifest->files = xreallocarray(manifest->files, manifest->n_files + 1, sizeof(*manifest->files));
        manifest->files[manifest->n_files++] = file;

        first = strspn(file->text, " \t\r\n");
        /* Text with zero bytes (UTF-16, a binary) is left to libyaml, which knows encodings and refuses the rest. */
        if (strlen(file->text) != len) {
                struct stretch at = { file, 0, len, false };
                add_yaml(manifest, &at);
        } else if (file->text[first] == '{') {
                size_t before = manifest->n;

                add_json_documents(manifest, file);
                /* {a: b} is YAML's own notation, too. */
                if (manifest->n == before + 1 && !manifest->documents[before]->json) {
                        struct manifest_document *as_json = manifest->documents[before];

                        manifest->n = before;
                        add_yaml_documents(manifest, file, 0);
                        if (manifest->n > before && manifest->documents[before]->json) {
                                document_free(as_json);
                        } else {
                                while (manifest->n > before)
                                        document_free(manifest->documents[--manifest->n]);
                                manifest->documents[manifest->n++] = as_json;
                        }
                }
        } else {
                add_yaml_documents(manifest, file, 0);
        }
}

static struct error *add_file(struct manifest *manifest, const char *path) {
        _cleanup_free_ char *text = NULL;
        size_t len;
        struct error *err;

        if (streq(path, "-"))
                err = fd_read_all(STDIN_FILENO, MANIFEST_SIZE_MAX, &text, &len);
        else
                err = file_read(path, MANIFEST_SIZE_MAX, &text, &len);
        if (err)
                return streq(path, "-") ? error_context(err, "standard input") : err;
        manifest_add_text(manifest, streq(path, "-") ? "STDIN" : path, text, len);
        return NULL;
}

static bool is_manifest_name(const char *name) {
        return str_ends_with(name, ".yaml") || str_ends_with(name, ".yml") || str_ends_with(name, ".json");
}

static struct error *add_folder(struct manifest *manifest, const char *path, bool recursive, int depth) {
        struct dirent **entries;
        struct error *err = NULL;
        int n = scandir(path, &entries, NULL, alphasort);

        if (n < 0)
                return error_errno(errno, "open %s", path);
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *child = path_join(path, entries[i]->d_name);
                struct stat st;

                if (!err && !streq(entries[i]->d_name, ".") && !streq(entries[i]->d_name, "..") &&
                    stat(child, &st) == 0) {
                        if (S_ISDIR(st.st_mode) && recursive && depth < FOLDER_DEPTH_MAX)
                                err = add_folder(manifest, child, recursive, depth + 1);
                        else if (S_ISREG(st.st_mode) && is_manifest_name(entries[i]->d_name))
                                err = add_file(manifest, child);
                }
                free(entries[i]);
        }
        free(entries);
        return err;
}

struct error *manifest_add_path(struct manifest *manifest, const char *path, bool recursive) {
        struct stat st;

        if (!streq(path, "-") && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
                return add_folder(manifest, path, recursive, 0);
        return add_file(manifest, path);
}

size_t manifest_mistakes(const struct manifest *manifest) {
        size_t n = 0;

        for (size_t i = 0; i < manifest->n; i++)
                n += manifest->documents[i]->diags.n;
        return n;
}

static struct yaml_mark locate_path(struct manifest_document *document, const char *path, bool at_key) {
        const char *text = document->file->text + document->offset;
        const char *dot = *document->prefix && *path && *path != '[' ? "." : "";
        _cleanup_free_ char *whole = xasprintf("%s%s%s", document->prefix, dot, path);

        document->file->searched += document->offset + document->len;
        return document->is_json ? yaml_locate_json(text, document->len, whole, at_key)
                                 : yaml_locate(text, document->len, whole, at_key);
}

/* What is looked for and not there is found at its nearest parent: a place that is there lies further on. */
static struct yaml_mark locate_diagnostic(struct manifest_document *document, const struct diagnostic *d) {
        struct yaml_mark mark = locate_path(document, d->path, d->at_key);

        for (size_t i = 0; d->places && d->places[i]; i++) {
                struct yaml_mark place = locate_path(document, d->places[i], d->at_key);
                if (place.line != mark.line || place.column != mark.column)
                        return place;
        }
        return mark;
}

void manifest_locate(struct manifest_document *document) {
        for (size_t i = 0; i < document->diags.n; i++) {
                struct diagnostic *d = &document->diags.items[i];

                if (d->line > 0 || !document->json || document->file->searched > SEARCHED_MAX)
                        continue;
                place(document, locate_diagnostic(document, d), d);
        }
}

static int compare_places(const void *a, const void *b) {
        const struct diagnostic *x = *(const struct diagnostic *const *)a, *y = *(const struct diagnostic *const *)b;

        if (x->line != y->line)
                return x->line < y->line ? -1 : 1;
        if (x->column != y->column)
                return x->column < y->column ? -1 : 1;
        return x < y ? -1 : x > y;
}

/* The source line with a caret under the place. Very long lines are only named. */
static void add_source(struct strbuf *b, const struct manifest_file *file, const struct diagnostic *d) {
        const char *line = file->text;
        size_t len, column = 1;

        for (size_t n = 1; n < d->line; n++) {
                line = strchr(line, '\n');
                if (!line)
                        return;
                line++;
        }
        len = strcspn(line, "\r\n");
        if (len == 0 || len > 200)
                return;
        strbuf_addf(b, "%5zu | %.*s\n      | ", d->line, (int)len, line);
        for (size_t i = 0; i < len && column < d->column; i++)
                if (((unsigned char)line[i] & 0xc0) != 0x80) {
                        strbuf_addc(b, line[i] == '\t' ? '\t' : ' ');
                        column++;
                }
        strbuf_adds(b, "^\n");
}

/* *left counts down to what is no longer listed. */
static void explain_document(struct strbuf *b, struct manifest_document *document, size_t *left) {
        struct diagnostics *diags = &document->diags;
        const struct diagnostic **sorted = xcalloc(diags->n, sizeof(*sorted));

        manifest_locate(document);
        for (size_t i = 0; i < diags->n; i++)
                sorted[i] = &diags->items[i];
        qsort(sorted, diags->n, sizeof(*sorted), compare_places);
        for (size_t i = 0; i<diags->n && * left> 0; i++, (*left)--) {
                _cleanup_free_ char *message = diagnostic_message(sorted[i]);

                strbuf_adds(b, document->file->name);
                if (sorted[i]->line > 0)
                        strbuf_addf(b, ":%zu:%zu", sorted[i]->line, sorted[i]->column);
                strbuf_addf(b, ": %s\n", message);
                if (sorted[i]->line > 0)
                        add_source(b, document->file, sorted[i]);
        }
        free(sorted);
}

char *manifest_explain(struct manifest *manifest) {
        struct strbuf b = STRBUF_INIT;
        size_t n = manifest_mistakes(manifest), left = EXPLAINED_MAX;

        for (size_t i = 0; i < manifest->n && left > 0; i++)
                if (manifest->documents[i]->diags.n > 0)
                        explain_document(&b, manifest->documents[i], &left);
        if (n > EXPLAINED_MAX)
                strbuf_addf(&b, "… and %zu more\n", n - EXPLAINED_MAX);
        return strbuf_take(&b);
}
