/* image.c - `husk image …`: hands over to the program that knows about images. */
#include "husk/cli.h"
#include "husk/verbs.h"

const struct flag image_flags[] = { { 0 } };

struct error *image_run(struct cli *cli, struct arguments *arguments) {
        if (arguments->n_words == 0)
                return usage_error("what about images? pull, load, ls, rm; see `husk image --help`");
        return cli_exec_sister(cli, "husk-image", "husk image", arguments->words);
}
