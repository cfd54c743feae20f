"""Index of routes in one block of memory, which processes share: a hash table with open addressing.

    | header (80) | slots, 8 bytes each | records ... |

    slot      0: free · 1: removed · else 24 bits of the key's hash, and 40 of the place of a record
    record    | kind (1) | mode of TLS, 0x80 with HTTP/2 (1) | port (2) | length of the name (2) | of networks (2) | tenant (32) |
              | name | networks |

A key is found in the slot that the low bits of its hash name, or in one of those behind it, up to the first
free one; at most half of them are taken. The hash has a random key, so that no tenant can choose names that
meet in one place. Numbers are in the byte order of the machine, which an index never leaves.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Final

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.client_networks import decode_networks
from towonel.wire.routes import Route, TlsMode

MAGIC: Final = b"towonel routes\0i"
VERSION: Final = 3
SEED_BYTES: Final = 16
SLOT_BYTES: Final = 8
FREE: Final = 0
REMOVED: Final = 1
TAG_SHIFT: Final = 40
PLACE_MASK: Final = (1 << TAG_SHIFT) - 1
_HEAD: Final = struct.Struct("=16sII16sQQQQ8x")  # followed by slots, which are aligned
HEAD_BYTES: Final = _HEAD.size
_MAX_SLOT_BITS: Final = 32
_RECORD: Final = struct.Struct("=BBHHH32s")
RECORD_BYTES: Final = _RECORD.size  # without its name and the networks of its clients
_CACHED: Final = 4096  # keys that are found again without a search
_KINDS: Final = (ServiceKind.HTTPS, ServiceKind.TCP, ServiceKind.UDP)
_MODES: Final = (TlsMode.PASSTHROUGH, TlsMode.TERMINATE, TlsMode.AGENT)
_HTTPS: Final = _KINDS.index(ServiceKind.HTTPS)
_HTTP2: Final = 0x80  # beside the mode

type Find = Callable[[str], Route | None]


@dataclass(frozen=True, slots=True)
class IndexHead:
    """Header of an index.

    Args:
        slot_bits: the number of slots is this power of 2.
        seed: key of the hash.
        count: routes.
        taken: slots that are not free.
        live: bytes of the records of these routes.
        length: bytes of the index in all.
    """

    slot_bits: int
    seed: bytes
    count: int
    taken: int
    live: int
    length: int

    @property
    def slots(self) -> int:
        """Slots there are."""
        return 1 << self.slot_bits

    @property
    def records_at(self) -> int:
        """Place of the first record."""
        return HEAD_BYTES + SLOT_BYTES * self.slots

    def encode(self) -> bytes:
        """Return the header's bytes."""
        return _HEAD.pack(
            MAGIC,
            VERSION,
            self.slot_bits,
            self.seed,
            self.count,
            self.taken,
            self.live,
            self.length,
        )


def decode_head(data: memoryview) -> IndexHead:
    """Return the header of an index.

    Raises:
        ProtocolError: MALFORMED, UNSUPPORTED_VERSION.
    """
    if len(data) < HEAD_BYTES or bytes(data[: len(MAGIC)]) != MAGIC:
        raise ProtocolError(Code.MALFORMED, "not an index of routes")
    _, version, *fields = _HEAD.unpack_from(data)
    if version != VERSION:
        raise ProtocolError(
            Code.UNSUPPORTED_VERSION, f"index of routes of version {version}, not {VERSION}"
        )
    head = IndexHead(*fields)
    if head.length != len(data):
        raise ProtocolError(
            Code.MALFORMED, f"index of routes of {head.length} bytes has {len(data)}"
        )
    if head.slot_bits > _MAX_SLOT_BITS or not head.records_at <= head.length:
        raise ProtocolError(Code.MALFORMED, f"index of routes with 2**{head.slot_bits} slots")
    if not head.count <= head.taken <= head.slots // 2:
        raise ProtocolError(Code.MALFORMED, f"index of routes with {head.taken} slots taken")
    return head


def hash_key(seed: bytes, key: str) -> int:
    """Return the hash of a route's key."""
    return int.from_bytes(blake2b(key.encode(), digest_size=SLOT_BYTES, key=seed).digest())


def tag_of(hashed: int) -> int:
    """Return what a slot has of a hash: never 0, which stands in slots without a route."""
    return hashed >> TAG_SHIFT | 1


def encode_record(route: Route) -> bytes:
    """Return the record of a route."""
    name = route.name.encode()
    networks = b"" if route.clients is None else route.clients.encode().encode()
    return (
        _RECORD.pack(
            _KINDS.index(route.kind),
            _MODES.index(route.tls_mode) | (_HTTP2 if route.http2 else 0),
            route.port or 0,
            len(name),
            len(networks),
            route.tenant_id,
        )
        + name
        + networks
    )


def record_length(data: memoryview, place: int) -> int:
    """Return the bytes of a record."""
    _, _, _, name, networks, _ = _RECORD.unpack_from(data, place)
    return RECORD_BYTES + int(name) + int(networks)


def read_key(data: memoryview, place: int) -> str:
    """Return the key of the route in a record, as `Route.key` has it."""
    kind, _, port, length, _, _ = _RECORD.unpack_from(data, place)
    if kind != _HTTPS:
        return f"{_KINDS[kind]}:{port}"
    begin = place + RECORD_BYTES
    return "https:" + str(data[begin : begin + length], "utf-8")


def read_route(data: memoryview, place: int) -> Route:
    """Return the route in a record."""
    kind: int
    mode: int
    kind, mode, port, length, networks, tenant = _RECORD.unpack_from(data, place)
    begin = place + RECORD_BYTES
    end = begin + length
    return Route(
        _KINDS[kind],
        str(data[begin:end], "utf-8"),
        TenantId(tenant),
        None if kind == _HTTPS else port,
        _MODES[mode & ~_HTTP2],
        decode_networks(str(data[end : end + networks], "utf-8")),
        http2=bool(mode & _HTTP2),
    )


class RouteIndex:
    """Index of routes that is read only, and ready as soon as it is mapped.

    Args:
        data: stays mapped as long as this is there.

    Attributes:
        data: the same.
        head: its header.
        find: returns the route of a key; those that were asked for last are remembered.
        search: the same, without remembering.

    Raises:
        ProtocolError: MALFORMED, UNSUPPORTED_VERSION.
    """

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.head = head = decode_head(data)
        self.slots = data[HEAD_BYTES : head.records_at].cast("Q")
        self.search: Find = partial(_search, data, self.slots, head.slots - 1, head.seed)
        self.find: Find = lru_cache(_CACHED)(self.search)

    def __len__(self) -> int:
        return self.head.count

    def places(self) -> Iterator[int]:
        """Yield the places of all records."""
        for slot in self.slots:
            if slot > REMOVED:
                yield slot & PLACE_MASK

    def routes(self) -> Iterator[Route]:
        """Yield all routes, in no order."""
        return (read_route(self.data, place) for place in self.places())


def _search(
    data: memoryview, slots: "memoryview[int]", mask: int, seed: bytes, key: str
) -> Route | None:
    hashed = hash_key(seed, key)
    tag, at = tag_of(hashed), hashed & mask
    while slot := slots[at]:
        if slot >> TAG_SHIFT == tag:
            route = read_route(data, slot & PLACE_MASK)
            if route.key == key:
                return route
        at = (at + 1) & mask
    return None
