"""Codec of CBOR: untrusted input is one plain item, or one error."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire import cbor
from towonel.wire.cbor import Fields
from towonel.wire.errors import Code, ProtocolError

BAD = {
    "nothing": b"",
    "two items": b"\x01\x02",
    "an indefinite array": b"\x9f\xff",
    "a key twice": b"\xa2\x61a\x01\x61a\x02",
    "a key that is a number": b"\xa1\x01\x02",
    "an array longer than the rest": b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
    "bytes longer than the rest": b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
    "nesting": b"\x81" * 50 + b"\x01",
    "text that is not UTF-8": b"\x61\xff",
    "a date that is none": b"\xc0\x61x",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_one_plain_item_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        cbor.decode(BAD[name])

    assert caught.value.code is Code.MALFORMED


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        cbor.decode(data)
    except ProtocolError as error:
        assert error.code is Code.MALFORMED


def test_each_reader_takes_its_kind() -> None:
    fields = Fields.of({"b": b"12", "n": 3, "t": "x", "f": True, "l": [1]})

    assert fields.octets("b", 2) == b"12"
    assert fields.uint("n", 3) == 3
    assert fields.text("t", 1) == "x"
    assert fields.flag("f") is True
    assert fields.items("l", 1) == [1]


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        ("octets", "text"), ("octets", b"12345"), ("octets", b"1"), ("uint", -1), ("uint", 5),
        ("uint", True), ("uint", 1.0), ("uint", 2**70), ("text", b"x"), ("text", "12345"),
        ("flag", 1), ("flag", None), ("items", {}), ("items", [1] * 5),
    ],
)  # fmt: skip
def test_another_kind_or_size_is_refused_by_the_name_of_the_field(
    reader: str, value: object
) -> None:
    fields = Fields.of({"field": value})
    limits = {"octets": {"size": 2, "at_most": 4}, "flag": {}}.get(reader, {"at_most": 4})

    with pytest.raises(ProtocolError, match="field") as caught:
        getattr(fields, reader)("field", **limits)

    assert caught.value.code is Code.MALFORMED


def test_fields_are_of_a_map() -> None:
    with pytest.raises(ProtocolError, match="expected a map"):
        Fields.of([1])


def test_what_we_encode_is_what_others_read() -> None:
    assert cbor2.loads(cbor.encode({"a": [1, b"x"]})) == {"a": [1, b"x"]}


@pytest.mark.parametrize("count", [0, 23, 24, 255, 256, 65_535, 65_536])
def test_the_head_of_an_array_is_as_short_as_its_count_allows(count: int) -> None:
    whole = cbor2.dumps([0] * count)

    assert cbor.array_head(count) == whole[: len(whole) - count]


def test_an_array_has_at_most_as_many_items_as_its_head_can_count() -> None:
    with pytest.raises(AssertionError, match=r"2\*\*32 items"):
        cbor.array_head(1 << 32)
