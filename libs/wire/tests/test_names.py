"""Names: which hostnames, service names and groups are valid, and which wildcard routes a name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import (
    Hostname,
    ServiceKey,
    ServiceKind,
    parse_group,
    parse_hostname,
    parse_region,
    parse_server_name,
    parse_service_key,
    parse_service_name,
    parse_service_pair,
    wildcard_of,
)

LABEL = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,6}[a-z0-9_])?", fullmatch=True)
NAMES = st.lists(LABEL, min_size=2, max_size=5).map(".".join)
LONG = "a." * 126 + "a"
BAD = [
    "", "single", "*", "*.", ".eu", "a.eu.", "a..eu", "-a.eu", "a-.eu", "a b.eu", "a.*.eu",
    "x*.a.eu", "a,b.eu", "a\0.eu", "tcp:x.eu", "é.eu", "\u212a.eu", f"{'a' * 64}.eu", f"{LONG}.aa",
]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["a.eu", "*.eu", "*.a.eu", "xn--bcher-kva.eu", "1.2.3.4", "a_b.eu", "_a.eu", "*.a_.eu", LONG],
)
def test_ordinary_names_and_patterns_are_taken(text: str) -> None:
    assert parse_hostname(text) == text


def test_case_does_not_matter() -> None:
    assert parse_hostname("App.Example.EU") == "app.example.eu"
    assert parse_server_name("App_1.Example.EU") == "app_1.example.eu"


@pytest.mark.parametrize("text", BAD)
def test_other_names_are_refused_with_the_rule(text: str) -> None:
    with pytest.raises(ProtocolError) as pattern:
        parse_hostname(text)
    with pytest.raises(ProtocolError) as requested:
        parse_server_name(text)

    assert pattern.value.code is Code.BAD_NAME
    assert requested.value.code is Code.BAD_SNI
    assert repr(text)[:20] in pattern.value.detail


def test_a_client_cannot_ask_for_a_pattern() -> None:
    with pytest.raises(ProtocolError, match="is a pattern"):
        parse_server_name("*.example.eu")


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("a.example.eu", "*.example.eu"),
        ("a.b.c.eu", "*.b.c.eu"),
        ("example.eu", None),
        ("*.a.eu", None),
    ],
)
def test_a_name_is_routed_by_the_pattern_one_level_up(name: str, pattern: str | None) -> None:
    assert wildcard_of(Hostname(name)) == pattern


@given(st.text(max_size=300))
def test_any_text_is_a_lower_case_name_or_refused(text: str) -> None:
    try:
        name = parse_hostname(text)
    except ProtocolError as error:
        assert error.code is Code.BAD_NAME
    else:
        assert name == text.lower()
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-.*")


@pytest.mark.parametrize("text", ["ssh", "my service", "a" * 64, "é"])
def test_service_names_are_free_within_64_bytes(text: str) -> None:
    assert parse_service_name(text) == text


@pytest.mark.parametrize("text", ["", " a", "a ", "a" * 65, "é" * 33, "a\nb", "a\x00b", "a\x85b"])
def test_empty_long_and_unprintable_service_names_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_service_name(text)

    assert caught.value.code is Code.BAD_NAME


def test_a_service_key_is_checked_by_its_kind() -> None:
    assert parse_service_key(ServiceKind.TCP, "ssh") == ServiceKey(ServiceKind.TCP, "ssh")
    assert str(parse_service_key(ServiceKind.HTTPS, "*.A.eu")) == "https:*.a.eu"
    with pytest.raises(ProtocolError):
        parse_service_key(ServiceKind.HTTPS, "ssh")


@pytest.mark.parametrize("text", ["", "A", "a_b", "a" * 64, "a b", "é"])
def test_groups_are_short_lower_case_words(text: str) -> None:
    assert parse_group("default-2") == "default-2"
    with pytest.raises(ProtocolError) as caught:
        parse_group(text)

    assert caught.value.code is Code.BAD_NAME


@pytest.mark.parametrize("text", ["", " ", "a_b", "a" * 64, "eu west", "é", "eu,us"])
def test_regions_are_short_words_in_whatever_case(text: str) -> None:
    assert parse_region(" EU-West-1 ") == "eu-west-1"
    with pytest.raises(ProtocolError, match="us-east-1") as caught:
        parse_region(text)

    assert caught.value.code is Code.BAD_NAME


def test_a_service_travels_as_its_kind_and_its_name() -> None:
    assert str(parse_service_pair(["https", "A.eu"])) == "https:a.eu"
    for wrong in (None, [], ["https"], ["http", "a.eu"], [1, "a.eu"], ["tcp", 2]):
        with pytest.raises(ProtocolError) as caught:
            parse_service_pair(wrong)

        assert caught.value.code is Code.MALFORMED
