"""Index of a tenant's sessions by service."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.service_index import ServiceIndex
from towonel.wire.names import ServiceKey, ServiceKind


def services(*names: str) -> frozenset[ServiceKey]:
    """Equal to others of these names, and never the same objects."""
    return frozenset(ServiceKey(ServiceKind.TCP, f"{name} ".strip()) for name in names)


def service(name: str) -> ServiceKey:
    return ServiceKey(ServiceKind.TCP, name)


def test_replicas_hold_the_same_services_once() -> None:
    index, sets = ServiceIndex[str](), [services("a", "b") for _ in range(3)]
    for number, own in enumerate(sets):
        index.add(bytes([number]), own, f"replica {number}")

    assert {id(index.get_held(own)) for own in sets} == {id(index.get_held(sets[0]))}
    assert index.count_with(services("b")) == 2
    assert sorted(index.find(service("a"))) == ["replica 0", "replica 1", "replica 2"]


def test_sets_that_overlap_hold_the_same_names_once() -> None:
    index, first, second = ServiceIndex[str](), services("a", "b"), services("b", "c")
    index.add(b"1", first, "first")
    index.add(b"2", second, "second")
    [one] = [key for key in index.get_held(first) if key.name == "b"]
    [other] = [key for key in index.get_held(second) if key.name == "b"]

    assert one is other
    assert index.count_with(()) == 3
    assert index.count_with([service("c"), service("d"), service("d")]) == 4


def test_a_service_that_nobody_announces_has_no_session() -> None:
    index = ServiceIndex[str]()
    index.add(b"1", services(), "without services")

    assert not index.find(service("a"))
    assert list(index.sessions) == ["without services"]
    index.remove(b"1", services())
    assert not index.sessions


@pytest.mark.branches
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.frozensets(st.sampled_from("abcd"))),
        max_size=30,
    )
)
def test_the_index_agrees_with_a_list_of_sessions(
    changes: list[tuple[int, frozenset[str]]],
) -> None:
    index, there = ServiceIndex[int](), dict[int, frozenset[str]]()
    for number, names in changes:
        if number in there:
            index.remove(bytes([number]), services(*there.pop(number)))
        else:
            index.add(bytes([number]), services(*names), number)
            there[number] = names

    for name in "abcd":
        assert sorted(index.find(service(name))) == sorted(n for n in there if name in there[n])
    assert sorted(index.sessions) == sorted(there)
    assert index.count_with(()) == len(frozenset[str]().union(*there.values()))
    assert len(index._announcements) == len(set(there.values()))
