/* reference.h - names of images, by the grammar of the distribution project.
 *
 *     [domain[:port]/]path[:tag][@algorithm:hex]
 *
 * The first part is a domain only if it holds a dot or a colon or is "localhost"; else the name is short for docker.io
 * ("redis" is docker.io/library/redis). Without tag and digest the tag is "latest", as Kubernetes has it. */
#pragma once

#include "base/error.h"

struct reference {
        char *domain; /* "docker.io", "localhost", "127.0.0.1:5000", "[::1]:5000" */
        char *path;   /* "library/redis" */
        char *tag;    /* NULL if only a digest was given */
        char *digest; /* "sha256:…" or NULL */
};

/* Parses and normalises. ERROR_INVALID says what is wrong with it. */
struct error *reference_parse(const char *text, struct reference **ret) _must_check_;
struct reference *reference_free(struct reference *reference);
static inline void reference_freep(struct reference **reference) {
        *reference = reference_free(*reference);
}
#define _cleanup_reference_ _cleanup_(reference_freep)

/* Why a text is no reference, in the words of the parser that a kubelet uses: they stand in a pod's status. */
char *reference_complaint(const char *text);

/* Whole text: "docker.io/library/redis:7", "quay.io/x/y@sha256:…" (a tag beside a digest is left out). */
char *reference_format(const struct reference *reference);
/* "docker.io/library/redis" */
char *reference_repository(const struct reference *reference);
/* Parse and format in one; NULL if it is no reference. */
char *image_reference_normalize(const char *text);

/* True for "sha256:" and 64 lower-case hexadecimal digits, the only kind of digest husk takes. */
bool digest_is_valid(const char *digest);
/* The 64 digits of a valid digest. */
const char *digest_hex(const char *digest);
