#include "fixture.h"

struct told {
        uint8_t data[DNS_MESSAGE_MAX];
        ssize_t len;
        unsigned rcode, answers, authority, additional;
        bool cut, authoritative;
};

static struct told told;

static void read_told(void) {
        told.rcode = told.data[3] & 0x0f;
        told.cut = told.data[2] & 0x02;
        told.authoritative = told.data[2] & 0x04;
        told.answers = (unsigned)(told.data[6] << 8 | told.data[7]);
        told.authority = (unsigned)(told.data[8] << 8 | told.data[9]);
        told.additional = (unsigned)(told.data[10] << 8 | told.data[11]);
}

static ssize_t ask(const struct zone *zone, const char *name, uint16_t type, uint16_t edns, bool udp) {
        uint8_t message[512];
        size_t len = question(message, name, type, edns);

        told.len = answer(zone, message, len, udp, told.data, sizeof(told.data));
        if (told.len > 0) {
                read_told();
                assert_int_equal(dns_id(told.data), 0x1234);
                assert_true(told.data[2] & 0x80);
                assert_true(dns_response_answers(told.data, (size_t)told.len, message, len));
        }
        return told.len;
}

TEST(an_address_is_told_with_its_family_and_a_short_life) {
        static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, ANSWER_TTL_S, 0, 4, 10, 85, 0, 5 };
        assert_true(ask(fixture_zone(), "WEB.shop.svc.Cluster.Local", DNS_A, 0, true) > 0);
        assert_int_equal(told.rcode, DNS_NOERROR);
        assert_int_equal(told.answers, 1);
        assert_true(told.authoritative);
        assert_memory_equal(told.data + told.len - sizeof(record), record, sizeof(record));
        assert_true(ask(fixture_zone(), "web.shop.svc.cluster.local", DNS_AAAA, 0, true) > 0);
        assert_int_equal(told.data[told.len - 1], 5);
        assert_int_equal(told.data[told.len - 16], 0xfd);
        assert_true(ask(fixture_zone(), "db.shop.svc.cluster.local", DNS_ANY, 0, true) > 0);
        assert_int_equal(told.answers, 4);
}

TEST(no_such_name_and_no_such_record_are_told_apart_and_may_be_remembered_shortly) {
        assert_true(ask(fixture_zone(), "nobody.shop.svc.cluster.local", DNS_A, 0, true) > 0);
        assert_int_equal(told.rcode, DNS_NXDOMAIN);
        assert_int_equal(told.authority, 1);
        assert_int_equal(told.data[told.len - 1], ANSWER_TTL_S);
        assert_true(ask(fixture_zone(), "web.shop.svc.cluster.local", 15, 0, true) > 0);
        assert_int_equal(told.rcode, DNS_NOERROR);
        assert_int_equal(told.answers, 0);
        assert_int_equal(told.authority, 1);
}

TEST(a_client_that_speaks_edns_is_spoken_to_so) {
        assert_true(ask(fixture_zone(), "web.shop.svc.cluster.local", DNS_A, 4096, true) > 0);
        assert_int_equal(told.additional, 1);
        assert_int_equal(told.answers, 1);
        uint8_t message[512];
        size_t len = question(message, "web.shop.svc.cluster.local", DNS_A, 4096);
        message[len - 5] = 1; /* a version that there is not yet */
        told.len = answer(fixture_zone(), message, len, true, told.data, sizeof(told.data));
        read_told();
        assert_int_equal(told.rcode, DNS_BADVERS & 0x0f);
        assert_int_equal(told.data[told.len - 6], DNS_BADVERS >> 4);
        assert_int_equal(told.answers, 0);
}

TEST(what_does_not_fit_is_cut_by_udp_and_whole_by_tcp) {
        enum { MANY = 200 };
        static struct zone_pod many[MANY];
        static const struct zone_pod *list[MANY];
        struct zone zone = { "cluster.local", list, MANY };

        for (size_t i = 0; i < MANY; i++) {
                many[i] = (struct zone_pod)POD_OF("x", "shop", "x", "crowd", true, (uint8_t)i);
                list[i] = &many[i];
        }
        assert_true(ask(&zone, "crowd.shop.svc.cluster.local", DNS_A, 0, true) > 0);
        assert_true(told.cut && told.len <= DNS_UDP_MIN && told.answers > 10);
        assert_true(ask(&zone, "crowd.shop.svc.cluster.local", DNS_A, 4096, true) > 0);
        assert_true(told.cut && told.len > DNS_UDP_MIN && told.len <= DNS_UDP_MAX);
        assert_true(ask(&zone, "crowd.shop.svc.cluster.local", DNS_A, 0, false) > 0);
        assert_false(told.cut);
        assert_int_equal(told.answers, MANY);
}

TEST(an_address_is_told_the_name_of) {
        static const char name[] = "\003one\002db\004shop\003svc\007cluster\005local";
        assert_true(ask(fixture_zone(), "2.0.85.10.in-addr.arpa", DNS_PTR, 0, true) > 0);
        assert_int_equal(told.answers, 1);
        assert_memory_equal(told.data + told.len - sizeof(name), name, sizeof(name));
}

TEST(other_names_and_classes_go_on) {
        uint8_t message[512];
        size_t len = question(message, "web.shop.svc.cluster.local", DNS_A, 0);

        assert_int_equal(ask(fixture_zone(), "example.org", DNS_A, 0, true), 0);
        assert_int_equal(ask(fixture_zone(), "1.2.0.192.in-addr.arpa", DNS_PTR, 0, true), 0);
        message[len - 1] = 3; /* chaos */
        assert_int_equal(answer(fixture_zone(), message, len, true, told.data, sizeof(told.data)), 0);
        len = question(message, "w\003b.shop.svc.cluster.local", DNS_A, 0);
        assert_int_equal(answer(fixture_zone(), message, len, true, told.data, sizeof(told.data)), 0);
}

TEST(what_is_no_question_gets_none_or_a_sober_answer) {
        uint8_t message[512];
        size_t len = question(message, "web.shop.svc.cluster.local", DNS_A, 0);

        assert_int_equal(answer(fixture_zone(), message, 11, true, told.data, sizeof(told.data)), -1);
        for (size_t short_of = DNS_HEADER_SIZE; short_of < len; short_of++) {
                told.len = answer(fixture_zone(), message, short_of, true, told.data, sizeof(told.data));
                read_told();
                assert_int_equal(told.rcode, DNS_FORMERR);
        }
        message[12] = 0xc0; /* a question's name is not compressed */
        told.len = answer(fixture_zone(), message, len, true, told.data, sizeof(told.data));
        read_told();
        assert_int_equal(told.rcode, DNS_FORMERR);
        len = question(message, "web.shop.svc.cluster.local", DNS_A, 0);
        message[2] |= 0x28; /* an update */
        told.len = answer(fixture_zone(), message, len, true, told.data, sizeof(told.data));
        read_told();
        assert_int_equal(told.rcode, DNS_NOTIMP);
        message[2] = 0x80; /* an answer */
        assert_int_equal(answer(fixture_zone(), message, len, true, told.data, sizeof(told.data)), -1);
}

TEST(only_the_answer_to_the_question_is_believed) {
        uint8_t asked[512], response[512];
        size_t len = question(asked, "example.org", DNS_A, 0);

        memcpy(response, asked, len);
        response[2] |= 0x80;
        assert_true(dns_response_answers(response, len, asked, len));
        response[1] ^= 1;
        assert_false(dns_response_answers(response, len, asked, len));
        response[1] ^= 1;
        response[13] ^= 1;
        assert_false(dns_response_answers(response, len, asked, len));
        assert_false(dns_response_answers(asked, len, asked, len));
        assert_false(dns_response_answers(response, len - 1, asked, len));
}

TEST(an_answer_that_is_too_long_is_cut_to_its_question) {
        uint8_t response[1024] = { 0 };
        size_t len = question(response, "example.org", DNS_A, 0);

        response[2] |= 0x80;
        response[7] = 9;
        assert_int_equal(dns_response_cut(response, sizeof(response), sizeof(response)), sizeof(response));
        assert_int_equal(dns_response_cut(response, sizeof(response), DNS_UDP_MIN), len);
        assert_true(response[2] & 0x02);
        assert_int_equal(response[7], 0);
}
