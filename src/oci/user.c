#include "oci/user.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/str.h"

/* Larger account files are refused: they are an attack, or a mistake. */
#define ACCOUNTS_MAX (4 * 1024 * 1024)
#define ID_MAX INT32_MAX /* Kubernetes' and containerd's bound; larger ones have been used to wrap around to root */
#define GROUPS_MAX 65536 /* NGROUPS_MAX of the kernel */

/* ---- what the Pod and the image ask for ---- */

struct wanted_user {
        bool by_name;
        char *name; /* by_name */
        int64_t uid;
        bool from_pod;      /* runAsUser, not the image's USER */
        const int64_t *gid; /* runAsGroup, or NULL */
};

static void wanted_user_release(struct wanted_user *wanted) {
        free(wanted->name);
}

static bool is_number(const char *s) {
        return *s && strspn(s, "0123456789") == strlen(s);
}

static void wanted_from_image(const struct image *image, struct wanted_user *wanted) {
        size_t len = image->user ? strcspn(image->user, ":") : 0;
        _cleanup_free_ char *user = xstrndup(image->user ? image->user : "", len);
        uint64_t uid;

        wanted->by_name = len > 0 && !is_number(user);
        if (wanted->by_name)
                wanted->name = TAKE_PTR(user);
        else if (len > 0)
                wanted->uid = str_to_u64(user, &uid) && uid <= ID_MAX ? (int64_t)uid : -1;
}

/* The container's setting, else the pod's, as a kubelet determines its effective security context. */
#define EFFECTIVE(pod, container, field) \
        ((container)->securitycontext && (container)->securitycontext->has_##field \
                 ? &(container)->securitycontext->field \
         : (pod)->spec->securitycontext && (pod)->spec->securitycontext->has_##field \
                 ? &(pod)->spec->securitycontext->field \
                 : NULL)

static void wanted_user(const V1Pod *pod, const V1Container *container, const struct image *image,
                        struct wanted_user *ret) {
        const int64_t *uid = EFFECTIVE(pod, container, runasuser);

        *ret = (struct wanted_user){ .gid = EFFECTIVE(pod, container, runasgroup) };
        if (uid) {
                ret->uid = *uid;
                ret->from_pod = true;
        } else
                wanted_from_image(image, ret);
}

struct error *oci_user_verify(const V1Pod *pod, const V1Container *container, const struct image *image) {
        const protobuf_c_boolean *non_root = EFFECTIVE(pod, container, runasnonroot);
        _cleanup_(wanted_user_release) struct wanted_user wanted;
        _cleanup_free_ char *where = NULL;

        wanted_user(pod, container, image, &wanted);
        if (!non_root || !*non_root)
                return NULL;
        where = xasprintf("(pod: \"%s_%s(%s)\", container: %s)", pod->metadata->name, pod->metadata->namespace_,
                          pod->metadata->uid, container->name);
        if (wanted.by_name)
                return error_new(
                        ERROR_FORBIDDEN,
                        "container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is "
                        "non-root %s",
                        wanted.name, where);
        if (wanted.uid == 0 && wanted.from_pod)
                return error_new(ERROR_FORBIDDEN, "container's runAsUser breaks non-root policy %s", where);
        if (wanted.uid <= 0)
                return error_new(ERROR_FORBIDDEN, "container has runAsNonRoot and image will run as root %s", where);
        return NULL;
}

/* ---- account files ---- */

/* Lines of /etc/passwd or /etc/group. A missing file is an empty one. */
static struct error *accounts_read(int root_fd, const char *path, char ***ret_lines) {
        _cleanup_close_ int fd = open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        _cleanup_free_ char *text = NULL;
        struct error *err;
        struct stat st;

        *ret_lines = NULL;
        if (fd == -ENOENT || fd == -ENOTDIR)
                return NULL;
        if (fd < 0)
                return error_errno(-fd, "open %s of the image", path);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_new(ERROR_INVALID, "%s of the image is no regular file", path);
        err = fd_read_all(fd, ACCOUNTS_MAX, &text, NULL);
        if (err)
                return error_context(err, "%s of the image", path);
        *ret_lines = strv_split(text, '\n');
        return NULL;
}

static bool parse_id(const char *text, uint32_t *ret) {
        uint64_t id;

        if (!str_to_u64(text, &id) || id > ID_MAX)
                return false;
        *ret = id;
        return true;
}

struct account {
        bool found;
        char *name;
        uint32_t uid, gid;
};

/* Finds the first user with this name or (name NULL) uid. Lines that are no proper entry are passed over. */
static void find_user(char *const *lines, const char *name, uint32_t uid, struct account *ret) {
        for (size_t i = 0; lines && lines[i]; i++) {
                _cleanup_strv_ char **fields = strv_split(lines[i], ':');
                uint32_t entry_uid, entry_gid;

                if (strv_len(fields) < 4 || !*fields[0] || !parse_id(fields[2], &entry_uid) ||
                    !parse_id(fields[3], &entry_gid))
                        continue;
                if (name ? !streq(fields[0], name) : entry_uid != uid)
                        continue;
                *ret = (struct account){
                        .found = true, .name = xstrdup(fields[0]), .uid = entry_uid, .gid = entry_gid
                };
                return;
        }
}

static bool is_member(const char *members, const char *name) {
        size_t len = strlen(name);

        for (const char *p = members; *p;) {
                size_t n = strcspn(p, ",");

                if (n == len && strncmp(p, name, n) == 0)
                        return true;
                p += n + (p[n] == ',');
        }
        return false;
}

static void add_group(struct oci_user *user, uint32_t gid) {
        for (size_t i = 0; i < user->n_groups; i++)
                if (user->groups[i] == gid)
                        return;
        if (user->n_groups == GROUPS_MAX)
                return;
        user->groups = xreallocarray(user->groups, user->n_groups + 1, sizeof(*user->groups));
        user->groups[user->n_groups++] = gid;
}

static void add_groups_of(struct oci_user *user, char *const *lines, const char *name) {
        for (size_t i = 0; lines && lines[i]; i++) {
                _cleanup_strv_ char **fields = strv_split(lines[i], ':');
                uint32_t gid;

                if (strv_len(fields) >= 4 && parse_id(fields[2], &gid) && is_member(fields[3], name))
                        add_group(user, gid);
        }
}

/* ---- together ---- */

static bool merges_image_groups(const V1Pod *pod) {
        const V1PodSecurityContext *sc = pod->spec->securitycontext;

        return !sc || !streq_ptr(sc->supplementalgroupspolicy, "Strict");
}

static void add_pod_groups(struct oci_user *user, const V1Pod *pod) {
        const V1PodSecurityContext *sc = pod->spec->securitycontext;

        if (!sc)
                return;
        if (sc->has_fsgroup)
                add_group(user, (uint32_t)sc->fsgroup);
        for (size_t i = 0; i < sc->n_supplementalgroups; i++)
                add_group(user, (uint32_t)sc->supplementalgroups[i]);
}

static void account_release(struct account *account) {
        free(account->name);
}

static struct error *find_wanted(const struct wanted_user *wanted, char *const *lines, struct account *ret) {
        if (wanted->by_name) {
                find_user(lines, wanted->name, 0, ret);
                if (!ret->found)
                        return error_new(ERROR_INVALID, "unable to find user %s: no matching entries in passwd file",
                                         wanted->name);
                return NULL;
        }
        if (wanted->uid < 0 || wanted->uid > ID_MAX)
                return error_new(ERROR_INVALID, "the image's user is no valid user id");
        find_user(lines, NULL, (uint32_t)wanted->uid, ret);
        ret->uid = (uint32_t)wanted->uid;
        return NULL;
}

struct error *oci_user_resolve(const V1Pod *pod, const V1Container *container, const struct image *image, int root_fd,
                               struct oci_user *ret) {
        _cleanup_(wanted_user_release) struct wanted_user wanted;
        _cleanup_(account_release) struct account account = { 0 };
        _cleanup_strv_ char **passwd = NULL, **group = NULL;
        struct oci_user user = { 0 };
        struct error *err;

        wanted_user(pod, container, image, &wanted);
        err = accounts_read(root_fd, "/etc/passwd", &passwd);
        if (!err)
                err = find_wanted(&wanted, passwd, &account);
        if (!err && account.found && merges_image_groups(pod))
                err = accounts_read(root_fd, "/etc/group", &group);
        if (err)
                return err;

        user.uid = account.uid;
        user.gid = wanted.gid ? (uint32_t)*wanted.gid : account.gid;
        add_group(&user, user.gid);
        if (account.found)
                add_groups_of(&user, group, account.name);
        add_pod_groups(&user, pod);
        *ret = user;
        return NULL;
}

void oci_user_release(struct oci_user *user) {
        free(user->groups);
        *user = (struct oci_user){ 0 };
}
