"""Fleet of edges that follow two hubs: all end with the same table, whatever becomes of Redis."""

from pathlib import Path

import pytest
from support import edge_fleet, postgres


@pytest.mark.processes
@pytest.mark.parametrize(
    ("edges", "changes"), [(10, 20), pytest.param(100, 40, marks=pytest.mark.soak)]
)
async def test_no_change_is_lost_when_redis_is_killed_halfway(
    tmp_path: Path, edges: int, changes: int
) -> None:
    with postgres.running() as server:
        name = server.database(migrated=False).url.database
        assert name
        outcome = await edge_fleet.run(
            tmp_path, server.dsn(name), edges=edges, changes=changes, every_s=0.05
        )
    fleet = outcome.fleet.edges

    assert {edge.table.revision for edge in fleet} == {outcome.changes[-1].revision}
    assert {edge.digest for edge in fleet} == outcome.truth
    assert len(outcome.truth) == 1
    assert len(fleet[0].table) > 10
    assert outcome.fleet.set_back == 0
