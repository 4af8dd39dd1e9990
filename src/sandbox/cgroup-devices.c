/* cgroup-devices.c - which devices a container may use: linux.resources.devices of an OCI runtime-spec, for the kernel.
 *
 * On cgroup v1 the rules are written into files, one by one. On v2 the kernel asks a program
 * (BPF_PROG_TYPE_CGROUP_DEVICE, since Linux 4.15) that is attached to the cgroup; here it is assembled from the same
 * rules. Of the rules the last one that names a device and a kind of access decides over it. */
#include "sandbox/cgroup-private.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/str.h"

#define EVERY (-1)
#define ACCESS_ALL (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)

struct device_rule {
        bool allow;
        char type;            /* 'b', 'c', or 'a' for both */
        int64_t major, minor; /* or EVERY */
        unsigned access;      /* BPF_DEVCG_ACC_* */
};

/* What every container may use, whatever it asks for (runtime-spec, "Default Devices"; mknod as runtimes have it). */
static const struct device_rule defaults[] = {
        { true, 'c', EVERY, EVERY, BPF_DEVCG_ACC_MKNOD },
        { true, 'b', EVERY, EVERY, BPF_DEVCG_ACC_MKNOD },
        { true, 'c', 1, 3, ACCESS_ALL },       /* null */
        { true, 'c', 1, 5, ACCESS_ALL },       /* zero */
        { true, 'c', 1, 7, ACCESS_ALL },       /* full */
        { true, 'c', 1, 8, ACCESS_ALL },       /* random */
        { true, 'c', 1, 9, ACCESS_ALL },       /* urandom */
        { true, 'c', 5, 0, ACCESS_ALL },       /* tty */
        { true, 'c', 5, 1, ACCESS_ALL },       /* console */
        { true, 'c', 5, 2, ACCESS_ALL },       /* ptmx */
        { true, 'c', 136, EVERY, ACCESS_ALL }, /* pts/N */
};

/* ---- what a runtime-spec says ---- */

static unsigned access_of(const char *text) {
        unsigned access = 0;

        for (const char *p = text; *p; p++)
                access |= *p == 'r'   ? BPF_DEVCG_ACC_READ
                          : *p == 'w' ? BPF_DEVCG_ACC_WRITE
                          : *p == 'm' ? BPF_DEVCG_ACC_MKNOD
                                      : 0;
        return access;
}

static struct error *number_of(const json_t *number, const char *what, int64_t *ret) {
        *ret = json_is_integer(number) ? json_integer_value(number) : EVERY;
        if (*ret >= EVERY && *ret <= INT32_MAX)
                return NULL;
        return error_new(ERROR_INVALID, "%s number %" PRId64 " of a device is out of range", what, *ret);
}

static struct error *rule_of(const json_t *value, struct device_rule *ret) {
        const char *type = json_string_value(json_object_get(value, "type")) ?: "a";

        ret->allow = json_is_true(json_object_get(value, "allow"));
        ret->type = *type == 'u' ? 'c' : *type; /* "u" is a character device without buffers */
        ret->access = access_of(json_string_value(json_object_get(value, "access")) ?: "rwm");
        if (!strchr("abc", ret->type) || !ret->type)
                return error_new(ERROR_INVALID, "\"%s\" is no type of a device", type);
        struct error *err = number_of(json_object_get(value, "major"), "major", &ret->major);
        return err ? err : number_of(json_object_get(value, "minor"), "minor", &ret->minor);
}

struct rules {
        struct device_rule *items;
        size_t n;
};

static void rules_release(struct rules *rules) {
        free(rules->items);
}
#define _cleanup_rules_ _cleanup_(rules_release)

/* Those of the runtime-spec, and what every container has. */
static struct error *rules_of(const json_t *array, struct rules *ret) {
        json_t *value;
        size_t i;

        ret->items = xcalloc(json_array_size(array) + ARRAY_SIZE(defaults), sizeof(*ret->items));
        json_array_foreach((json_t *)array, i, value) {
                struct error *err = rule_of(value, &ret->items[ret->n]);
                if (err)
                        return err;
                ret->n++;
        }
        memcpy(&ret->items[ret->n], defaults, sizeof(defaults));
        ret->n += ARRAY_SIZE(defaults);
        return NULL;
}

/* ---- cgroup v1: files ---- */

static void number_text(int64_t number, char ret[static 24]) {
        snprintf(ret, 24, number == EVERY ? "*" : "%" PRId64, number);
}

static struct error *rule_write(const char *folder, const struct device_rule *rule) {
        char major[24], minor[24], text[80];

        number_text(rule->major, major);
        number_text(rule->minor, minor);
        if (rule->type == 'a')
                snprintf(text, sizeof(text), "a"); /* the kernel looks at no more, and says "a *:* rwm" */
        else
                snprintf(text, sizeof(text), "%c %s:%s %s%s%s", rule->type, major, minor,
                         rule->access & BPF_DEVCG_ACC_READ ? "r" : "", rule->access & BPF_DEVCG_ACC_WRITE ? "w" : "",
                         rule->access & BPF_DEVCG_ACC_MKNOD ? "m" : "");
        return folder_write(folder, rule->allow ? "devices.allow" : "devices.deny", text);
}

struct error *cgroup_devices_write(const char *folder, const json_t *array) {
        _cleanup_rules_ struct rules rules = { 0 };
        struct error *err = rules_of(array, &rules);

        for (size_t i = 0; i < rules.n && !err; i++)
                err = rule_write(folder, &rules.items[i]);
        return err;
}

/* ---- cgroup v2: a program ---- */

/* Nothing is forbidden to who may do everything by the last rule that is for every device. */
static bool allows_everything(const struct rules *rules) {
        size_t i = rules->n;

        while (i > 0) {
                const struct device_rule *rule = &rules->items[--i];
                if (!rule->allow)
                        return false;
                if (rule->type == 'a' && rule->major == EVERY && rule->minor == EVERY && rule->access == ACCESS_ALL)
                        return true;
        }
        return false;
}

struct program {
        struct bpf_insn *instructions;
        size_t n;
};

static void program_release(struct program *p) {
        free(p->instructions);
}
#define _cleanup_program_ _cleanup_(program_release)

/* The program's registers. */
enum {
        ANSWER = BPF_REG_0, /* 1: allowed */
        CONTEXT = BPF_REG_1,
        TYPE = BPF_REG_2, /* BPF_DEVCG_DEV_* */
        REST = BPF_REG_3, /* BPF_DEVCG_ACC_*: what is asked for and has not been allowed by a rule yet */
        MAJOR = BPF_REG_4,
        MINOR = BPF_REG_5,
};

#define RULE_INSTRUCTIONS_MAX 12
#define FRAME_INSTRUCTIONS 8

static void add(struct program *p, uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t number) {
        p->instructions[p->n++] =
                (struct bpf_insn){ .code = code, .dst_reg = to, .src_reg = from, .off = offset, .imm = number };
}

static void add_load(struct program *p, uint8_t to, size_t offset) {
        add(p, BPF_LDX | BPF_MEM | BPF_W, to, CONTEXT, (int16_t)offset, 0);
}

static void add_answer(struct program *p, int32_t answer) {
        add(p, BPF_ALU64 | BPF_MOV | BPF_K, ANSWER, 0, 0, answer);
        add(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Goes on where the comparison holds, else to the next rule, whose place is not known yet: rule_end() puts that right.
 * In this order, since the kernel, which follows every path before it takes a program, first follows the one without
 * jump: that no rule holds covers whatever else it may find, and the time it takes grows with the rules alone. */
static void add_only_if(struct program *p, uint8_t comparison, uint8_t reg, int32_t number) {
        add(p, BPF_JMP | comparison | BPF_K, reg, 0, 1, number);
        add(p, BPF_JMP | BPF_JA, 0, 0, -1, 0);
}

static void rule_end(struct program *p, size_t begin) {
        for (size_t i = begin; i < p->n; i++)
                if (p->instructions[i].off < 0)
                        p->instructions[i].off = (int16_t)(p->n - i - 1);
}

static void add_rule(struct program *p, const struct device_rule *rule) {
        size_t begin = p->n;

        if (rule->type != 'a')
                add_only_if(p, BPF_JEQ, TYPE, rule->type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
        if (rule->major != EVERY)
                add_only_if(p, BPF_JEQ, MAJOR, (int32_t)rule->major);
        if (rule->minor != EVERY)
                add_only_if(p, BPF_JEQ, MINOR, (int32_t)rule->minor);
        if (rule->allow) {
                add(p, BPF_ALU64 | BPF_AND | BPF_K, REST, 0, 0, ~(int32_t)rule->access);
                add_only_if(p, BPF_JEQ, REST, 0);
        } else {
                add(p, BPF_ALU64 | BPF_MOV | BPF_X, ANSWER, REST, 0, 0);
                add(p, BPF_ALU64 | BPF_AND | BPF_K, ANSWER, 0, 0, (int32_t)rule->access);
                add_only_if(p, BPF_JNE, ANSWER, 0);
        }
        add_answer(p, rule->allow);
        rule_end(p, begin);
}

/* From the last rule to the first: what one has allowed no earlier one can forbid, and what none has allowed is
 * forbidden. */
static void program_make(const struct rules *rules, struct program *ret) {
        ret->instructions = xcalloc(FRAME_INSTRUCTIONS + rules->n * RULE_INSTRUCTIONS_MAX, sizeof(struct bpf_insn));
        add_load(ret, TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type));
        add(ret, BPF_ALU64 | BPF_MOV | BPF_X, REST, TYPE, 0, 0);
        add(ret, BPF_ALU64 | BPF_RSH | BPF_K, REST, 0, 0, 16);
        add(ret, BPF_ALU64 | BPF_AND | BPF_K, TYPE, 0, 0, 0xffff);
        add_load(ret, MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
        add_load(ret, MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
        for (size_t i = rules->n; i > 0; i--)
                add_rule(ret, &rules->items[i - 1]);
        add_answer(ret, 0);
}

static int bpf(enum bpf_cmd command, union bpf_attr *attr) {
        long rc = syscall(SYS_bpf, command, attr, sizeof(*attr));

        return rc < 0 ? -errno : (int)rc;
}

static int program_load(const struct program *p) {
        union bpf_attr attr = {
                .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
                .insn_cnt = (uint32_t)p->n,
                .insns = (uint64_t)(uintptr_t)p->instructions,
                .license = (uint64_t)(uintptr_t) "", /* it calls no function of the kernel's that would ask for one */
                .prog_name = "husk_devices",
        };
        return bpf(BPF_PROG_LOAD, &attr);
}

/* As runtimes do it: who manages cgroups inside the container may add programs, all of which must agree. */
static int program_attach(int cgroup, int program) {
        union bpf_attr attr = {
                .target_fd = (uint32_t)cgroup,
                .attach_bpf_fd = (uint32_t)program,
                .attach_type = BPF_CGROUP_DEVICE,
                .attach_flags = BPF_F_ALLOW_MULTI,
        };
        return bpf(BPF_PROG_ATTACH, &attr);
}

/* See cgroup_devices_refused(). */
static bool refused;

void cgroup_devices_forget(void) {
        refused = false;
}

bool cgroup_devices_refused(void) {
        return refused;
}

struct error *cgroup_devices_attach(const char *folder, const json_t *array) {
        _cleanup_program_ struct program program = { 0 };
        _cleanup_rules_ struct rules rules = { 0 };
        struct error *err = rules_of(array, &rules);

        refused = false;
        if (err || allows_everything(&rules))
                return err;
        program_make(&rules, &program);
        _cleanup_close_ int cgroup = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (cgroup < 0)
                return error_errno(errno, "open %s", folder);
        _cleanup_close_ int loaded = program_load(&program);
        int rc = loaded < 0 ? loaded : program_attach(cgroup, loaded);
        if (rc >= 0)
                return NULL;
        /* The last two: a kernel without such programs. */
        refused = rc == -EPERM || rc == -EACCES || rc == -ENOSYS || rc == -EINVAL;
        return error_errno(-rc, "%s a program for the devices of %s", loaded < 0 ? "load" : "attach", folder);
}
