/* ipc make|look: makes one of each kind of System V and POSIX object, or tells which of them are there. */
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#define KEY 0x4855

int main(int argc, char **argv) {
        int make = argc > 1 && !strcmp(argv[1], "make"), flags = make ? IPC_CREAT | 0600 : 0;
        int oflags = make ? O_CREAT | O_RDWR : O_RDWR;
        int q = msgget(KEY, flags), s = semget(KEY, 1, flags), m = shmget(KEY, 4096, flags);
        struct mq_attr attr = { .mq_maxmsg = 4, .mq_msgsize = 64 };
        mqd_t mq = make ? mq_open("/husk", oflags, 0600, &attr) : mq_open("/husk", oflags);
        sem_t *ps = make ? sem_open("/husk", O_CREAT, 0600, 1) : sem_open("/husk", 0);
        int pm = shm_open("/husk", oflags, 0600);
        if (make && m >= 0)
                strcpy(shmat(m, NULL, 0), "shared");
        if (make && q >= 0) {
                struct {
                        long type;
                        char text[8];
                } t = { 1, "queued" };
                msgsnd(q, &t, 8, 0);
        }
        if (make && mq >= 0)
                mq_send(mq, "posted", 7, 0);
        if (make && pm >= 0 && ftruncate(pm, 4096) == 0)
                strcpy(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, pm, 0), "mapped");
        char text[128] = "";
        if (!make) {
                if (m >= 0)
                        strcat(text, shmat(m, NULL, 0));
                struct {
                        long type;
                        char text[8];
                } t;
                if (q >= 0 && msgrcv(q, &t, 8, 0, IPC_NOWAIT) > 0)
                        strcat(strcat(text, " "), t.text);
                char buf[64];
                if (mq >= 0 && mq_receive(mq, buf, 64, NULL) > 0)
                        strcat(strcat(text, " "), buf);
                if (pm >= 0)
                        strcat(strcat(text, " "), mmap(NULL, 4096, PROT_READ, MAP_SHARED, pm, 0));
        }
        printf("msg=%d sem=%d shm=%d mq=%d psem=%d pshm=%d %s\n", q >= 0, s >= 0, m >= 0, mq >= 0, ps != SEM_FAILED,
               pm >= 0, text);
        return 0;
}
