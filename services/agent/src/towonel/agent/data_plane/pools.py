"""Pools of a link's lanes: one of any kind for https, and one inside TLS for all other services."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from towonel.agent.core.lane_shares import LaneShares
from towonel.agent.worker.messages import Session
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.core.lane_pool import LEAST_IDLE
from towonel.tunnel.link import Link
from towonel.wire.lane_admission import tls_pool_id


@dataclass(frozen=True, slots=True)
class Pool:
    """Pool of lanes.

    Args:
        id: the session's, or as of `tls_pool_id`.
        link: whose lanes they are.
        server_name: that those inside TLS ask for.
        kinds: of lanes, in order of preference.
        shares: of the workers.
    """

    id: bytes
    link: Link
    server_name: str
    kinds: Sequence[LaneKind]
    shares: LaneShares


def make_pools(
    link: Link, server_name: str, kinds: Sequence[LaneKind], workers: int
) -> dict[bytes, Pool]:
    """Return the pools of a link by id; of the one inside TLS there are no lanes until the edge wants some.

    Few lanes are shared out so that those of different sessions go to different workers.
    """
    first = int.from_bytes(link.session_id) % workers

    def make(pool_id: bytes, kinds: Sequence[LaneKind], least: int) -> Pool:
        shares = LaneShares(workers, first, link.lanes_wanted.get(pool_id, least))
        return Pool(pool_id, link, server_name, kinds, shares)

    any_kind = make(link.session_id, kinds, LEAST_IDLE)
    inside_tls = make(tls_pool_id(link.session_id), (LaneKind.TLS,), 0)
    return {pool.id: pool for pool in (any_kind, inside_tls)}


def describe_pool(pool: Pool, worker: int) -> Session:
    """Return what a worker is to know of a pool."""
    link, edge = pool.link, pool.link.edge
    assert link.lane_secret is not None, "it has lanes"
    host, port = _host_and_port(link)
    return Session(
        pool.id,
        link.lane_secret,
        edge.edge_id,
        edge.certificate_sha256,
        host,
        port,
        pool.server_name,
        tuple(map(str, pool.kinds)),
        pool.shares.shares[worker],
    )


def describe_failures(pools: Collection[Pool]) -> str | None:
    """Return how many edges take no lanes, and why; None if all take some."""
    failures = [(pool.link, code) for pool in pools if (code := pool.shares.failure) is not None]
    if not failures:
        return None
    failed, edges = len({link for link, _ in failures}), len({pool.link for pool in pools})
    codes = ", ".join(sorted({code.word for _, code in failures}))
    return f"{failed} of {edges} edges take no lanes ({codes}): streams carry clients"


def _host_and_port(link: Link) -> tuple[str, int]:
    """Return where the link goes, with the zone of an address that has one."""
    match link.address:
        case (host, port, _, zone) if zone:
            return f"{host}%{zone}", port
        case (host, port, *_):
            return host, port
