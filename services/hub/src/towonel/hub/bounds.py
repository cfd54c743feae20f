"""Bounds of a hub, in one place: what callers can make it hold or do at once."""

from dataclasses import dataclass

from towonel.runtime.web import CONNECTIONS

MIB = 1024 * 1024


@dataclass(frozen=True)
class Bounds:
    """Bounds of a hub; whoever starts one may choose others.

    Args:
        requests: in progress at once, but for those that wait for their body; the connections left
            are for refusals.
        awaited_bodies: requests that wait for their body, whose sender is mostly not known yet.
        body_s: from the head of a request to the last byte of its body; a normal one takes a round
            trip or two.
        body_bytes: of all bodies that are held before their sender is known.
        reports: of edges, that are read at once.
        report_wait_s: for which an edge waits until it may send its report.
        unproved_reports: of edges whose signature can be checked only once the body is here.
        edge_requests: for routes, of one edge, that wait for a change or are being answered; an edge
            has one, and those whose network vanished.
        tenant_writes: of one tenant at once, to the database.
        waiting_tenant_writes: of one tenant, that wait for those.
        tenant_write_wait_s: for which one waits.
        events: of the audit log per query: the most that a follower that stalls keeps in memory.
        followers: of events; each reads the database every two seconds.
        followers_of_key: of them, so that no tenant's key takes all places.
        agent_ids: in one query; with more live agents, pages are filtered after the query.
    """

    requests: int = CONNECTIONS - 100
    awaited_bodies: int = CONNECTIONS // 8
    body_s: float = 20.0
    body_bytes: int = 16 * MIB
    reports: int = 4
    report_wait_s: float = 10.0
    unproved_reports: int = 2
    edge_requests: int = 8
    tenant_writes: int = 4
    waiting_tenant_writes: int = 256
    tenant_write_wait_s: float = 5.0
    events: int = 100
    followers: int = 256
    followers_of_key: int = 64
    agent_ids: int = 1_000
