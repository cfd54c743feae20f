"""Ownership: the most specific invite owns a name, checked against the plainest model."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.hostnames import covers

from towonel.hub.core.ownership import (
    candidates,
    find_owner,
    find_taken,
    is_covered,
    is_wildcard,
)
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname

A, B, C = (TenantId(bytes([n]) * 32) for n in range(3))
LABELS = st.sampled_from(["a", "b", "c"])
NAMES = st.lists(LABELS, min_size=2, max_size=4).map(".".join).map(Hostname)
PATTERNS = st.one_of(NAMES, NAMES.map(lambda name: Hostname(f"*.{name}")))


def owners(**patterns: TenantId) -> dict[Hostname, TenantId]:
    return {Hostname(name.replace("_", ".").replace("any", "*")): t for name, t in patterns.items()}


def test_a_name_can_be_owned_by_itself_and_by_every_level_above() -> None:
    assert candidates(Hostname("a.b.example.eu")) == (
        "a.b.example.eu",
        "*.b.example.eu",
        "*.example.eu",
        "*.eu",
    )
    assert candidates(Hostname("*.b.eu")) == ("*.b.eu", "*.eu")


def test_a_name_is_covered_by_a_wildcard_of_any_level_above_and_by_no_other() -> None:
    above = [Hostname("*.b.example.eu"), Hostname("*.example.eu"), Hostname("*.eu")]
    beside = [Hostname(name) for name in ("a.b.example.eu", "*.a.b.example.eu", "*.org", "*.c.eu")]

    assert all(is_covered(Hostname("a.b.example.eu"), [wildcard]) for wildcard in above)
    assert not is_covered(Hostname("a.b.example.eu"), beside)


@given(PATTERNS, st.frozensets(PATTERNS.filter(is_wildcard), max_size=4))
@example(Hostname("a.b.c"), frozenset({Hostname("*.c")}))  # chance alone seldom finds one
def test_a_name_is_covered_by_the_wildcards_that_could_own_it(
    name: Hostname, wildcards: frozenset[Hostname]
) -> None:
    assert is_covered(name, wildcards) == bool(wildcards.intersection(candidates(name)))


def test_an_exact_invite_beats_anothers_wildcard_and_the_longer_wildcard_the_shorter() -> None:
    found = owners(any_example_eu=A, app_example_eu=B, any_b_example_eu=C)

    assert find_owner(Hostname("app.example.eu"), found) == B
    assert find_owner(Hostname("other.example.eu"), found) == A
    assert find_owner(Hostname("x.b.example.eu"), found) == C
    assert find_owner(Hostname("x.y.example.eu"), found) == A


@pytest.mark.parametrize("name", ["example.eu", "evilexample.eu", "other.org"])
def test_a_wildcard_owns_nothing_beside_or_above_it(name: str) -> None:
    assert find_owner(Hostname(name), owners(any_example_eu=A)) is None


@pytest.mark.branches
@given(PATTERNS, st.dictionaries(PATTERNS, st.sampled_from([A, B, C]), max_size=6))
def test_the_owner_is_that_of_the_longest_pattern_that_covers_the_name(
    name: Hostname, found: dict[Hostname, TenantId]
) -> None:
    covering = [pattern for pattern in found if covers(pattern, name)]
    best = max(covering, key=lambda p: (p == name, len(p.split("."))), default=None)

    assert find_owner(name, found) == (found[best] if best else None)


def test_equal_claims_are_told() -> None:
    held = owners(any_example_eu=A)

    assert find_taken([Hostname("*.example.eu"), Hostname("app.example.eu")], held) == [
        "*.example.eu"
    ]


def test_a_wildcard_is_told_from_a_name() -> None:
    assert is_wildcard(Hostname("*.example.eu"))
    assert not is_wildcard(Hostname("example.eu"))
