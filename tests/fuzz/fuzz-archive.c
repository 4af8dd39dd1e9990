/* Archives, compressed or not: every entry and every byte is read, in pieces whose size the first byte gives. */
#include "husk-image/inflate.h"
#include "husk-image/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
        const uint8_t *data;
        size_t left, step;
        struct inflate *inflate;
        size_t total;
};

static struct error *give(void *context, const uint8_t **data, size_t *len) {
        struct input *in = context;

        *data = in->data;
        *len = MIN(in->left, in->step);
        in->data += *len;
        in->left -= *len;
        return NULL;
}

static struct error *give_inflated(void *context, const uint8_t **data, size_t *len) {
        struct input *in = context;
        struct error *err = inflate_read(in->inflate, data, len);

        in->total += *len;
        if (!err && in->total > 4 << 20) /* a bomb: enough */
                *len = 0;
        return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (!size)
                return 0;
        struct input in = { data + 1, size - 1, 1 + data[0] * 4, NULL, 0 };
        _unused_ _cleanup_inflate_ struct inflate *inflate = in.inflate = inflate_new(give, &in);
        struct tar_entry *entry;
        struct tar_chunk chunk;
        struct error *err;
        struct tar tar;

        tar_init(&tar, give_inflated, &in);
        while (!(err = tar_next(&tar, &entry)) && entry) {
                uint64_t end = 0;
                if (!entry->path)
                        abort();
                while (!(err = tar_data(&tar, &chunk)) && chunk.len) {
                        if (chunk.offset < end || chunk.offset + chunk.len > entry->size)
                                abort();
                        end = chunk.offset + chunk.len;
                }
                if (err)
                        break;
        }
        if (!err)
                err = tar_drain(&tar);
        error_free(err);
        tar_release(&tar);
        return 0;
}
