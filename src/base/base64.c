#include "base/base64.h"

#include "base/str.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t len) {
        const uint8_t *p = data;
        struct strbuf out = STRBUF_INIT;

        for (size_t i = 0; i < len; i += 3) {
                uint32_t v = p[i] << 16 | (i + 1 < len ? p[i + 1] << 8 : 0) | (i + 2 < len ? p[i + 2] : 0);
                strbuf_addc(&out, alphabet[v >> 18]);
                strbuf_addc(&out, alphabet[v >> 12 & 63]);
                strbuf_addc(&out, i + 1 < len ? alphabet[v >> 6 & 63] : '=');
                strbuf_addc(&out, i + 2 < len ? alphabet[v & 63] : '=');
        }
        return strbuf_take(&out);
}

bool base64_decode(const char *text, char **ret, size_t *ret_len) {
        size_t len = strlen(text), n = 0;
        _cleanup_free_ char *out = xmalloc(len / 4 * 3 + 4);
        uint32_t v = 0;
        int bits = 0;

        while (len && text[len - 1] == '=')
                len--;
        for (size_t i = 0; i < len; i++) {
                const char *found = text[i] ? strchr(alphabet, text[i]) : NULL;
                if (!found)
                        return false;
                v = v << 6 | (uint32_t)(found - alphabet);
                bits += 6;
                if (bits >= 8) {
                        bits -= 8;
                        out[n++] = v >> bits & 0xff;
                }
        }
        if (bits >= 6) /* a lone last character carries no byte */
                return false;
        out[n] = '\0';
        *ret = TAKE_PTR(out);
        *ret_len = n;
        return true;
}
