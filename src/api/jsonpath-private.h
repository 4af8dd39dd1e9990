/* jsonpath-private.h - a JSONPath template in memory, between jsonpath-parse.c that reads it and jsonpath.c that
 * evaluates it. */
#pragma once

#include "api/jsonpath.h"

enum step_type {
        STEP_FIELD,     /* .name, ['name'] */
        STEP_SLICE,     /* [1], [0:2], [::2] */
        STEP_WILDCARD,  /* *, [*] */
        STEP_RECURSIVE, /* .. */
        STEP_FILTER,    /* [?(@.x=="y")] */
        STEP_UNION,     /* [0,2], ['a','b'] */
};

struct path {
        struct step *steps;
        size_t n;
};

/* One side of a filter: a path, or a literal. */
struct operand {
        struct path path;
        json_t *literal;
};

enum comparison { EXISTS, EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL };

struct step {
        enum step_type type;
        char *name;        /* of a field, escapes resolved */
        struct path inner; /* ['a.b']: .a.b, in case there is no field "a.b" */
        struct {
                bool known;
                int64_t value;
        } slice[3]; /* from, to, step */
        struct operand left, right;
        enum comparison comparison;
        struct path *members; /* of a union */
        size_t n_members;
};

enum node_type { NODE_TEXT, NODE_PATH, NODE_RANGE };

/* A piece of the template. */
struct node {
        enum node_type type;
        char *text;
        struct path path;
        struct node *body; /* of a range */
        size_t n_body;
};

struct jsonpath {
        struct node *nodes;
        size_t n;
};
