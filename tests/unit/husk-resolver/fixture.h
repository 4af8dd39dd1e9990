/* fixture.h - a zone of a few pods, and questions as a resolver in a pod puts them. */
#pragma once

#include <arpa/inet.h>
#include <stdio.h>

#include "base/str.h"
#include "husk-resolver/answer.h"
#include "test.h"

#define ADDRESS4(a, b, c, d) \
        { \
                AF_INET, { \
                        a, b, c, d \
                } \
        }
#define ADDRESS6(last) \
        { \
                AF_INET6, { \
                        0xfd, [15] = last \
                } \
        }
#define POD_OF(name_, ns_, host_, sub_, ready_, last) \
        { \
                .name = (char *)(name_), .ns = (char *)(ns_), .hostname = (char *)(host_), \
                .subdomain = (char *)(sub_), .ready = (ready_), \
                .addresses = { ADDRESS4(10, 85, 0, last), ADDRESS6(last) }, .n_addresses = 2 \
        }

static const struct zone_pod fixture_pods[] = {
        POD_OF("db-0", "shop", "one", "db", true, 2),
        POD_OF("db-1", "shop", "two", "db", true, 3),
        POD_OF("db-2", "shop", "three", "db", false, 4),
        POD_OF("web", "shop", "web", "", false, 5),
        POD_OF("dotted.name", "shop", "dotted.name", "", true, 6),
        POD_OF("db", "test", "db", "", true, 7),
        POD_OF("lone", "test", "lone", "slow", false, 8),
        { .name = (char *)"ended",
          .ns = (char *)"shop",
          .hostname = (char *)"ended",
          .subdomain = (char *)"db",
          .ready = true },
        { .name = (char *)"agent",
          .ns = (char *)"shop",
          .hostname = (char *)"agent",
          .subdomain = (char *)"",
          .ready = true,
          .on_host = true,
          .addresses = { ADDRESS4(192, 0, 2, 2) },
          .n_addresses = 1 },
        { .name = NULL }, /* a folder in which nothing stands (yet) */
};
static const struct zone_pod *fixture_list[ARRAY_SIZE(fixture_pods)];

static inline const struct zone *fixture_zone(void) {
        static struct zone zone = { "cluster.local", fixture_list, ARRAY_SIZE(fixture_pods) };
        for (size_t i = 0; i < ARRAY_SIZE(fixture_pods); i++)
                fixture_list[i] = &fixture_pods[i];
        return &zone;
}

/* A question; `edns` 0: without. Returns its length. */
static inline size_t question(uint8_t *out, const char *name, uint16_t type, uint16_t edns) {
        size_t n = DNS_HEADER_SIZE;

        memset(out, 0, DNS_HEADER_SIZE);
        out[0] = 0x12;
        out[1] = 0x34;
        out[2] = 1; /* recursion is wanted */
        out[5] = 1;
        while (*name) {
                size_t label = strcspn(name, ".");
                out[n++] = (uint8_t)label;
                memcpy(out + n, name, label);
                n += label;
                name += label + (name[label] == '.');
        }
        out[n++] = 0;
        out[n++] = (uint8_t)(type >> 8);
        out[n++] = (uint8_t)type;
        out[n++] = 0;
        out[n++] = 1;
        if (edns) {
                const uint8_t opt[11] = { 0, 0, DNS_OPT, (uint8_t)(edns >> 8), (uint8_t)edns };
                out[11] = 1;
                memcpy(out + n, opt, sizeof(opt));
                n += sizeof(opt);
        }
        return n;
}
