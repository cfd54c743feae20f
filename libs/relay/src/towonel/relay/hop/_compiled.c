/* Hop of a message, received of one socket and sent to the other, and the calls that begin and end a connection.
 *
 * interpreted.py says what the hop does, and sockets.py what the other calls do. Nothing here waits, allocates
 * more than what it returns, or keeps anything. Sockets are non-blocking; MSG_DONTWAIT holds for one that is not.
 * The interpreter's lock is kept: a worker has one thread.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* where SO_NOSIGPIPE or an ignored SIGPIPE does the same, as in Python */
#endif

enum { HEAD_BYTES = 4, MAX_BYTES = 0xFFFFF, NOTHING = -1, FAILED = -2, UNSENT_SHIFT = 20 };
static const long long BROKEN = 1LL << 40, PARSE = 1LL << 41;

struct hop {
    int source, target;
    Py_buffer buffer;
    uint32_t head;
};

static int is_to_wait(void) { return errno == EAGAIN || errno == EWOULDBLOCK; }

static int read_arguments(PyObject *const *args, Py_ssize_t count, const char *name, struct hop *hop) {
    if (count != 4) {
        PyErr_Format(PyExc_TypeError, "%s() takes 4 arguments: source, target, buffer, head", name);
        return -1;
    }
    hop->source = PyObject_AsFileDescriptor(args[0]);
    if (hop->source < 0) return -1;
    hop->target = PyObject_AsFileDescriptor(args[1]);
    if (hop->target < 0) return -1;
    unsigned long head = PyLong_AsUnsignedLong(args[3]);
    if (head == (unsigned long)-1 && PyErr_Occurred()) return -1;
    if (head > UINT32_MAX || head & 0xFFFFFF) {
        PyErr_Format(PyExc_ValueError, "head 0x%lx: a type and a use, without a length", head);
        return -1;
    }
    hop->head = (uint32_t)head;
    if (PyObject_GetBuffer(args[2], &hop->buffer, PyBUF_WRITABLE) < 0) return -1;
    if (hop->buffer.len <= HEAD_BYTES || hop->buffer.len > MAX_BYTES) {
        PyErr_Format(PyExc_ValueError, "buffer of %zd bytes: more than %d, at most %d", hop->buffer.len, HEAD_BYTES, MAX_BYTES);
        PyBuffer_Release(&hop->buffer);
        return -1;
    }
    return 0;
}

static long long receive(int source, uint8_t *room, size_t size) {
    ssize_t count;
    do
        count = recv(source, room, size, MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    return count >= 0 ? count : is_to_wait() ? NOTHING : FAILED;
}

static long long send_whole(int target, const uint8_t *data, size_t size) {
    ssize_t sent;
    do
        sent = send(target, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0) return (long long)(size - (size_t)sent) << UNSENT_SHIFT;
    return (long long)size << UNSENT_SHIFT | (is_to_wait() ? 0 : BROKEN);
}

static void write_head(uint8_t *at, uint32_t head) {
    at[0] = (uint8_t)(head >> 24);
    at[1] = (uint8_t)(head >> 16);
    at[2] = (uint8_t)(head >> 8);
    at[3] = (uint8_t)head;
}

static uint32_t read_head(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static PyObject *forward(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    struct hop hop;
    if (read_arguments(args, count, "forward", &hop) < 0) return NULL;
    uint8_t *frame = hop.buffer.buf;
    long long taken = receive(hop.source, frame + HEAD_BYTES, (size_t)hop.buffer.len - HEAD_BYTES);
    if (taken > 0) {
        write_head(frame, hop.head | (uint32_t)taken);
        taken |= send_whole(hop.target, frame, (size_t)taken + HEAD_BYTES);
    }
    PyBuffer_Release(&hop.buffer);
    return PyLong_FromLongLong(taken);
}

static PyObject *deliver(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    struct hop hop;
    if (read_arguments(args, count, "deliver", &hop) < 0) return NULL;
    const uint8_t *inbox = hop.buffer.buf;
    long long taken = receive(hop.source, hop.buffer.buf, (size_t)hop.buffer.len);
    if (taken > HEAD_BYTES && read_head(inbox) == (hop.head | (uint32_t)(taken - HEAD_BYTES)))
        taken |= send_whole(hop.target, inbox + HEAD_BYTES, (size_t)taken - HEAD_BYTES);
    else if (taken > 0)
        taken |= PARSE;
    PyBuffer_Release(&hop.buffer);
    return PyLong_FromLongLong(taken);
}

static PyObject *describe(const struct sockaddr_storage *name) {
    char host[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)name;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)name;
    switch (name->ss_family) {
    case AF_INET:
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        return Py_BuildValue("(si)", host, ntohs(v4->sin_port));
    case AF_INET6:
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        return Py_BuildValue("(siII)", host, ntohs(v6->sin6_port), ntohl(v6->sin6_flowinfo), v6->sin6_scope_id);
    default:
        return PyErr_Format(PyExc_ValueError, "peer of the address family %d, which is none of IP", name->ss_family);
    }
}

static PyObject *accept_next(PyObject *module, PyObject *argument) {
    int listener = PyObject_AsFileDescriptor(argument), descriptor;
    if (listener < 0) return NULL;
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof peer;
    do
        descriptor = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0) return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *name = describe(&peer);
    PyObject *accepted = name == NULL ? NULL : Py_BuildValue("(iN)", descriptor, name);
    if (accepted == NULL) close(descriptor);
    return accepted;
}

static socklen_t read_address(PyObject *argument, struct sockaddr_storage *address) {
    const char *host;
    int port;
    unsigned int flow = 0, scope = 0;
    if (!PyTuple_Check(argument)) {
        PyErr_SetString(PyExc_TypeError, "address: a tuple of host and port, for IPv6 flow and scope, too");
        return 0;
    }
    int is_v6 = PyTuple_GET_SIZE(argument) == 4;
    if (!PyArg_ParseTuple(argument, is_v6 ? "siII" : "si", &host, &port, &flow, &scope)) return 0;
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    if (inet_pton(is_v6 ? AF_INET6 : AF_INET, host, is_v6 ? (void *)&v6->sin6_addr : &v4->sin_addr) != 1) {
        PyErr_Format(PyExc_ValueError, "%s is no address of IPv%d", host, is_v6 ? 6 : 4);
        return 0;
    }
    if (port < 0 || port > UINT16_MAX) {
        PyErr_SetString(PyExc_OverflowError, "port must be 0 to 65535");
        return 0;
    }
    address->ss_family = is_v6 ? AF_INET6 : AF_INET;
    if (!is_v6) {
        v4->sin_port = htons((uint16_t)port);
        return sizeof *v4;
    }
    v6->sin6_port = htons((uint16_t)port);
    v6->sin6_flowinfo = htonl(flow);
    v6->sin6_scope_id = scope;
    return sizeof *v6;
}

static int begin_connection(int descriptor, const struct sockaddr_storage *address, socklen_t size, int unsent) {
    const struct linger abort = {.l_onoff = 1, .l_linger = 0};
    const int on = 1;
    if (setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &abort, sizeof abort) < 0) return -1;
    if (setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) return -1;
    if (setsockopt(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent) < 0) return -1;
    int result = connect(descriptor, (const struct sockaddr *)address, size);
    return result == 0 || errno == EINPROGRESS ? 0 : -1;
}

static PyObject *connect_to(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 2) return PyErr_Format(PyExc_TypeError, "connect() takes 2 arguments: address, unsent");
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = read_address(args[0], &address);
    if (size == 0) return NULL;
    int unsent = PyLong_AsInt(args[1]);
    if (unsent == -1 && PyErr_Occurred()) return NULL;
    int descriptor = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return PyErr_SetFromErrno(PyExc_OSError);
    if (begin_connection(descriptor, &address, size, unsent) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        close(descriptor);
        return NULL;
    }
    return PyLong_FromLong(descriptor);
}

static PyObject *end_on_close(PyObject *module, PyObject *argument) {
    int descriptor = PyObject_AsFileDescriptor(argument);
    if (descriptor < 0) return NULL;
    const struct linger none = {.l_onoff = 0, .l_linger = 0};
    if (setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &none, sizeof none) < 0) return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"accept", accept_next, METH_O, "accept(listener, /)\n--\n\n"},
    {"connect", (PyCFunction)(void (*)(void))connect_to, METH_FASTCALL, "connect(address, unsent, /)\n--\n\n"},
    {"end_on_close", end_on_close, METH_O, "end_on_close(descriptor, /)\n--\n\n"},
    {"forward", (PyCFunction)(void (*)(void))forward, METH_FASTCALL, "forward(source, target, frame, head, /)\n--\n\n"},
    {"deliver", (PyCFunction)(void (*)(void))deliver, METH_FASTCALL, "deliver(source, target, inbox, head, /)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "towonel.relay.hop._compiled",
    .m_doc = "Hop of a message, and the calls of a connection, compiled.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__compiled(void) { return PyModuleDef_Init(&definition); }
