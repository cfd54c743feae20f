"""Convention of the tests' groups: xdist gives each to one process."""

import pytest
from support.groups import is_grouping


def test_the_id_of_a_test_has_its_group_by_which_xdist_keeps_it_together(
    request: pytest.FixtureRequest,
) -> None:
    assert request.node.nodeid.endswith("@conventions") == is_grouping(request.config)
