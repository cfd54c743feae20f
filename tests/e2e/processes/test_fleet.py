"""A hundred edges and two hubs: whatever happens to Redis, all edges end with the same table."""

from pathlib import Path

import pytest
from support import edge_fleet, postgres


@pytest.mark.processes
async def test_no_change_is_lost_when_redis_is_killed_halfway(tmp_path: Path) -> None:
    with postgres.running() as server:
        name = server.database(migrated=False).url.database
        assert name
        outcome = await edge_fleet.run(
            tmp_path, server.dsn(name), edges=100, changes=40, every_s=0.05
        )
    edges = outcome.fleet.edges

    assert {edge.table.revision for edge in edges} == {outcome.changes[-1].revision}
    assert {edge.digest for edge in edges} == outcome.truth
    assert len(outcome.truth) == 1
    assert len(edges[0].table) > 10
    assert outcome.fleet.set_back == 0
