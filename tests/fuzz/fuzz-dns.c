/* Packets come from pods, and from whatever nameserver the machine has. The first byte says how the rest arrived. */
#include <string.h>

#include "husk-resolver/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct zone_pod pods[] = {
        { .name = (char *)"web",
          .ns = (char *)"shop",
          .hostname = (char *)"a",
          .subdomain = (char *)"db",
          .ready = true,
          .addresses = { { AF_INET, { 10, 85, 0, 2 } }, { AF_INET6, { 0xfd, [15] = 2 } } },
          .n_addresses = 2 },
        { .name = (char *)"x.y",
          .ns = (char *)"b",
          .hostname = (char *)"x",
          .subdomain = (char *)"",
          .addresses = { { AF_INET, { 10, 85, 0, 3 } } },
          .n_addresses = 1 },
};

static void check_answer(const uint8_t *data, size_t size, bool udp) {
        static uint8_t out[DNS_MESSAGE_MAX];
        const struct zone_pod *list[] = { &pods[0], &pods[1] };
        struct zone zone = { "k.x", list, 2 };
        ssize_t n = answer(&zone, data, size, udp, out, udp ? DNS_UDP_MAX : sizeof(out));

        if (n <= 0)
                return;
        if (n > (udp ? DNS_UDP_MAX : DNS_MESSAGE_MAX) || !(out[2] & 0x80) || dns_id(out) != dns_id(data))
                abort();
        answer_failure(data, size, out, DNS_UDP_MIN);
}

static void check_response(const uint8_t *data, size_t size) {
        size_t half = size / 2;
        uint8_t *copy = malloc(size + 1);

        memcpy(copy, data, size);
        dns_response_answers(copy, half, data + half, size - half);
        if (size >= DNS_HEADER_SIZE && dns_response_cut(copy, size, DNS_UDP_MIN) > MAX(size, (size_t)DNS_UDP_MIN))
                abort();
        free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (!size)
                return 0;
        if (*data & 2)
                check_response(data + 1, size - 1);
        else
                check_answer(data + 1, size - 1, *data & 1);
        return 0;
}
