/* Layers into a folder of a temporary file system, inside a mount namespace of our own; beside it lies a file that must
 * not change. Needs root; without it nothing is done. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/file.h"
#include "husk-image/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool prepare(void) {
        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/mnt", "tmpfs", 0, "size=64m") < 0)
                return false;
        error_free(file_replace("/mnt/secret", "secret", 6, 0600, 0));
        return true;
}

struct input {
        const uint8_t *data;
        size_t left;
};

static struct error *give(void *context, const uint8_t **data, size_t *len) {
        struct input *in = context;

        *data = in->data;
        *len = in->left;
        in->left = 0;
        return NULL;
}

static void check_secret(void) {
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t len;

        if (file_read("/mnt/secret", 100, &text, &len) || !streq(text, "secret") || stat("/mnt/secret", &st) < 0 ||
            st.st_nlink != 1 || st.st_mode != (S_IFREG | 0600))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const struct unpack_limits limits = { .size = 16 << 20, .entries = 1000 };
        static int state; /* 0: not prepared yet, 1: ready, 2: cannot */
        struct unpack_result result;
        struct input in = { data, size };

        if (!state)
                state = prepare() ? 1 : 2;
        if (state == 2)
                return 0;
        if (mkdir("/mnt/layer", 0755) < 0)
                abort();
        int root = open("/mnt/layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        error_free(unpack_layer(root, give, &in, &limits, &result));
        fd_close(root);
        error_free(remove_tree("/mnt/layer"));
        check_secret();
        return 0;
}
