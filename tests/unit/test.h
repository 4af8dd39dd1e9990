/* test.h - what a unit test includes: cmocka, and TEST() that names a test as a sentence and registers itself. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

#define TESTS_MAX 512
static struct CMUnitTest registered_tests[TESTS_MAX];
static size_t n_registered_tests;

#define TEST(sentence) \
        static void sentence(void **state); \
        __attribute__((constructor)) static void register_##sentence(void) { \
                registered_tests[n_registered_tests++] = (struct CMUnitTest){ #sentence, sentence, NULL, NULL, NULL }; \
        } \
        static void sentence(_unused_ void **state)

#define assert_ok(call) \
        do { \
                struct error *_e = (call); \
                if (_e) \
                        fail_msg("%s: %s", #call, error_message(_e)); \
        } while (0)

/* The call must fail with this reason and its message must contain this text. */
#define assert_error(call, wanted_reason, text) \
        do { \
                struct error *_e = (call); \
                if (!_e) \
                        fail_msg("%s: no error", #call); \
                if (error_reason(_e) != (wanted_reason) || !strstr(error_message(_e), (text))) \
                        fail_msg("%s: %s: %s", #call, error_reason_string(error_reason(_e)), error_message(_e)); \
                error_free(_e); \
        } while (0)

/* HUSK_TEST_ONLY=name runs one test alone; exit status 77 if there is none of that name. */
int main(void) {
        const char *only = getenv("HUSK_TEST_ONLY");
        size_t n = n_registered_tests;

        n_registered_tests = 0;
        for (size_t i = 0; i < n; i++)
                if (!only || strcmp(registered_tests[i].name, only) == 0)
                        registered_tests[n_registered_tests++] = registered_tests[i];
        if (n_registered_tests == 0)
                return 77;
        return _cmocka_run_group_tests(__FILE__, registered_tests, n_registered_tests, NULL, NULL);
}
