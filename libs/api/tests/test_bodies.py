"""Bodies are checked where they are made: what contradicts itself is no body."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from towonel.api.fields import Hex32
from towonel.api.keys import KeyOut
from towonel.api.ports import PortRange, ReservationIn
from towonel.api.rules import describe_rule
from towonel.api.services import ServiceIn

ID = b"\xab" * 32
AT = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 65_535), (80, 81)])
def test_a_range_goes_from_its_first_to_its_last_port(first: int, last: int) -> None:
    made = PortRange(protocol="tcp", first_port=first, last_port=last)

    assert (made.first_port, made.last_port) == (first, last)


@pytest.mark.parametrize(("first", "last"), [(2, 1), (0, 1), (1, 65_536)])
def test_a_range_that_is_none_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValidationError):
        PortRange(protocol="tcp", first_port=first, last_port=last)


@pytest.mark.parametrize(
    ("first", "last"), [(None, None), (80, None), (80, 80), (80, 81), (65_535, 65_535)]
)
def test_a_reservation_is_for_any_port_or_one_or_a_range(
    first: int | None, last: int | None
) -> None:
    made = ReservationIn(tenant_id=ID, protocol="udp", first_port=first, last_port=last)

    assert (made.first_port, made.last_port) == (first, last)


@pytest.mark.parametrize(("first", "last"), [(None, 80), (None, 65_535), (81, 80), (0, None)])
def test_a_reservation_without_a_first_port_or_in_disorder_is_refused(
    first: int | None, last: int | None
) -> None:
    with pytest.raises(ValidationError):
        ReservationIn(tenant_id=ID, protocol="udp", first_port=first, last_port=last)


def test_an_id_is_bytes_and_in_json_hexadecimal() -> None:
    made = ReservationIn(tenant_id=ID, protocol="udp")
    text = made.model_dump_json()

    assert f'"tenant_id":"{"ab" * 32}"' in text
    assert made == ReservationIn.model_validate_json(text)
    assert made == ReservationIn.model_validate(made.model_dump())
    for mode in ("validation", "serialization"):
        schema = TypeAdapter(Hex32).json_schema(mode=mode)
        assert schema == {"type": "string", "pattern": "^[0-9a-f]{64}$"}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("AB" * 32, "string_pattern_mismatch"),
        ("ab" * 31, "string_pattern_mismatch"),
        ("ab" * 32 + "\n", "string_pattern_mismatch"),
        ("é" * 64, "string_pattern_mismatch"),
        (ID[1:], "string_type"),
        (ID + b"\n", "string_type"),
        (7, "string_type"),
        (None, "string_type"),
    ],
)
def test_what_is_no_id_is_refused(value: object, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ReservationIn.model_validate({"tenant_id": value, "protocol": "udp"})

    assert [error["type"] for error in caught.value.errors()] == [problem]


def test_the_secret_of_a_key_is_in_no_repr() -> None:
    made = KeyOut(
        key_id="AAAAAAAAAAA", name="n", role="viewer", tenant_id=None, status="active",
        created_at=AT, expires_at=None, last_used_at=None, rotated_at=None, key="tt_key_1_x",
    )  # fmt: skip

    assert "tt_key_1_x" not in repr(made)
    assert "tt_key_1_x" in made.model_dump_json()


@pytest.mark.parametrize("port", [None, 1, 65_535, "auto"])
def test_a_port_of_a_service_is_a_number_or_left_to_the_hub(port: int | str | None) -> None:
    made = ServiceIn.model_validate({"kind": "tcp", "name": "ssh", "port": port})

    assert made.port == port
    assert ServiceIn.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("port", "rule"),
    [
        (0, "must be at least 1"),
        (65_536, "must be at most 65535"),
        (22.5, "must be a whole number"),
        (True, "must be a whole number"),
        ([], "must be a whole number"),
        ("22", "must be a whole number, or auto"),
        ("Auto", "must be a whole number, or auto"),
    ],
)
def test_a_port_that_is_none_is_refused_as_a_value_of_its_field(port: object, rule: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ServiceIn.model_validate({"kind": "tcp", "name": "ssh", "port": port})
    (problem,) = caught.value.errors()

    assert (problem["loc"], describe_rule(problem)) == (("port",), rule)


def test_the_document_has_both_forms_of_a_port() -> None:
    schema = ServiceIn.model_json_schema()["properties"]["port"]

    assert schema["anyOf"] == [
        {"type": "integer", "minimum": 1, "maximum": 65_535},
        {"type": "null"},
        {"const": "auto", "type": "string"},
    ]
    assert schema["default"] is None
