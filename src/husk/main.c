/* husk - the command people type. All of it is in husk.c and the verbs' files; this file only makes it a program. */
#include "husk/cli.h"

int main(int argc, char **argv) {
        return cli_main(argc, argv);
}
