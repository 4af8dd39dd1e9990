/* log-file.h - reading what one run of a container printed, in the order in which it did, also while it goes on.
 *
 * The log of run n is <folder>/<n>.log in the CRI format ("TIME STREAM TAG text"); the pump renames it to
 * <n>.log.<time> when it has grown large and begins a new one, and removes the oldest. A reader goes through all of
 * them from the oldest to the newest and follows the renaming. */
#pragma once

#include "base/error.h"

struct log_record {
        const char *time; /* 30 characters, "2026-11-23T19:03:56.123456789Z" */
        size_t time_len;
        bool is_stderr;
        bool is_complete; /* tag F: the text ends its line */
        const char *text; /* without the newline */
        size_t len;
};

/* Takes one line of a log file (without its newline) apart; false if it is none. */
bool log_record_parse(const char *line, size_t len, struct log_record *ret);

struct log_file;
/* A missing log is empty (the container may have printed nothing yet). `tail`: begin that many lines before the end;
 * negative: at the beginning. */
struct error *log_file_open(const char *folder, unsigned run, int64_t tail, struct log_file **ret) _must_check_;
struct log_file *log_file_close(struct log_file *log); /* accepts NULL, returns NULL */

/* The next record, valid until the next call; false at the end of what is there now. */
struct error *log_file_next(struct log_file *log, struct log_record *ret, bool *ret_found) _must_check_;

/* The highest run that has a log in this folder, -1 if none has. */
int64_t log_file_newest_run(const char *folder);
