"""UDP sockets of flows: what they receive says which address of this machine it came to, and answers leave from there."""

import contextlib
import ctypes
import socket
import struct
from typing import Final, NamedTuple

type SocketAddress = tuple[str, int] | tuple[str, int, int, int]
type LocalAddress = bytes  # as the kernel has it; empty where a socket has but one

BATCH: Final = 64  # datagrams a wake-up, before others get their turn
BUFFER_BYTES: Final = 4 * 1024 * 1024  # for a burst; as far as the system allows
MAX_DATAGRAM_BYTES: Final = 65_535
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; Python does not name them
_SO_ATTACH_REUSEPORT_CBPF: Final = 51
_IP_PKTINFO: Final = 8  # linux/in.h
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = (
    10,
    23,
    3,
)  # linux/in.h, in6.h: DF, whatever was heard of a path
_PKTINFO_OPTIONS: Final = {
    False: (socket.IPPROTO_IP, _IP_PKTINFO),
    True: (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO),
}
_RECEIVE_PKTINFO: Final = {
    False: (socket.IPPROTO_IP, _IP_PKTINFO),
    True: (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
}
_PKTINFO_V4: Final = struct.Struct("=i4s4s")  # interface, local address, destination
_PKTINFO_V6: Final = struct.Struct("=16si")
_UDP_SEGMENT, _UDP_GRO = 103, 104  # linux/udp.h
_SEGMENT_SIZE: Final = struct.Struct("=i")
_UINT16: Final = struct.Struct("=H")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_PKTINFO_V6.size) + socket.CMSG_SPACE(
    _SEGMENT_SIZE.size
)
_ANY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 asked, not bound
_LINK_LOCAL_V6: Final = b"\xfe\x80"
QUIC_FIRST: Final = 0x40  # first byte from which a packet may be of QUIC (RFC 9443)


class Endpoint(NamedTuple):
    """Other end of datagrams, and the address of this machine that it knows."""

    address: SocketAddress
    local: LocalAddress = b""


class DatagramSocket:
    """UDP socket that answers from the address that was asked.

    What comes of one source in a row, and has one size, may come in one call (UDP_GRO), and leave so.

    Args:
        sock: non-blocking, bound or connected, closed with this.
        peer: that it is connected to; None where it is only bound.

    Attributes:
        host: that it is bound to.
        is_v6: whether it is of IPv6, which may take IPv4 as well.
        has_segments: whether the kernel cuts what leaves in one call.
    """

    def __init__(self, sock: socket.socket, peer: Endpoint | None = None) -> None:
        self._sock = sock
        self._peer = peer
        self.is_v6 = sock.family == socket.AF_INET6
        self._pktinfo = _PKTINFO_OPTIONS[self.is_v6]
        self.host: str = sock.getsockname()[0]
        if peer is None and self.host in _ANY:
            sock.setsockopt(*_RECEIVE_PKTINFO[self.is_v6], 1)
        self.has_segments = _cuts_segments(sock)
        self._receive = sock.recvmsg
        self._latest: Endpoint | None = None  # that something came from

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._sock.fileno()

    def receive(self) -> tuple[list[bytes], Endpoint] | None:
        """Return datagrams that have come, and where they are from; None if none has, or never will.

        Raises:
            OSError: an ICMP error of an earlier send, which stands before what has come.
        """
        try:
            data, ancillary, _, address = self._receive(MAX_DATAGRAM_BYTES, _ANCILLARY_BYTES)
        except BlockingIOError:
            return None
        size, local = 0, b""
        for level, kind, value in ancillary:
            if level == socket.IPPROTO_UDP:
                (size,) = _SEGMENT_SIZE.unpack(value)
            elif (level, kind) == self._pktinfo:
                local = _to_local_v6(value) if self.is_v6 else _to_local_v4(value)
        endpoint = self._peer or self._name(address, local)
        if 0 < size < len(data):
            return [data[at : at + size] for at in range(0, len(data), size)], endpoint
        return [data], endpoint

    def _name(self, address: SocketAddress, local: LocalAddress) -> Endpoint:
        """Return the other end: the same object as before where it is the same."""
        latest = self._latest
        if latest is None or address != latest.address or local != latest.local:
            latest = self._latest = Endpoint(address, local)
        return latest

    def send(self, data: bytes, endpoint: Endpoint) -> None:
        """Send a datagram, from the address that the other end knows.

        Raises:
            OSError: it is not sent; BlockingIOError where the kernel has no room.
        """
        if self._peer is not None:
            self._sock.send(data)
        elif endpoint.local:
            self._sock.sendmsg((data,), ((*self._pktinfo, endpoint.local),), 0, endpoint.address)
        else:
            self._sock.sendto(data, endpoint.address)

    def send_run(self, run: list[bytes], size: int, endpoint: Endpoint) -> None:
        """Send datagrams of one size, the last of which may be shorter, in one call.

        Raises:
            OSError: none of them is sent; as of `send`, or the kernel cuts none of that size.
        """
        segment = (socket.IPPROTO_UDP, _UDP_SEGMENT, _UINT16.pack(size))
        if self._peer is not None:
            self._sock.sendmsg(run, (segment,))
        elif endpoint.local:
            local = (*self._pktinfo, endpoint.local)
            self._sock.sendmsg(run, (segment, local), 0, endpoint.address)
        else:
            self._sock.sendmsg(run, (segment,), 0, endpoint.address)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


def _cuts_segments(sock: socket.socket) -> bool:
    """Have the kernel join what comes in a row; return whether it cuts what leaves in one call, too."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        sock.getsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT)
    except OSError:  # before Linux 5.0
        return False
    return True


def bind_datagrams(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """Return a non-blocking UDP socket bound to an address; `::` takes IPv4 too.

    Raises:
        OSError: the address is not this machine's, or taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, is_shared)
        if host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        enlarge_buffers(sock)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def enlarge_buffers(sock: socket.socket) -> None:
    """Let the kernel hold a burst of datagrams, as many as it allows this process."""
    for force, option in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, BUFFER_BYTES)
        except OSError:  # not privileged: as much as net.core.rmem_max and wmem_max allow
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)


def forbid_fragmentation(sock: socket.socket) -> None:
    """Let no router cut what is sent, nor this machine: packets that are too large are lost, or an error."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
    with contextlib.suppress(OSError):  # a socket of IPv6 alone
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)


def bind_beside_quic(host: str, port: int) -> socket.socket:
    """Return a socket for what comes to the shared port of a QUIC endpoint, and is not of QUIC.

    Raises:
        OSError: the system has no such filters, or the port is not shared.
    """
    sock = bind_datagrams(host, port, is_shared=True)
    # Classic BPF: the result is the number of the socket in the group, in the order of binding.
    program = struct.pack(
        "=" + "HBBI" * 4,
        *(0x30, 0, 0, 0),  # load the first byte of the payload
        *(0x35, 1, 0, QUIC_FIRST),  # one or more: skip an instruction
        *(0x06, 0, 0, 1),  # return 1
        *(0x06, 0, 0, 0),  # return 0
    )
    held = ctypes.create_string_buffer(program, len(program))
    filters = struct.pack("@HP", 4, ctypes.addressof(held))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, filters)
    except OSError:
        sock.close()
        raise
    return sock


def _to_local_v4(info: bytes) -> LocalAddress:
    """Return the control message by which an answer leaves from where a datagram came to."""
    _, local, _ = _PKTINFO_V4.unpack(info)
    return _PKTINFO_V4.pack(0, local, b"\0\0\0\0")


def _to_local_v6(info: bytes) -> LocalAddress:
    address, interface = _PKTINFO_V6.unpack(info)
    return _PKTINFO_V6.pack(address, interface if address[:2] == _LINK_LOCAL_V6 else 0)


def local_host(local: LocalAddress) -> str:
    """Return the address that a control message names."""
    if len(local) == _PKTINFO_V6.size:
        return socket.inet_ntop(socket.AF_INET6, local[:16])
    return socket.inet_ntop(socket.AF_INET, local[4:8])
