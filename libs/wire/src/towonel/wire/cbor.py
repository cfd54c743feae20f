"""Codec of CBOR for untrusted input: one item, decoded within bounds, and typed readers of fields."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import cbor2

from towonel.wire.errors import Code, ProtocolError

MAX_DEPTH = 8  # nothing of ours nests deeper than five
MAX_UINT = 2**63 - 1  # fits a signed 64-bit column
_FIRST_LONG = 24  # counts below it stand in the head's own byte; RFC 8949 §3


def encode(value: object) -> bytes:
    """Return the encoding of a plain value, its map keys in the order they were put in."""
    return cbor2.dumps(value)


def array_head(count: int) -> bytes:
    """Return the head of an array of `count` items, which follow it one by one.

    Source: RFC 8949 §3, major type 4.
    """
    for size, info in ((1, 24), (2, 25), (4, 26)):
        if count < _FIRST_LONG:
            return bytes([0x80 | count])
        if count < 1 << (8 * size):
            return bytes([0x80 | info]) + count.to_bytes(size)
    raise AssertionError("no array of ours has 2**32 items")


def map_head(count: int) -> bytes:
    """Return the head of a map of at most 23 keys, each followed by its value.

    Source: RFC 8949 §3, major type 5.
    """
    assert count < _FIRST_LONG, "a map of ours has a handful of keys"
    return bytes([0xA0 | count])


def decode(data: bytes) -> object:
    """Return the one item that `data` holds, which has definite lengths and no double keys.

    Raises:
        ProtocolError: MALFORMED.
    Source: RFC 8949 §5.3.
    """
    stream = io.BytesIO(data)
    try:
        item: object = cbor2.CBORDecoder(
            stream,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        ).decode()
    except Exception as error:  # tags decode to many types, and fail in as many ways
        raise ProtocolError(Code.MALFORMED, f"not CBOR: {type(error).__name__}") from error
    if stream.tell() != len(data):
        raise ProtocolError(Code.MALFORMED, f"{len(data) - stream.tell()} bytes after the item")
    return item


@dataclass(frozen=True, slots=True)
class Fields:
    """Fields of one map; the error of each reader names the field and the rule that it breaks."""

    values: Mapping[str, Any]

    @classmethod
    def of(cls, value: object) -> "Fields":
        """Take a decoded item as a map; unknown keys are ignored."""
        if not isinstance(value, dict):
            raise ProtocolError(Code.MALFORMED, "expected a map")
        return cls(cast("Mapping[str, Any]", value))

    def octets(self, name: str, size: int | None = None, *, at_most: int = 65_536) -> bytes:
        """Return a byte string of `size` bytes, or of at most `at_most`."""
        value = self.values.get(name)
        if not isinstance(value, bytes) or len(value) > at_most:
            raise field_error(name, f"must be at most {at_most} bytes")
        if size is not None and len(value) != size:
            raise field_error(name, f"must be {size} bytes")
        return value

    def uint(self, name: str, at_most: int = MAX_UINT) -> int:
        """Return an integer from 0 to `at_most`."""
        value = self.values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= at_most:
            raise field_error(name, f"must be an integer from 0 to {at_most}")
        return value

    def text(self, name: str, at_most: int) -> str:
        """Return a text of at most `at_most` characters."""
        value = self.values.get(name)
        if not isinstance(value, str) or len(value) > at_most:
            raise field_error(name, f"must be a text of at most {at_most} characters")
        return value

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self.values.get(name)
        if not isinstance(value, bool):
            raise field_error(name, "must be true or false")
        return value

    def items(self, name: str, at_most: int) -> list[object]:
        """Return an array of at most `at_most` items."""
        value = self.values.get(name)
        if not isinstance(value, list):
            raise field_error(name, "must be an array")
        items = cast("list[object]", value)
        if len(items) > at_most:
            raise field_error(name, f"must have at most {at_most} items")
        return items


def field_error(name: str, rule: str) -> ProtocolError:
    """Return the error for a field that breaks a rule."""
    return ProtocolError(Code.MALFORMED, f"{name} {rule}")
