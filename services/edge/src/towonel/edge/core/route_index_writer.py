"""Writer of an index of routes: a new one, or a copy of an older one to which changes are made.

Changes to a copy cost as much as there are changes, so that a table of any size can be renewed often. Bytes of
records that nobody finds any more stay in it, up to a quarter; then, and where slots get few, it is written anew.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from towonel.edge.core.route_index import (
    FREE,
    HEAD_BYTES,
    PLACE_MASK,
    REMOVED,
    TAG_SHIFT,
    IndexHead,
    RouteIndex,
    encode_record,
    hash_key,
    read_key,
    record_length,
    tag_of,
)
from towonel.wire.routes import Route

type Change = tuple[str, Route | None]  # of a key; None where its route went
type Changes = Callable[[], Iterable[Change]]  # again and again; of two of a key the later holds
type Pause = Callable[[], None]

_MIN_SLOT_BITS: Final = 3
_AT_ONCE: Final = 500  # routes between two pauses: a millisecond or two of work
_COPIED_AT_ONCE: Final = 512 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """Plan of an index to write.

    Args:
        is_copy: whether it begins as a copy of the one before.
        size: bytes that it takes at most.
        slot_bits: of a new one.
    """

    is_copy: bool
    size: int
    slot_bits: int


def plan_index(before: RouteIndex, changes: Changes) -> IndexPlan:
    """Return how an index that differs in some routes is written."""
    head, count, added = before.head, 0, 0
    for _, route in changes():
        count += 1
        added += 0 if route is None else len(encode_record(route))
    dead = head.length - head.records_at - head.live
    if (head.taken + count) * 2 <= head.slots and dead * 4 <= head.live:
        return IndexPlan(is_copy=True, size=head.length + added, slot_bits=head.slot_bits)
    most = head.count + count
    slot_bits = max(_MIN_SLOT_BITS, (2 * most + most // 2).bit_length())  # room for a quarter more
    size = HEAD_BYTES + (8 << slot_bits) + head.live + added
    return IndexPlan(is_copy=False, size=size, slot_bits=slot_bits)


def write_index(
    memory: memoryview, plan: IndexPlan, before: RouteIndex, changes: Changes, pause: Pause
) -> int:
    """Write an index, and return its length.

    Args:
        memory: zeros, as many as the plan says.
        plan: for these changes.
        before: the index that is changed; its seed stays.
        changes: to its routes.
        pause: is called between two parts of the work, of a millisecond or two each.
    """
    if plan.is_copy:
        _copy(before.data, memory, pause)
        writer = IndexWriter(memory, before.head)
    else:
        writer = IndexWriter(memory, _new_head(plan.slot_bits, before.head.seed))
        for place in _with_pauses(before.places(), pause):
            record = before.data[place : place + record_length(before.data, place)]
            writer.put(read_key(before.data, place), record)
    for key, route in _with_pauses(changes(), pause):
        if route is None:
            writer.remove(key)
        else:
            writer.put(key, encode_record(route))
    return writer.finish()


class IndexWriter:
    """Writer of records and slots.

    Args:
        memory: where the index is, or will be.
        head: its header as of now.
    """

    def __init__(self, memory: memoryview, head: IndexHead) -> None:
        self._memory = memory
        self._head = head
        self._slots = memory[HEAD_BYTES : head.records_at].cast("Q")
        self._mask = head.slots - 1
        self._end = head.length
        self._count, self._taken, self._live = head.count, head.taken, head.live

    def put(self, key: str, record: bytes | memoryview) -> None:
        """Write a route, in place of the one with the same key."""
        tag, at, slot = self._find(key)
        if slot > REMOVED:
            self._live -= record_length(self._memory, slot & PLACE_MASK)
        else:
            self._count += 1
            self._taken += slot == FREE
        end = self._end + len(record)
        self._memory[self._end : end] = record
        self._slots[at] = tag << TAG_SHIFT | self._end
        self._end = end
        self._live += len(record)

    def remove(self, key: str) -> None:
        """Remove a route, if it is there."""
        _, at, slot = self._find(key)
        if slot > REMOVED:
            self._live -= record_length(self._memory, slot & PLACE_MASK)
            self._count -= 1
            self._slots[at] = REMOVED

    def finish(self) -> int:
        """Write the header, and return the length of the index."""
        head = replace(
            self._head, count=self._count, taken=self._taken, live=self._live, length=self._end
        )
        self._memory[:HEAD_BYTES] = head.encode()
        self._slots.release()
        return self._end

    def _find(self, key: str) -> tuple[int, int, int]:
        """Return a key's tag, the slot that is its or can be, and what is in it."""
        hashed = hash_key(self._head.seed, key)
        tag, at = tag_of(hashed), hashed & self._mask
        slots, reusable = self._slots, -1
        while slot := slots[at]:
            if slot == REMOVED:
                reusable = at if reusable < 0 else reusable
            elif slot >> TAG_SHIFT == tag and read_key(self._memory, slot & PLACE_MASK) == key:
                return tag, at, slot
            at = (at + 1) & self._mask
        return (tag, at, FREE) if reusable < 0 else (tag, reusable, REMOVED)


def make_empty_index(seed: bytes) -> RouteIndex:
    """Return an index without a route."""
    head = _new_head(_MIN_SLOT_BITS, seed)
    memory = bytearray(head.length)
    memory[:HEAD_BYTES] = head.encode()
    return RouteIndex(memoryview(memory))


def _new_head(slot_bits: int, seed: bytes) -> IndexHead:
    head = IndexHead(slot_bits, seed, 0, 0, 0, 0)
    return replace(head, length=head.records_at)


def _copy(data: memoryview, memory: memoryview, pause: Pause) -> None:
    for begin in range(0, len(data), _COPIED_AT_ONCE):
        some = data[begin : begin + _COPIED_AT_ONCE]
        memory[begin : begin + len(some)] = some
        pause()


def _with_pauses[T](items: Iterable[T], pause: Pause) -> Iterator[T]:
    for number, item in enumerate(items, 1):
        yield item
        if number % _AT_ONCE == 0:
            pause()
