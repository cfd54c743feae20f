"""End of a link: who lost a right is cut off, and who lost a connection is not."""

import pytest

from towonel.agent.core.link_end import find_cut
from towonel.wire.errors import Code


@pytest.mark.parametrize(
    ("code", "cut"),
    [
        (Code.SESSION_LOST, None),
        (Code.SUPERSEDED, None),
        (Code.DRAINING, None),
        (Code.TENANT_REVOKED, Code.TENANT_REVOKED),
        (Code.GRANT_EXPIRED, Code.GRANT_EXPIRED),
        (None, Code.CANCELLED),
    ],
)
def test_the_end_of_a_right_cuts_its_clients(code: Code | None, cut: Code | None) -> None:
    assert find_cut(code) is cut
