/* udp-answer PORT TEXT: answers every datagram on the port with the text. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(argc > 2 ? atoi(argv[1]) : 0) };
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        char buf[64];

        if (argc != 3 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return 1;
        for (;;) {
                socklen_t size = sizeof(address);
                if (recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&address, &size) >= 0)
                        sendto(fd, argv[2], strlen(argv[2]), 0, (struct sockaddr *)&address, size);
        }
}
