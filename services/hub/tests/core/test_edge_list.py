"""Digest of the list of edges: another one for another list, whatever its order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.hub.core.edge_list import hash_list
from towonel.wire.routes import TAG_BYTES

EDGES = st.lists(st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=3)), max_size=4)


@pytest.mark.branches
@given(EDGES, EDGES)
def test_two_lists_have_one_digest_if_they_have_the_same_edges(
    one: list[tuple[object, ...]], other: list[tuple[object, ...]]
) -> None:
    is_same = sorted(map(repr, one)) == sorted(map(repr, other))

    assert (hash_list(one) == hash_list(other)) is is_same
    assert hash_list(one) == hash_list(one[::-1])
    assert len(hash_list(one)) == TAG_BYTES
