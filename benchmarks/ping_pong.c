/* R0: what two processes need at least for one message each way: TCP on loopback, epoll, no Python.
 *
 * ping_pong BYTES COUNT OUTSTANDING prints one line: p50 in ns, then CPU in ns a message of the asking process.
 * With more than one outstanding, the p50 is of a message among that many.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int watched(int fd) {
    int one = 1, poll = epoll_create1(0);
    struct epoll_event wanted = {.events = EPOLLIN};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wanted);
    return poll;
}

static int wait_and_read(int poll, int fd, char *buffer, int room) {
    struct epoll_event event;
    if (epoll_wait(poll, &event, 1, -1) != 1) exit(1);
    return read(fd, buffer, room);
}

static void echo(int fd) {
    static char buffer[1 << 16];
    int poll = watched(fd), count;
    while ((count = wait_and_read(poll, fd, buffer, sizeof buffer)) > 0)
        if (write(fd, buffer, count) != count) exit(1);
}

static int earlier(const void *one, const void *other) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

static void ask(int fd, int size, int count, int outstanding) {
    static char buffer[1 << 16];
    int poll = watched(fd), sent = 0, got = 0;
    int64_t *taken = malloc(count * sizeof *taken), cpu = now(CLOCK_PROCESS_CPUTIME_ID), bytes = 0;
    while (got < count) {
        for (; sent < count && sent - got < outstanding; sent++) {
            taken[sent] = now(CLOCK_MONOTONIC);
            if (write(fd, buffer, size) != size) exit(1);
        }
        int more = wait_and_read(poll, fd, buffer, sizeof buffer);
        if (more <= 0) exit(1);
        for (bytes += more; got < bytes / size; got++) taken[got] = now(CLOCK_MONOTONIC) - taken[got];
    }
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    qsort(taken, count, sizeof *taken, earlier);
    printf("%lld %lld\n", (long long)taken[count / 2], (long long)(cpu / count));
}

int main(int count, char **words) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (count != 4 || bind(listener, (void *)&here, length) || listen(listener, 1)) return 1;
    getsockname(listener, (void *)&here, &length);
    if (!fork()) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (void *)&here, length)) return 1;
        echo(fd);
        return 0;
    }
    int fd = accept(listener, 0, 0);
    ask(fd, atoi(words[1]), atoi(words[2]), atoi(words[3]));
    close(fd);
    wait(0);
    return 0;
}
