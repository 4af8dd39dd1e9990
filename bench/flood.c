/* flood - writes lines of 100 bytes to standard output as fast as they are taken, for bench/run logs. */
#include <string.h>
#include <unistd.h>

int main(void) {
        static char block[40000];

        memset(block, 'x', sizeof(block));
        for (size_t i = 99; i < sizeof(block); i += 100)
                block[i] = '\n';
        while (write(1, block, sizeof(block)) > 0)
                ;
        return 1;
}
