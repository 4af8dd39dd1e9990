#include "test.h"

#include <signal.h>

#include "api/signal-name.h"

TEST(signals_are_understood_as_pods_and_images_write_them) {
        const struct {
                const char *name;
                int number;
        } cases[] = {
                { "SIGTERM", SIGTERM },
                { "USR1", SIGUSR1 },
                { "SIGCLD", SIGCHLD },
                { "SIGIOT", SIGABRT },
                { "10", 10 },
                { "SIGRTMIN", SIGRTMIN },
                { "RTMIN+15", SIGRTMIN + 15 },
                { "SIGRTMAX-14", SIGRTMAX - 14 },
                { "SIGRTMIN+31", 0 },
                { "SIGRTMIN-1", 0 },
                { "SIGRTMINx", 0 },
                { "sigterm", 0 },
                { "SIG", 0 },
                { "0", 0 },
                { "65", 0 },
                { "-1", 0 },
                { "", 0 },
                { NULL, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                if (signal_from_name(cases[i].name) != cases[i].number)
                        fail_msg("%s: %d", cases[i].name ?: "NULL", signal_from_name(cases[i].name));
}

TEST(every_name_of_kubernetes_has_a_number_and_leads_back_to_a_name) {
        for (const char *const *name = signal_names; *name; name++) {
                int number = signal_from_name(*name);

                if (number <= 0 || signal_from_name(signal_to_name(number)) != number)
                        fail_msg("%s: %d", *name, number);
        }
        assert_string_equal(signal_to_name(SIGCHLD), "SIGCHLD");
        assert_string_equal(signal_to_name(SIGRTMIN + 3), "SIGRTMIN+3");
        assert_string_equal(signal_to_name(SIGRTMAX - 1), "SIGRTMAX-1");
        assert_null(signal_to_name(0));
        assert_null(signal_to_name(_NSIG));
}
