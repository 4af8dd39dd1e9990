#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>

#include "api/api.h"

/* Chunks double in size, so that a large object costs few of them and a small one little memory. */
#define CHUNK_MIN 4096U
#define CHUNK_MAX (256U * 1024)

struct chunk {
        struct chunk *next;
        size_t used, size;
        alignas(max_align_t) unsigned char data[];
};

struct api_arena {
        struct chunk *chunks; /* the one in use first */
        size_t next_size;
};

struct api_arena *api_arena_new(void) {
        struct api_arena *arena = new0(struct api_arena);

        arena->next_size = CHUNK_MIN;
        return arena;
}

struct api_arena *api_arena_free(struct api_arena *arena) {
        if (!arena)
                return NULL;
        while (arena->chunks) {
                struct chunk *next = arena->chunks->next;
                free(arena->chunks);
                arena->chunks = next;
        }
        free(arena);
        return NULL;
}

static struct chunk *chunk_add(struct api_arena *arena, size_t need) {
        size_t size = MAX(arena->next_size, need);
        struct chunk *chunk = xmalloc(sizeof(struct chunk) + size);

        chunk->used = 0;
        chunk->size = size;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
        arena->next_size = MIN(arena->next_size * 2, CHUNK_MAX);
        return chunk;
}

static void *arena_take(struct api_arena *arena, size_t size, size_t align) {
        struct chunk *chunk = arena->chunks;
        size_t start = chunk ? (chunk->used + align - 1) & ~(align - 1) : 0;

        if (!chunk || start > chunk->size || chunk->size - start < size) {
                chunk = chunk_add(arena, size);
                start = 0;
        }
        chunk->used = start + size;
        return chunk->data + start;
}

void *api_arena_alloc(struct api_arena *arena, size_t size) {
        return memset(arena_take(arena, size, alignof(max_align_t)), 0, size);
}

char *api_arena_strndup(struct api_arena *arena, const char *s, size_t len) {
        char *copy = arena_take(arena, len + 1, 1);

        memcpy(copy, s, len);
        copy[len] = '\0';
        return copy;
}

char *api_arena_strdup(struct api_arena *arena, const char *s) {
        return s ? api_arena_strndup(arena, s, strlen(s)) : NULL;
}

char *api_arena_printf(struct api_arena *arena, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = xvasprintf(format, ap);
        va_end(ap);
        return api_arena_strdup(arena, text);
}

/* The room of a repeated field is always the power of two at or above its count, so that no capacity has to be kept. */
void *api_arena_append(struct api_arena *arena, void *elements, size_t *count, size_t element_size) {
        unsigned char *array;

        memcpy(&array, elements, sizeof(array));
        if ((*count & (*count - 1)) == 0) {
                unsigned char *larger = api_arena_alloc(arena, (*count ? *count * 2 : 1) * element_size);
                if (*count)
                        memcpy(larger, array, *count * element_size);
                array = larger;
                memcpy(elements, &array, sizeof(array));
        }
        return array + (*count)++ * element_size;
}
