#include <stdio.h>

#include "store/store.h"

const char *store_tag(const struct store *store, char buf[static STORE_TAG_SIZE]) {
        /* One folder has many names; the real one is the same for every program. */
        _cleanup_free_ char *real = realpath(store->root, NULL);
        uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a */

        for (const char *p = real ? real : store->root; *p; p++)
                hash = (hash ^ (uint8_t)*p) * 0x100000001b3ULL;
        hash ^= hash >> 40;
        snprintf(buf, STORE_TAG_SIZE, "%010llx", (unsigned long long)(hash & 0xffffffffffULL));
        return buf;
}
