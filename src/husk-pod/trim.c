#include "husk-pod/trim.h"

#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>

#include "base/base.h"

#define STACK_TRIM (256 * 1024)
#define PAGEMAP_FILE (1ULL << 61) /* the page belongs to a file: it was not written to, or it would be anonymous */
#define PAGEMAP_PRESENT (1ULL << 63)

struct trim {
        int pagemap;
        size_t page;
};

/* Of a segment that can be written only pages that never were may go: the others exist nowhere else. */
static void trim_writable(const struct trim *t, char *from, char *to) {
        for (char *p = from; p < to; p += t->page) {
                uint64_t entry;
                off_t at = (off_t)((uintptr_t)p / t->page * sizeof(entry));
                if (pread(t->pagemap, &entry, sizeof(entry), at) == sizeof(entry) && entry & PAGEMAP_PRESENT &&
                    entry & PAGEMAP_FILE)
                        madvise(p, t->page, MADV_DONTNEED);
        }
}

static int trim_object(struct dl_phdr_info *info, size_t size, void *arg) {
        const struct trim *t = arg;

        for (int i = 0; i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
                if (segment->p_type != PT_LOAD)
                        continue;
                uintptr_t begin = (info->dlpi_addr + segment->p_vaddr) & ~(t->page - 1);
                uintptr_t end = (info->dlpi_addr + segment->p_vaddr + segment->p_filesz + t->page - 1) & ~(t->page - 1);
                if (segment->p_flags & PF_W)
                        trim_writable(t, (char *)begin, (char *)end);
                else
                        madvise((void *)begin, end - begin, MADV_DONTNEED);
        }
        return 0;
}

static void trim_stack(size_t page) {
        uintptr_t here = ((uintptr_t)__builtin_frame_address(0) & ~(page - 1)) - 2 * page;
        madvise((void *)(here - STACK_TRIM), STACK_TRIM, MADV_DONTNEED); /* where it ends earlier, the kernel stops */
}

void memory_trim(void) {
#ifdef __SANITIZE_ADDRESS__
        return; /* the sanitizer knows better what lies where */
#endif
        struct trim t = { .pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC),
                          .page = (size_t)sysconf(_SC_PAGESIZE) };

        malloc_trim(0);
        dl_iterate_phdr(trim_object, &t);
        fd_close(t.pagemap);
        trim_stack(t.page);
}
