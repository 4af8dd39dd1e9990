#include "husk/cli.h"

#include <stdio.h>

#include "api/api.h"
#include "base/process.h"
#include "base/str.h"

struct error *cli_store(struct cli *cli, struct store **ret) {
        if (!cli->store) {
                struct error *err = store_open(cli->root, cli->run, &cli->store);
                if (err)
                        return err;
        }
        *ret = cli->store;
        return NULL;
}

const char *cli_namespace(const struct cli *cli) {
        return cli->ns ? cli->ns : "default";
}

const char *cli_namespace_for(const struct cli *cli, const struct api_kind *kind) {
        return kind->namespaced ? cli_namespace(cli) : NULL;
}

struct error *cli_exec_sister(struct cli *cli, const char *program, const char *called, char *const *argv) {
        _cleanup_free_ char *path = NULL;
        struct store *store;
        struct error *err;

        err = cli_store(cli, &store);
        if (err)
                return err;
        err = process_find_sister(program, &path);
        if (err)
                return err;
        _cleanup_strv_ char **full = strv_add(NULL, called);
        const char *const own[] = { "--root", store->root, "--run", store->run };
        for (size_t i = 0; i < ARRAY_SIZE(own); i++)
                full = strv_add(full, own[i]);
        for (size_t i = 0; argv && argv[i]; i++)
                full = strv_add(full, argv[i]);
        execv(path, full);
        return error_errno(errno, "run %s", path);
}

/* An answer about an object, as opposed to a failure of this machine (those carry an errno). */
static bool error_is_answer(const struct error *err) {
        switch (error_reason(err)) {
        case ERROR_NOT_FOUND:
        case ERROR_ALREADY_EXISTS:
        case ERROR_CONFLICT:
        case ERROR_BAD_REQUEST:
        case ERROR_FORBIDDEN:
                return error_errnum(err) == 0;
        default:
                return false;
        }
}

void cli_print_error(const struct error *err) {
        fflush(stdout);
        if (error_is_answer(err))
                fprintf(stderr, "Error from server (%s): %s\n", error_reason_string(error_reason(err)),
                        error_message(err));
        else if (error_is(err, ERROR_INVALID) && str_starts_with(error_message(err), "The "))
                fprintf(stderr, "%s\n", error_message(err)); /* submit_refusal(): a sentence of its own */
        else
                fprintf(stderr, "error: %s\n", error_message(err));
}

void cli_report(struct cli *cli, struct error *err) {
        if (!err)
                return;
        cli_print_error(err);
        error_free(err);
        cli->status = 1;
}
