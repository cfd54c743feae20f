// Load driver and origin of the benchmark: one thread, one epoll loop, so that what is measured is
// the tunnel between them and not the program that measures.
//
//     driver origin
//         Serves on a free port of loopback, which it prints, until it is killed.
//     driver load MODE PORT HOSTNAME CONNECTIONS SECONDS [SIZE]
//         MODE is echo (messages of SIZE bytes there and back), conn (connect, one byte back, close),
//         down or up (bulk). Prints one line of JSON.
//
// A connection begins with a TLS ClientHello for HOSTNAME, which is what an edge routes by. Its random
// tells the origin what to do; after it, bytes are not TLS any more, which nobody on the way looks at.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 256 * 1024, MAX_EVENTS = 512, HELLO_MAX = 512, RANDOM_AT = 11, BUCKETS = 64 * 16 };
enum mode { ECHO = 'e', CONN = 'c', DOWN = 'd', UP = 'u' };

static char buffer[BUFFER];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void watch(int epoll, int fd, void *who) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = who};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static void no_delay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// ---- the ClientHello -----------------------------------------------------------------------------

static uint8_t *put16(uint8_t *at, unsigned value) {
    at[0] = value >> 8, at[1] = value;
    return at + 2;
}

// Writes a ClientHello (RFC 8446 4.1.2) with a server name, and returns its length.
static size_t write_hello(uint8_t *hello, const char *host, char mode) {
    size_t name = strlen(host);
    uint8_t *at = hello + RANDOM_AT;
    memset(hello, 0, HELLO_MAX);
    memcpy(at, "driver", 6);
    at[6] = mode;
    at += 32;
    *at++ = 0;                                              // session id
    at = put16(put16(at, 2), 0x1301);                       // one cipher suite
    *at++ = 1, *at++ = 0;                                   // no compression
    at = put16(at, name + 9 + 7);                           // extensions
    at = put16(put16(put16(at, 0), name + 5), name + 3);    // server name
    *at++ = 0;
    at = put16(at, name);
    memcpy(at, host, name);
    at = put16(put16(at + name, 43), 3);                    // supported versions
    *at++ = 2;
    at = put16(at, 0x0304);
    size_t length = at - hello;
    hello[0] = 22, hello[1] = 3, hello[2] = 1;
    put16(hello + 3, length - 5);
    hello[5] = 1;
    put16(hello + 7, length - 9);
    hello[9] = 3, hello[10] = 3;
    return length;
}

// ---- the origin ----------------------------------------------------------------------------------

struct served {
    int fd;
    char mode;              // 0 until the hello is here
    size_t got;             // of the hello
    size_t pending;         // bytes of `held` that are not sent
    uint8_t hello[HELLO_MAX];
    char *held;             // what an echo could not send at once
};

static void served_close(struct served *self) {
    close(self->fd);
    free(self->held);
    free(self);
}

static int served_send(struct served *self, const char *data, size_t length) {
    ssize_t sent = send(self->fd, data, length, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN) return -1;
        sent = 0;
    }
    if ((size_t)sent < length) {
        if (!self->held) self->held = malloc(BUFFER);
        self->pending = length - sent;
        memmove(self->held, data + sent, self->pending);
        return 0;
    }
    self->pending = 0;
    return 1;
}

// Reads the hello; returns 1 once its mode is known, 0 to wait, -1 at the end.
static int served_begin(struct served *self) {
    while (!self->mode) {
        size_t need = self->got < 5 ? 5 : 5 + (self->hello[3] << 8 | self->hello[4]);
        if (need > HELLO_MAX) return -1;
        if (self->got >= 5 && self->got == need) {
            self->mode = self->hello[RANDOM_AT + 6];
            break;
        }
        ssize_t count = recv(self->fd, self->hello + self->got, need - self->got, 0);
        if (count <= 0) return count < 0 && errno == EAGAIN ? 0 : -1;
        self->got += count;
    }
    return self->mode == CONN ? served_send(self, "!", 1) : 1;
}

// Does what its mode says until the socket has no more to read or takes no more; -1 at the end.
static int served_go_on(struct served *self) {
    if (self->pending && served_send(self, self->held, self->pending) < 1) return 0;
    for (;;) {
        if (self->mode == DOWN) {
            ssize_t sent = send(self->fd, buffer, BUFFER, MSG_NOSIGNAL);
            if (sent < 0) return errno == EAGAIN ? 0 : -1;
            continue;
        }
        ssize_t count = recv(self->fd, buffer, BUFFER, 0);
        if (count < 0) return errno == EAGAIN ? 0 : -1;
        if (count == 0) {
            if (self->mode == UP) send(self->fd, "!", 1, MSG_NOSIGNAL);
            return -1;
        }
        if (self->mode == ECHO) {
            int done = served_send(self, buffer, count);
            if (done < 1) return done;
        }
    }
}

static void origin(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0);
    if (bind(listener, (void *)&address, size) < 0 || listen(listener, 4096) < 0) die("listen");
    getsockname(listener, (void *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    watch(epoll, listener, NULL);
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct served *self = events[i].data.ptr;
            int fd;
            while (!self && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                struct served *added = calloc(1, sizeof *added);
                added->fd = fd;
                no_delay(fd);
                watch(epoll, fd, added);
            }
            if (!self) continue;
            int state = self->mode ? 1 : served_begin(self);
            if (state > 0) state = served_go_on(self);
            if (state < 0) served_close(self);
        }
    }
}

// ---- the load ------------------------------------------------------------------------------------

struct client {
    int fd;
    double began;           // of the message or the connection
    size_t left;            // bytes of an echo that are not back
    int begun;              // the hello is sent
};

static struct load {
    enum mode mode;
    struct sockaddr_in address;
    uint8_t hello[HELLO_MAX];
    size_t hello_size, size;
    int epoll, open, stopping;
    uint64_t operations, bytes, failed, buckets[BUCKETS];
} load;

// Buckets of latencies: 16 to each doubling of a microsecond.
static void note_latency(double seconds) {
    uint64_t us = seconds * 1e6 + 1;
    int doubling = 63 - __builtin_clzll(us);
    uint64_t part = doubling < 4 ? (us << (4 - doubling)) & 15 : us >> (doubling - 4) & 15;
    load.buckets[doubling * 16 + part]++;
}

static double latency_us(double share) {
    uint64_t all = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++) all += load.buckets[i];
    for (int i = 0; i < BUCKETS; i++) {
        seen += load.buckets[i];
        if (seen && seen >= all * share) return (double)(1ull << i / 16) * (1 + (i % 16) / 16.0);
    }
    return 0;
}

static void client_start(struct client *self, unsigned number) {
    // Sources from all of 127/8: ports of one address would run out.
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001 + number % 200)};
    int on = 1;
    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (self->fd < 0) die("socket");
    setsockopt(self->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(self->fd, (void *)&source, sizeof source) < 0) die("bind");
    no_delay(self->fd);
    self->began = now();
    self->begun = 0;
    if (connect(self->fd, (void *)&load.address, sizeof load.address) < 0 && errno != EINPROGRESS)
        die("connect");
    load.open++;
    watch(load.epoll, self->fd, self);
}

static void client_close(struct client *self, int failed) {
    static unsigned number;
    close(self->fd);
    self->fd = -1;
    load.open--;
    load.failed += failed;
    if (load.mode == CONN && !load.stopping) client_start(self, number++);
}

static void client_say(struct client *self) {
    self->began = now();
    self->left = load.size;
    if (send(self->fd, buffer, load.size, MSG_NOSIGNAL) != (ssize_t)load.size) client_close(self, 1);
}

static void client_hear(struct client *self) {
    for (;;) {
        ssize_t count = recv(self->fd, buffer, load.mode == ECHO ? self->left : BUFFER, 0);
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) {
            client_close(self, !load.stopping);
            return;
        }
        load.bytes += count;
        if (load.mode == CONN) {
            note_latency(now() - self->began);
            load.operations++;
            client_close(self, 0);
            return;
        }
        if (load.mode == ECHO && !(self->left -= count)) {
            note_latency(now() - self->began);
            load.operations++;
            if (load.stopping) client_close(self, 0);
            else client_say(self);
            return;
        }
        if (load.mode == DOWN && load.stopping) {
            client_close(self, 0);
            return;
        }
    }
}

static void client_ready(struct client *self, uint32_t events) {
    if (!self->begun) {
        if (!(events & EPOLLOUT)) return;
        self->begun = 1;
        if (send(self->fd, load.hello, load.hello_size, MSG_NOSIGNAL) != (ssize_t)load.hello_size) {
            client_close(self, 1);
            return;
        }
        if (load.mode == ECHO) {
            client_say(self);
            return;
        }
    }
    if (load.mode == UP && !load.stopping) {
        ssize_t sent;
        while ((sent = send(self->fd, buffer, BUFFER, MSG_NOSIGNAL)) > 0) load.bytes += sent;
        if (errno != EAGAIN) client_close(self, 1);
        return;
    }
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) client_hear(self);
}

static void run(struct client *clients, int count, double seconds) {
    double until = now() + seconds, give_up = until + 10;
    for (int i = 0; i < count; i++) client_start(&clients[i], i);
    while (load.open && now() < give_up) {
        struct epoll_event events[MAX_EVENTS];
        int ready = epoll_wait(load.epoll, events, MAX_EVENTS, 50);
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (client->fd >= 0) client_ready(client, events[i].events);
        }
        if (!load.stopping && now() >= until) {
            load.stopping = 1;
            for (int i = 0; i < count; i++) {
                if (clients[i].fd < 0) continue;
                if (load.mode == UP) shutdown(clients[i].fd, SHUT_WR);  // the origin's byte ends it
                if (load.mode == DOWN) client_close(&clients[i], 0);
            }
        }
    }
}

static void load_main(char **arguments, int count) {
    if (count < 5) die("driver load MODE PORT HOSTNAME CONNECTIONS SECONDS [SIZE]");
    int connections = atoi(arguments[3]);
    load.mode = arguments[0][0];
    load.size = count > 5 ? strtoul(arguments[5], NULL, 10) : 1024;
    load.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1])),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    load.hello_size = write_hello(load.hello, arguments[2], load.mode);
    load.epoll = epoll_create1(0);
    struct client *clients = calloc(connections, sizeof *clients);
    double began = now();
    run(clients, connections, atof(arguments[4]));
    double took = now() - began;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("{\"operations\": %lu, \"bytes\": %lu, \"failed\": %lu, \"seconds\": %.4f, \"p50_us\": %.0f, "
           "\"p99_us\": %.0f, \"driver_cpu_s\": %.3f}\n",
           load.operations, load.bytes, load.failed + load.open, took, latency_us(.5), latency_us(.99),
           used.ru_utime.tv_sec + used.ru_stime.tv_sec +
               (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

int main(int count, char **arguments) {
    if (count > 1 && !strcmp(arguments[1], "origin")) origin();
    if (count > 1 && !strcmp(arguments[1], "load")) {
        load_main(arguments + 2, count - 2);
        return 0;
    }
    fprintf(stderr, "driver origin | driver load MODE PORT HOSTNAME CONNECTIONS SECONDS [SIZE]\n");
    return 2;
}
