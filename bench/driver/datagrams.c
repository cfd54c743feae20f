/* Origin and client of the benchmark of datagrams.
 *
 *     datagrams origin                               echoes; prints its port
 *     datagrams client PORT SIZE WINDOW SECONDS      prints: echoed lost seconds p50_us p99_us
 *
 * The client keeps WINDOW datagrams under way, and sends the next when one comes back. One that is not back in
 * 200 ms is lost, and its place is taken by another. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_WINDOW 1024
#define MAX_SAMPLES (1 << 22)
#define LOST_S 0.2

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static int open_socket(int port, int is_client) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = 4 << 20;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &name.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    if ((is_client ? connect : bind)(fd, (struct sockaddr *)&name, sizeof name)) {
        perror("datagrams");
        exit(1);
    }
    return fd;
}

static int run_origin(void) {
    static char data[65536];
    int fd = open_socket(0, 0);
    struct sockaddr_in name, peer;
    socklen_t size = sizeof name;
    getsockname(fd, (struct sockaddr *)&name, &size);
    printf("%d\n", ntohs(name.sin_port));
    fflush(stdout);
    for (;;) {
        socklen_t length = sizeof peer;
        ssize_t count = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&peer, &length);
        if (count >= 0)
            sendto(fd, data, count, 0, (struct sockaddr *)&peer, length);
    }
}

static int compare(const void *one, const void *other) {
    float a = *(const float *)one, b = *(const float *)other;
    return (a > b) - (a < b);
}

static uint32_t numbers[MAX_WINDOW];
static double sent_at[MAX_WINDOW];
static char data[65536];
static uint32_t last;

static void send_one(int fd, uint32_t place, int size) {
    numbers[place] = ++last;
    memcpy(data, &place, 4);
    memcpy(data + 4, &last, 4);
    sent_at[place] = now();
    send(fd, data, size, MSG_DONTWAIT);
}

static int run_client(int port, int size, uint32_t window, double seconds) {
    float *samples = malloc(MAX_SAMPLES * sizeof *samples);
    long echoed = 0, lost = 0;
    int fd = open_socket(port, 1);
    double began = now(), at = began, looked_at = began;
    for (uint32_t place = 0; place < window; place++)
        send_one(fd, place, size);
    while ((at = now()) < began + seconds) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        uint32_t place, number;
        if (poll(&waiting, 1, 50) > 0)
            while (recv(fd, data, sizeof data, MSG_DONTWAIT) >= 8) {
                memcpy(&place, data, 4);
                memcpy(&number, data + 4, 4);
                if (place >= window || numbers[place] != number)
                    continue; /* late, and lost already */
                at = now();
                if (echoed < MAX_SAMPLES)
                    samples[echoed] = (at - sent_at[place]) * 1e6;
                echoed++;
                send_one(fd, place, size);
                if (at >= began + seconds)
                    break;
            }
        if (at - looked_at < LOST_S / 4)
            continue;
        looked_at = at;
        for (place = 0; place < window; place++)
            if (at - sent_at[place] > LOST_S) {
                lost++;
                send_one(fd, place, size);
            }
    }
    long count = echoed < MAX_SAMPLES ? echoed : MAX_SAMPLES;
    qsort(samples, count, sizeof *samples, compare);
    printf("%ld %ld %.6f %.1f %.1f\n", echoed, lost, at - began, count ? samples[count / 2] : 0.0,
           count ? samples[count * 99 / 100] : 0.0);
    return 0;
}

int main(int count, char **words) {
    if (count == 2 && !strcmp(words[1], "origin"))
        return run_origin();
    if (count == 6 && !strcmp(words[1], "client") && atoi(words[3]) >= 8 && atoi(words[4]) <= MAX_WINDOW)
        return run_client(atoi(words[2]), atoi(words[3]), atoi(words[4]), atof(words[5]));
    fprintf(stderr, "usage: datagrams origin | datagrams client PORT SIZE WINDOW SECONDS\n");
    return 2;
}
