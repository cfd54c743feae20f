// Load driver and origin of the benchmark: one thread, one epoll loop each, so that what is measured is
// the tunnel between them and not the program that measures.
//
//     driver origin
//         Serves on a free port of loopback, which it prints, until it is killed.
//     driver load MODE PORT ORIGIN_PORT HOSTNAME CONNECTIONS SECONDS
//         MODE is echo (messages of 1 KiB there and back), conn (connect, one byte back, close), down, up
//         (bulk) or idle. Opens the connections through PORT and prints `open`; starts at a line on its
//         standard input, prints `end` when the time is over, and then a line of JSON. It ends with its
//         standard input.
//
// A connection begins with a TLS ClientHello for HOSTNAME, which is what an edge routes by. Its random
// tells the origin what to do; after it, bytes are not TLS any more, which nobody on the way looks at.
// The origin answers each hello with a byte. Of what goes up, the origin counts what arrived: the driver
// asks it at ORIGIN_PORT, past the tunnel.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BUFFER = 256 * 1024,
    TURNS = 16,             // buffers of one socket in a row, before it is another's turn
    MAX_EVENTS = 512,
    HELLO_MAX = 512,
    RANDOM_AT = 11,
    MODE_AT = RANDOM_AT + 6,
    MESSAGE = 1024,
    AT_ONCE = 32,           // connections that are being opened, below any backlog
    MAX_CONNECTIONS = 1000000,
    MAX_FAILED = 1000,      // then no more are opened
    SOURCES = 200,          // addresses of clients: ports of one would run out
    DOUBLINGS = 64,
    PARTS = 64,             // buckets of latencies to each doubling of a microsecond
};
enum { ALERT = 21, GREETING = '!' };            // first bytes of an edge that refuses, and of the origin
enum mode { ECHO = 'e', CONN = 'c', DOWN = 'd', UP = 'u', IDLE = 'i', COUNT = 'n' };
static const double OPEN_S = 20, OPENED_PER_S = 100;    // until all are open
static const double LAST_S = 5;                         // for the last answers

static char buffer[BUFFER], payload[BUFFER];

static void die(const char *what) {
    fprintf(stderr, "driver: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void arm(int epoll, int operation, int fd, void *who) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = who};
    if (epoll_ctl(epoll, operation, fd, &event) < 0) die("epoll_ctl");
}

static void set_option(int fd, int level, int option) {
    int on = 1;
    setsockopt(fd, level, option, &on, sizeof on);
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

// Bytes that do not compress, so that a tunnel that does gains nothing.
static void fill_payload(void) {
    uint64_t state = 88172645463325252ull;
    for (size_t at = 0; at < BUFFER; at += sizeof state) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        memcpy(payload + at, &state, sizeof state);
    }
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
    hello[MODE_AT] = mode;
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
    int flooding;           // DOWN: the client said when
    size_t got;             // of the hello
    size_t pending;         // bytes of `held` that are not sent
    uint8_t hello[HELLO_MAX];
    char *held;             // what an echo could not send at once
};

static struct {
    int epoll, listener;
    uint64_t uploaded;      // by all UP connections
} served_all;

static void served_close(struct served *self) {
    close(self->fd);
    free(self->held);
    free(self);
}

// Sends, and holds what the socket does not take; 1 if it took all, -1 at the end.
static int served_send(struct served *self, const char *data, size_t length) {
    ssize_t sent = send(self->fd, data, length, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN) return -1;
        sent = 0;
    }
    if ((size_t)sent < length && !self->held && !(self->held = malloc(BUFFER))) die("malloc");
    self->pending = length - sent;
    if (self->pending) memmove(self->held, data + sent, self->pending);
    return !self->pending;
}

// Reads the hello and answers it; 1 once its mode is known, 0 to wait, -1 at the end.
static int served_begin(struct served *self) {
    while (!self->mode) {
        size_t need = self->got < 5 ? 5 : 5 + (self->hello[3] << 8 | self->hello[4]);
        if (need > HELLO_MAX) return -1;
        if (self->got >= 5 && self->got == need) {
            if (need <= MODE_AT || !self->hello[MODE_AT]) return -1;
            self->mode = self->hello[MODE_AT];
            break;
        }
        ssize_t count = recv(self->fd, self->hello + self->got, need - self->got, 0);
        if (count <= 0) return count < 0 && errno == EAGAIN ? 0 : -1;
        self->got += count;
    }
    if (self->mode == COUNT) return served_send(self, (char *)&served_all.uploaded, 8) ? 1 : -1;
    return served_send(self, (char[]){GREETING}, 1) < 0 ? -1 : 1;
}

// Sends without end; -1 at the end all the same.
static int served_flood(struct served *self) {
    for (int turn = 0; turn < TURNS; turn++)
        if (send(self->fd, payload, BUFFER, MSG_NOSIGNAL) < 0) return errno == EAGAIN ? 0 : -1;
    arm(served_all.epoll, EPOLL_CTL_MOD, self->fd, self);
    return 0;
}

// Does what its mode says until the socket has no more to read or takes no more; -1 at the end.
static int served_go_on(struct served *self, uint32_t events) {
    if (self->pending && served_send(self, self->held, self->pending) < 1) return 0;
    if (self->flooding) return served_flood(self);
    for (int turn = 0; turn < TURNS; turn++) {
        ssize_t count = recv(self->fd, buffer, BUFFER, 0);
        if (count < 0) return errno == EAGAIN ? 0 : -1;
        if (count == 0) return -1;
        if (self->mode == UP) served_all.uploaded += count;
        if (self->mode == DOWN) {
            self->flooding = 1;
            return served_flood(self);
        }
        if (self->mode == ECHO) {
            int done = served_send(self, buffer, count);
            if (done < 1) return done;
        }
        // Less than was asked for is all there is: what comes later is another event.
        if (count < BUFFER && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return 0;
    }
    arm(served_all.epoll, EPOLL_CTL_MOD, self->fd, self);
    return 0;
}

static void served_accept(void) {
    int fd;
    while ((fd = accept4(served_all.listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct served *added = calloc(1, sizeof *added);
        if (!added) die("calloc");
        added->fd = fd;
        set_option(fd, IPPROTO_TCP, TCP_NODELAY);
        arm(served_all.epoll, EPOLL_CTL_ADD, fd, added);
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) die("accept");
}

static void origin(void) {
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    served_all.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    served_all.epoll = epoll_create1(0);
    if (bind(served_all.listener, (void *)&address, size) < 0) die("bind");
    if (listen(served_all.listener, 4096) < 0) die("listen");
    getsockname(served_all.listener, (void *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    arm(served_all.epoll, EPOLL_CTL_ADD, served_all.listener, NULL);
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int count = epoll_wait(served_all.epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct served *self = events[i].data.ptr;
            if (!self) {
                served_accept();
                continue;
            }
            int state = self->mode ? 1 : served_begin(self);
            if (state > 0) state = served_go_on(self, events[i].events);
            if (state < 0) served_close(self);
        }
    }
}

// ---- the load ------------------------------------------------------------------------------------

enum state { CONNECTING, GREETED, OPEN };   // GREETED: the hello is sent, and not answered

struct client {
    int fd;                 // -1 when closed
    enum state state;
    int error;              // of the hello that could not be sent
    double began;           // of the message or the connection
    size_t left;            // bytes of an echo that are not back
};

static struct {
    enum mode mode;
    struct sockaddr_in address, origin;
    uint8_t hello[HELLO_MAX];
    size_t hello_size;
    struct client *clients;
    int epoll, count, started, opening, open, measuring, stopping;
    uint64_t operations, bytes, failed, buckets[DOUBLINGS * PARTS];
    const char *failure;    // the first one
} load;

static void note_latency(double seconds) {
    uint64_t us = seconds * 1e6 + 1;
    int doubling = 63 - __builtin_clzll(us);
    uint64_t part = (doubling < 6 ? us << (6 - doubling) : us >> (doubling - 6)) & (PARTS - 1);
    load.buckets[doubling * PARTS + part]++;
}

static double latency_us(double share) {
    uint64_t seen = 0;
    for (int i = 0; i < DOUBLINGS * PARTS; i++) {
        seen += load.buckets[i];
        if (seen && seen >= load.operations * share)
            return (double)(1ull << i / PARTS) * (1 + (double)(i % PARTS) / PARTS);
    }
    return 0;
}

static void client_close(struct client *self, const char *failure) {
    if (self->state != OPEN) load.opening--;
    close(self->fd);
    self->fd = -1;
    load.open--;
    if (!failure) return;
    load.failed++;
    if (!load.failure) load.failure = failure;
}

// Sends the hello. An error ends the client at its next event, so that no loop of failures gets deep.
static void client_greet(struct client *self) {
    ssize_t sent = send(self->fd, load.hello, load.hello_size, MSG_NOSIGNAL);
    if (sent == (ssize_t)load.hello_size) self->state = GREETED;
    else if (sent < 0 && errno != EAGAIN) self->error = errno;
}

static void client_start(struct client *self) {
    static unsigned number;
    struct sockaddr_in source = loopback(0);
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number++ % SOURCES);
    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (self->fd < 0) die("socket");
    set_option(self->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
    set_option(self->fd, IPPROTO_TCP, TCP_NODELAY);
    if (bind(self->fd, (void *)&source, sizeof source) < 0) die("bind");
    self->began = now();
    self->state = CONNECTING;
    self->error = 0;
    if (connect(self->fd, (void *)&load.address, sizeof load.address) < 0 && errno != EINPROGRESS)
        die("connect");
    load.opening++;
    load.open++;
    client_greet(self);     // on loopback it is connected already, which connect() does not say
    arm(load.epoll, EPOLL_CTL_ADD, self->fd, self);
}

// One more of those that are to be opened, and for CONN again and again.
static void start_next(struct client *self) {
    if (load.failed >= MAX_FAILED || load.stopping) return;
    if (load.measuring && load.mode == CONN) client_start(self);
    else if (!load.measuring && load.started < load.count) client_start(&load.clients[load.started++]);
}

static void client_say(struct client *self) {
    self->began = now();
    self->left = MESSAGE;
    if (send(self->fd, payload, MESSAGE, MSG_NOSIGNAL) != MESSAGE)
        client_close(self, "a message could not be sent");
}

static void client_upload(struct client *self) {
    for (int turn = 0; turn < TURNS; turn++) {
        if (send(self->fd, payload, BUFFER, MSG_NOSIGNAL) >= 0) continue;
        if (errno != EAGAIN) client_close(self, strerror(errno));
        return;
    }
    arm(load.epoll, EPOLL_CTL_MOD, self->fd, self);
}

static void client_download(struct client *self) {
    for (int turn = 0; turn < TURNS; turn++) {
        ssize_t count = recv(self->fd, buffer, BUFFER, 0);
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) {
            client_close(self, count ? strerror(errno) : "closed by the other side");
            return;
        }
        load.bytes += count;
    }
    arm(load.epoll, EPOLL_CTL_MOD, self->fd, self);
}

// Reads what is there of an echo or of an answer to the hello; 0 where nothing is.
static ssize_t client_hear(struct client *self, size_t most) {
    ssize_t count = recv(self->fd, buffer, most, 0);
    if (count < 0 && errno == EAGAIN) return 0;
    if (count > 0) return count;
    int error = self->error ? self->error : count ? errno : 0;
    client_close(self, error ? strerror(error) : "closed by the other side");
    return 0;
}

static void client_echo(struct client *self) {
    ssize_t count = self->left ? client_hear(self, self->left) : 0;
    if (!count) return;
    if (memcmp(buffer, payload + MESSAGE - self->left, count)) {
        client_close(self, "an echo is not what was sent");
        return;
    }
    self->left -= count;
    if (self->left) return;
    if (load.stopping) {
        client_close(self, NULL);
        return;
    }
    note_latency(now() - self->began);
    load.operations++;
    client_say(self);
}

// The byte that answers the hello. An edge that refuses a client answers, too: with an alert of TLS.
static void client_opened(struct client *self) {
    ssize_t count = client_hear(self, 1);
    if (count && buffer[0] != GREETING) {
        client_close(self, buffer[0] == ALERT ? "refused by a TLS alert" : "not answered by the origin");
        count = 0;
    }
    if (!count) {
        if (self->fd < 0) start_next(self);
        return;
    }
    load.opening--;
    self->state = OPEN;
    if (load.measuring) {       // a CONN
        if (!load.stopping) {
            note_latency(now() - self->began);
            load.operations++;
        }
        client_close(self, NULL);
    }
    start_next(self);
}

static void client_ready(struct client *self, uint32_t events) {
    if (self->state == CONNECTING && !self->error && events & EPOLLOUT) client_greet(self);
    if (self->state != OPEN) {
        if (events & ~EPOLLOUT) client_opened(self);
        return;
    }
    if (load.mode == UP && load.measuring) client_upload(self);
    else if (load.mode == DOWN && load.measuring) client_download(self);
    else if (load.mode == ECHO && load.measuring) client_echo(self);
    else if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) client_close(self, "closed by the other side");
}

static void turn(void) {
    struct epoll_event events[MAX_EVENTS];
    int ready = epoll_wait(load.epoll, events, MAX_EVENTS, 20);
    for (int i = 0; i < ready; i++) {
        struct client *client = events[i].data.ptr;
        if (client->fd >= 0) client_ready(client, events[i].events);
    }
}

static void open_all(void) {
    double give_up = now() + OPEN_S + load.count / OPENED_PER_S;
    while (load.started < load.count && load.opening < AT_ONCE)
        client_start(&load.clients[load.started++]);
    while (load.opening && now() < give_up) turn();
    for (int i = 0; i < load.count; i++) {
        struct client *client = &load.clients[i];
        if (client->fd >= 0 && client->state != OPEN) client_close(client, "not answered in time");
    }
    load.failed += load.count - load.started;
}

// What the origin has had of all uploads.
static uint64_t uploaded(void) {
    uint8_t hello[HELLO_MAX];
    uint64_t count;
    size_t size = write_hello(hello, "origin", COUNT);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (void *)&load.origin, sizeof load.origin) < 0) die("connect to the origin");
    if (send(fd, hello, size, MSG_NOSIGNAL) < 0) die("ask the origin");
    if (recv(fd, &count, sizeof count, MSG_WAITALL) != sizeof count) die("ask the origin");
    close(fd);
    return count;
}

static void client_begin(struct client *self) {
    switch (load.mode) {
    case ECHO:
        client_say(self);
        break;
    case DOWN:
        if (send(self->fd, "!", 1, MSG_NOSIGNAL) != 1) client_close(self, "a byte could not be sent");
        break;
    case UP:
        client_upload(self);
        break;
    case CONN:
        client_close(self, NULL);
        client_start(self);
        break;
    default:
        break;
    }
}

static double measure(double seconds) {
    uint64_t before = load.mode == UP ? uploaded() : 0;
    double began = now(), until = began + seconds;
    load.measuring = 1;
    for (int i = 0; i < load.count; i++)
        if (load.clients[i].fd >= 0) client_begin(&load.clients[i]);
    while (load.open && now() < until) turn();
    if (load.mode == UP) load.bytes = uploaded() - before;
    return now() - began;
}

// Ends bulk by a reset, so that what lies in buffers is no work for anybody, and awaits the last answers.
static void close_all(void) {
    struct linger reset = {1, 0};
    double give_up = now() + LAST_S;
    for (int i = 0; i < load.count; i++) {
        struct client *client = &load.clients[i];
        if (client->fd < 0 || load.mode == ECHO || load.mode == CONN) continue;
        if (load.mode != IDLE) setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        ssize_t there = load.mode == IDLE ? recv(client->fd, buffer, 1, MSG_PEEK) : 1;
        if (!there) client_close(client, "closed by the other side");
        else client_close(client, there > 0 || errno == EAGAIN ? NULL : strerror(errno));
    }
    load.stopping = 1;
    while (load.open && now() < give_up) turn();
    if (load.open && !load.failure) load.failure = "no answer at the end";
    load.failed += load.open;
}

static void load_main(char **arguments) {
    double seconds = atof(arguments[5]);
    load.mode = arguments[0][0];
    load.address = loopback(atoi(arguments[1]));
    load.origin = loopback(atoi(arguments[2]));
    load.hello_size = write_hello(load.hello, arguments[3], load.mode);
    load.epoll = epoll_create1(0);
    load.count = atoi(arguments[4]);
    load.clients = calloc(load.count, sizeof *load.clients);
    if (!load.clients) die("calloc");
    for (int i = 0; i < load.count; i++) load.clients[i].fd = -1;
    open_all();
    puts("open");
    fflush(stdout);
    char line[16];
    if (!fgets(line, sizeof line, stdin)) exit(0);      // whoever started it is gone
    double took = load.mode == IDLE ? 0 : measure(seconds);
    puts("end");
    fflush(stdout);
    close_all();
    printf("{\"operations\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"failed\": %" PRIu64
           ", \"failure\": \"%s\", \"seconds\": %.4f, \"p50_us\": %.0f, \"p99_us\": %.0f}\n",
           load.operations, load.bytes, load.failed, load.failure ? load.failure : "", took,
           latency_us(.5), latency_us(.99));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {}      // so that what it worked can still be read
}

static int is_load(int count, char **arguments) {
    return count == 8 && !strcmp(arguments[1], "load") && strchr("ecdui", arguments[2][0]) &&
           strlen(arguments[5]) < 200 && atoi(arguments[6]) > 0 && atoi(arguments[6]) <= MAX_CONNECTIONS;
}

int main(int count, char **arguments) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    fill_payload();
    if (count == 2 && !strcmp(arguments[1], "origin")) origin();
    if (is_load(count, arguments)) {
        load_main(arguments + 2);
        return 0;
    }
    fprintf(stderr,
            "usage: driver origin\n"
            "       driver load echo|conn|down|up|idle PORT ORIGIN_PORT HOSTNAME CONNECTIONS SECONDS\n");
    return 2;
}
