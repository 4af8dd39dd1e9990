#include "fixture.h"
#include "oci/capability.h"
#include "oci/seccomp-filter.h"
#include "oci/seccomp.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- the filter, executed by hand ---- */

static uint32_t run_filter(const struct sock_filter *code, size_t n, const struct seccomp_data *data) {
        uint32_t a = 0;

        for (size_t pc = 0; pc < n; pc++) {
                const struct sock_filter *i = &code[pc];

                switch (i->code) {
                case BPF_LD | BPF_W | BPF_ABS:
                        memcpy(&a, (const char *)data + i->k, sizeof(a));
                        break;
                case BPF_JMP | BPF_JA:
                        pc += i->k;
                        break;
                case BPF_JMP | BPF_JEQ | BPF_K:
                        pc += a == i->k ? i->jt : i->jf;
                        break;
                case BPF_JMP | BPF_JGE | BPF_K:
                        pc += a >= i->k ? i->jt : i->jf;
                        break;
                case BPF_JMP | BPF_JSET | BPF_K:
                        pc += a & i->k ? i->jt : i->jf;
                        break;
                case BPF_RET | BPF_K:
                        return i->k;
                default:
                        fail_msg("instruction %x", i->code);
                }
        }
        fail_msg("the filter runs off its end");
        return 0;
}

static uint8_t *unbase64(const char *text, size_t *ret_len) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        uint8_t *data = xmalloc(strlen(text)), *p = data;

        for (; *text; text += 4) {
                uint32_t v = 0;

                for (int i = 0; i < 4; i++)
                        v = v << 6 | (text[i] == '=' ? 0 : (uint32_t)(strchr(digits, text[i]) - digits));
                *p++ = v >> 16;
                if (text[2] != '=')
                        *p++ = v >> 8;
                if (text[3] != '=')
                        *p++ = v;
        }
        *ret_len = p - data;
        return data;
}

#if defined(__x86_64__)
#define ALLOWED SECCOMP_RET_ALLOW
#define REFUSED (SECCOMP_RET_ERRNO | EPERM)
#define UNKNOWN (SECCOMP_RET_ERRNO | ENOSYS)

TEST(a_compiled_filter_decides_each_call_as_the_table_says) {
        _cleanup_free_ struct seccomp_verdicts *verdicts = new0(struct seccomp_verdicts);
        _cleanup_free_ struct sock_filter *code = NULL;
        static const uint32_t actions[] = { UNKNOWN, ALLOWED, REFUSED };
        uint64_t random = 42;
        size_t n;

        /* The worst table there is: hardly two neighbours alike, so that all jumps are as far as they get. */
        for (int a = 0; a < 2; a++)
                for (int i = 0; i < SECCOMP_CALLS_MAX; i++) {
                        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
                        verdicts->of[a][i] = (random >> 33) % 3;
                }
        code = seccomp_filter_compile(verdicts, &n);
        for (int a = 0; a < 2; a++)
                for (int i = 0; i < SECCOMP_CALLS_MAX; i++) {
                        struct seccomp_data data = { .nr = i, .arch = a ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64 };

                        assert_int_equal(run_filter(code, n, &data), actions[verdicts->of[a][i]]);
                }
}

TEST(the_default_filter_looks_at_arguments_and_architectures) {
        _cleanup_free_ char *text = seccomp_runtime_default_filter(capabilities_default);
        size_t len, n;
        _cleanup_free_ uint8_t *data = unbase64(text, &len);
        const struct sock_filter *code = (const struct sock_filter *)data;
        static const struct {
                uint32_t arch;
                int nr;
                uint64_t arg;
                uint32_t action;
        } cases[] = {
                { AUDIT_ARCH_X86_64, SYS_read, 0, ALLOWED },
                { AUDIT_ARCH_X86_64, SYS_clone, 0x01200011, ALLOWED },
                { AUDIT_ARCH_X86_64, SYS_clone, 0x10000000, REFUSED }, /* CLONE_NEWUSER */
                { AUDIT_ARCH_X86_64, SYS_clone, 0x1000000010000000, REFUSED },
                { AUDIT_ARCH_X86_64, SYS_clone3, 0, UNKNOWN },
                { AUDIT_ARCH_X86_64, SYS_socket, AF_INET, ALLOWED },
                { AUDIT_ARCH_X86_64, SYS_socket, 40, REFUSED },          /* AF_VSOCK */
                { AUDIT_ARCH_X86_64, SYS_socket, 0x100000028, REFUSED }, /* the same to the kernel */
                { AUDIT_ARCH_X86_64, SYS_personality, 0xffffffff, ALLOWED },
                { AUDIT_ARCH_X86_64, SYS_personality, 0x0040000, REFUSED }, /* ADDR_NO_RANDOMIZE */
                { AUDIT_ARCH_X86_64, SYS_mount, 0, REFUSED },
                { AUDIT_ARCH_X86_64, SYS_unshare, 0, REFUSED },
                { AUDIT_ARCH_X86_64, SYS_bpf, 0, REFUSED },
                { AUDIT_ARCH_X86_64, SYS_io_uring_setup, 0, REFUSED },
                { AUDIT_ARCH_X86_64, SYS_chroot, 0, ALLOWED }, /* SYS_CHROOT is a default capability */
                { AUDIT_ARCH_X86_64, 900, 0, UNKNOWN },
                { AUDIT_ARCH_X86_64, 100000, 0, UNKNOWN },
                { AUDIT_ARCH_X86_64, -1, 0, UNKNOWN },
                { AUDIT_ARCH_X86_64, 0x40000000 | SYS_read, 0, UNKNOWN }, /* x32 */
                { AUDIT_ARCH_I386, 3, 0, ALLOWED },                       /* read */
                { AUDIT_ARCH_I386, 21, 0, REFUSED },                      /* mount */
                { AUDIT_ARCH_I386, 120, 0x10000000, REFUSED },            /* clone */
                { AUDIT_ARCH_I386, 359, 40, REFUSED },                    /* socket */
                { AUDIT_ARCH_AARCH64, 63, 0, UNKNOWN },
        };

        n = len / sizeof(*code);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct seccomp_data call = { .nr = cases[i].nr, .arch = cases[i].arch, .args = { cases[i].arg } };

                if (run_filter(code, n, &call) != cases[i].action)
                        fail_msg("case %zu: %x", i, run_filter(code, n, &call));
        }
}

TEST(capabilities_open_the_calls_that_need_them) {
        static const struct {
                uint64_t capabilities;
                int nr;
                uint32_t action;
        } cases[] = {
                { 0, SYS_chroot, REFUSED },
                { 1ULL << CAP_SYS_ADMIN, SYS_mount, ALLOWED },
                { 1ULL << CAP_SYS_ADMIN, SYS_clone3, ALLOWED },
                { 1ULL << CAP_SYS_ADMIN, SYS_bpf, ALLOWED },
                { 1ULL << CAP_BPF, SYS_bpf, ALLOWED },
                { 1ULL << CAP_BPF, SYS_mount, REFUSED },
                { 1ULL << CAP_SYS_MODULE, SYS_init_module, ALLOWED },
                { ~0ULL, SYS_keyctl, REFUSED },
                { ~0ULL, SYS_kexec_load, REFUSED },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *text = seccomp_runtime_default_filter(cases[i].capabilities);
                struct seccomp_data call = { .nr = cases[i].nr, .arch = AUDIT_ARCH_X86_64 };
                size_t len;
                _cleanup_free_ uint8_t *data = unbase64(text, &len);

                assert_int_equal(run_filter((struct sock_filter *)data, len / sizeof(struct sock_filter), &call),
                                 cases[i].action);
        }
}

TEST(the_kernel_takes_the_default_filter) {
        _cleanup_free_ char *text = seccomp_runtime_default_filter(capabilities_default);
        size_t len;
        _cleanup_free_ uint8_t *data = unbase64(text, &len);
        struct sock_fprog program = { .len = len / sizeof(struct sock_filter), .filter = (struct sock_filter *)data };
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
                        _exit(1);
                if (getpid() <= 0 || socket(AF_UNIX, SOCK_STREAM, 0) < 0)
                        _exit(2);
                if (unshare(CLONE_NEWNS) == 0 || errno != EPERM || syscall(SYS_clone3, 0, 0) == 0 || errno != ENOSYS)
                        _exit(3);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}
#endif

TEST(the_profile_names_no_call_twice) {
        json_t *profile = seccomp_runtime_default(capabilities_default), *seen = json_object(), *rule, *name;
        size_t i, j, total = 0;

        json_array_foreach(json_object_get(profile, "syscalls"), i, rule)
                json_array_foreach(json_object_get(rule, "names"), j, name) {
                const char *text = json_string_value(name);

                if (json_object_get(rule, "args"))
                        continue;
                if (json_object_get(seen, text))
                        fail_msg("%s is there twice", text);
                json_object_set_new(seen, text, json_true());
                total++;
        }
        assert_true(total > 350);
        json_decref(seen);
        json_decref(profile);
}

TEST(a_profile_of_the_user_is_cut_to_what_applies) {
        static const char text[] =
                "{'defaultAction': 'SCMP_ACT_ERRNO', 'archMap': [{'architecture': 'SCMP_ARCH_X86_64', "
                "'subArchitectures': "
                "['SCMP_ARCH_X86']}, {'architecture': 'SCMP_ARCH_AARCH64', 'subArchitectures': ['SCMP_ARCH_ARM']}], "
                "'syscalls': [{'names': ['read'], 'action': 'SCMP_ACT_ALLOW', 'comment': 'x'}, "
                "{'names': ['mount'], 'action': 'SCMP_ACT_ALLOW', 'includes': {'caps': ['CAP_SYS_ADMIN']}}, "
                "{'names': ['clone'], 'action': 'SCMP_ACT_ALLOW', 'excludes': {'caps': ['CAP_SYS_ADMIN']}}, "
                "{'names': ['ptrace'], 'action': 'SCMP_ACT_ALLOW', 'includes': {'minKernel': '99.1'}}, "
                "{'name': 'write', 'action': 'SCMP_ACT_ALLOW', 'includes': {}, 'excludes': {'arches': ['m68k']}}]}";
        _cleanup_fixture_ struct fixture f = fixture_new("'containers': [{'name': 'a', 'image': 'x'}]", NULL);
        _cleanup_free_ char *folder = fixture_path(&f, "seccomp"), *dump = NULL;
        json_t *source = fixture_json(text), *profile, *rules;

        dump = json_dumps(source, 0);
        fixture_write(&f, "seccomp/profiles/p.json", dump);
        fixture_write(&f, "seccomp/empty.json", "{}");
        fixture_write(&f, "seccomp/broken.json", "{");
        fixture_write(&f, "outside.json", dump);
        assert_ok(seccomp_localhost(folder, "profiles/p.json", capabilities_default, &profile));
        rules = json_object_get(profile, "syscalls");
        assert_int_equal(json_array_size(rules), 3);
        assert_string_equal(json_string_value(json_array_get(json_object_get(json_array_get(rules, 1), "names"), 0)),
                            "clone");
        assert_null(json_object_get(json_array_get(rules, 0), "comment"));
        assert_int_equal(json_array_size(json_object_get(profile, "architectures")), 2);
        json_decref(profile);
        assert_error(seccomp_localhost(folder, "none.json", 0, &profile), ERROR_NOT_FOUND, "none.json");
        assert_error(seccomp_localhost(folder, "../outside.json", 0, &profile), ERROR_NOT_FOUND, "outside.json");
        assert_error(seccomp_localhost(folder, "empty.json", 0, &profile), ERROR_INVALID, "defaultAction is missing");
        assert_error(seccomp_localhost(folder, "broken.json", 0, &profile), ERROR_INVALID, "line");
        json_decref(source);
}
