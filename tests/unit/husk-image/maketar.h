/* maketar.h - makes tar archives for tests, also such as no decent program would write. */
#pragma once

#include <stdio.h>

#include "base/str.h"

struct made {
        struct strbuf bytes;
        size_t given, step; /* how much of it a source has given, and how many bytes it gives at a time */
};

/* A header block with its checksum. */
static inline void made_header(struct made *m, const char *name, char type, const char *link, unsigned mode,
                               unsigned uid, unsigned gid, unsigned long long size, unsigned major, unsigned minor) {
        char block[512] = { 0 };
        unsigned sum = 0;

        memcpy(block, name, MIN(strlen(name), (size_t)100));
        snprintf(block + 100, 8, "%07o", mode);
        snprintf(block + 108, 8, "%07o", uid);
        snprintf(block + 116, 8, "%07o", gid);
        snprintf(block + 124, 12, "%011llo", size & 077777777777ULL);
        snprintf(block + 136, 12, "%011o", 1000000000);
        block[156] = type;
        if (link)
                memcpy(block + 157, link, MIN(strlen(link), (size_t)100));
        memcpy(block + 257, "ustar\00000", 8);
        snprintf(block + 329, 8, "%07o", major);
        snprintf(block + 337, 8, "%07o", minor);
        memset(block + 148, ' ', 8);
        for (size_t i = 0; i < sizeof(block); i++)
                sum += (unsigned char)block[i];
        snprintf(block + 148, 8, "%06o", sum);
        strbuf_add(&m->bytes, block, sizeof(block));
}

static inline void made_data(struct made *m, const void *data, size_t len) {
        static const char zero[512];

        strbuf_add(&m->bytes, data, len);
        strbuf_add(&m->bytes, zero, (512 - len % 512) % 512);
}

static inline void made_file(struct made *m, const char *name, unsigned mode, const char *content) {
        made_header(m, name, '0', NULL, mode, 0, 0, strlen(content), 0, 0);
        made_data(m, content, strlen(content));
}

static inline void made_folder(struct made *m, const char *name, unsigned mode) {
        made_header(m, name, '5', NULL, mode, 0, 0, 0, 0, 0);
}

static inline void made_link(struct made *m, const char *name, char type, const char *target) {
        made_header(m, name, type, target, 0777, 0, 0, 0, 0, 0);
}

/* One pax header of one record; call it before the entry it belongs to. The value may hold any bytes. */
static inline void made_pax(struct made *m, const char *key, const char *value, size_t len) {
        struct strbuf record = STRBUF_INIT;
        size_t rest = 1 + strlen(key) + 1 + len + 1, total = rest + 1;

        for (char digits[24]; (size_t)snprintf(digits, sizeof(digits), "%zu", total) + rest != total;)
                total++;
        strbuf_addf(&record, "%zu %s=", total, key);
        strbuf_add(&record, value, len);
        strbuf_addc(&record, '\n');
        made_header(m, "pax", 'x', NULL, 0644, 0, 0, record.len, 0, 0);
        made_data(m, record.data, record.len);
        strbuf_release(&record);
}

static inline void made_end(struct made *m) {
        static const char zero[1024];
        strbuf_add(&m->bytes, zero, sizeof(zero));
}

/* A tar_source over it. */
static inline struct error *made_source(void *context, const uint8_t **data, size_t *len) {
        struct made *m = context;

        *data = (const uint8_t *)m->bytes.data + m->given;
        *len = MIN(m->step ? m->step : m->bytes.len, m->bytes.len - m->given);
        m->given += *len;
        return NULL;
}

static inline void made_release(struct made *m) {
        strbuf_release(&m->bytes);
        *m = (struct made){ 0 };
}
