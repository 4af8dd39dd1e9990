#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "net/others-private.h"
#include "store/node-config.h"

#define ZONE_DEFAULT "trusted" /* all that comes from there is accepted, to the machine and through it */
#define FIREWALL_CMD_TIMEOUT_MS 10000
#define AGAIN_AFTER_S 300 /* the network is locked while it is asked */
#define NOTE_MAX 4096

/* <run>/net/firewalld, "HANDLE ZONE[\nWHY]": that husk puts the bridge into this zone, written before it does, and why
 * that failed. The handle is the one of the table that firewalld had then. */
struct note {
        uint64_t handle;
        char *zone;
        char *why; /* NULL: it is there */
        bool is_old;
};

static void note_release(struct note *n) {
        free(n->zone);
        free(n->why);
}

static char *note_path(const struct host *host) {
        return path_join(host->store->run, "net/firewalld");
}

static bool note_read(const struct host *host, struct note *ret) {
        _cleanup_free_ char *path = note_path(host), *text = NULL;
        struct stat st;
        _cleanup_error_ struct error *err = file_read(path, NOTE_MAX, &text, NULL);

        if (err || stat(path, &st) < 0)
                return false;
        char *zone = strchr(text, ' '), *why = strchr(text, '\n');
        if (!zone || (why && why < zone))
                return false;
        *zone++ = '\0';
        if (why)
                *why++ = '\0';
        *ret = (struct note){ strtoull(text, NULL, 10), xstrdup(zone), why ? xstrdup(why) : NULL,
                              llabs(time(NULL) - st.st_mtime) >= AGAIN_AFTER_S };
        return true;
}

static struct error *note_write(const struct host *host, uint64_t handle, const char *zone, const char *why) {
        _cleanup_free_ char *path = note_path(host);
        _cleanup_free_ char *text =
                xasprintf("%llu %s%s%s", (unsigned long long)handle, zone, why ? "\n" : "", why ? why : "");

        return file_replace(path, text, strlen(text), 0600, 0);
}

static void note_remove(const struct host *host) {
        _cleanup_free_ char *path = note_path(host);
        unlink(path);
}

/* `how` is "add" or "remove". */
static struct error *firewall_cmd(const struct host *host, const char *how, const char *zone) {
        _cleanup_free_ char *of_zone = xasprintf("--zone=%s", zone),
                            *interface = xasprintf("--%s-interface=%s", how, host->bridge);
        char *argv[] = { (char *)"firewall-cmd", of_zone, interface, NULL };

        return rules_command(argv, FIREWALL_CMD_TIMEOUT_MS);
}

static bool has_bridge(struct host *host) {
        return rules_mention(host, NFPROTO_INET, FIREWALLD_TABLE, NULL, host->bridge) > 0;
}

static struct error *put_into_zone(struct host *host, uint64_t handle) {
        _cleanup_node_config_ struct node_config config = { 0 };
        struct error *err = node_config_read(host->store, &config);

        if (err)
                return err;
        const char *zone = config.firewalld_zone ? config.firewalld_zone : ZONE_DEFAULT;
        if (!*zone) {
                note_remove(host);
                return NULL;
        }
        err = note_write(host, handle, zone, NULL);
        if (err)
                return err;
        struct error *refused = firewall_cmd(host, "add", zone);
        if (refused)
                err = note_write(host, handle, zone, error_message(refused));
        error_free(refused);
        return err;
}

struct error *firewalld_accept(struct host *host) {
        _cleanup_(note_release) struct note note = { 0 };
        uint64_t handle = rules_table_handle(host, NFPROTO_INET, FIREWALLD_TABLE);

        if (!handle || has_bridge(host))
                return NULL;
        if (note_read(host, &note) && note.why && note.handle == handle && !note.is_old)
                return NULL;
        return error_context(put_into_zone(host, handle), "put the bridge into a zone of firewalld");
}

void firewalld_ask_again(const struct host *host) {
        _cleanup_(note_release) struct note note = { 0 };

        if (note_read(host, &note) && note.why)
                note_remove(host);
}

void firewalld_forget(struct host *host) {
        _cleanup_(note_release) struct note note = { 0 };

        if (!note_read(host, &note))
                return;
        if (!note.why && has_bridge(host))
                error_free(firewall_cmd(host, "remove", note.zone));
        note_remove(host);
}

char *firewalld_failure(const struct host *host) {
        _cleanup_(note_release) struct note note = { 0 };

        return note_read(host, &note) ? TAKE_PTR(note.why) : NULL;
}
