/* Hop of a message: received of one socket, and sent to the other. interpreted.py says what each function does.
 *
 * Nothing here waits, allocates more than the integer that it returns, or keeps anything. Sockets are
 * non-blocking; MSG_DONTWAIT holds for one that is not. The interpreter's lock is kept: a worker has one thread.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>

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

static PyMethodDef functions[] = {
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
    .m_doc = "Hop of a message, compiled.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__compiled(void) { return PyModuleDef_Init(&definition); }
