"""Certificates of edges over the API: who sees which, and what becomes of requests about them."""

from collections.abc import Awaitable
from dataclasses import dataclass

import pytest
from support.callers import code_of, keyed, publish, refusal, tenant_id
from support.hub import TestHub, registration, tenant_of
from support.reported_certificates import certificate, report_of

from towonel.api.certificates.items import RevocationIn
from towonel.api.certificates.reports import MAX_REQUESTS, CertificateReport, CertificateRequest
from towonel.hub.live.edge_reports import REFRESH_MS
from towonel.hub.store.certificate_requests import REQUEST_MS
from towonel.identity.keys import NodeKey
from towonel.wire.errors import Code
from towonel.wire.tokens import EdgeToken, InviteToken

RENEW = CertificateRequest(hostname="a.eu", action="renew")


@dataclass
class Scene:
    """A hub with two tenants that publish a name each, and an edge of its own and another one."""

    hub: TestHub
    mine: InviteToken
    other: InviteToken
    edge: NodeKey

    @property
    def node(self) -> NodeKey:
        return self.hub.context.keys.node

    async def report(self, edge: NodeKey, *found: CertificateReport) -> list[CertificateRequest]:
        """Report certificates, and return what is asked of them."""
        self.hub.clock.now_ms += REFRESH_MS
        answer = await self.hub.client().report_edge(edge, report_of(*found))
        assert answer.certificate_requests is not None
        return answer.certificate_requests

    def certificate(self, hostname: str, **changes: object) -> CertificateReport:
        return certificate(hostname, self.hub.clock.now_ms, **changes)


@pytest.fixture
async def scene(hub: TestHub) -> Scene:
    mine, other = await hub.invite("a.eu", "*.a.eu"), await hub.invite("b.eu")
    await publish(hub, mine, "a.eu", "*.a.eu")
    await publish(hub, other, "b.eu")
    made = await hub.client().edge_invites.create("other")
    edge = NodeKey.from_seed(EdgeToken.decode(made.token).seed)
    await hub.client().register_edge(edge, registration(edge))
    return Scene(hub, mine, other, edge)


@pytest.mark.both_databases
async def test_an_operator_sees_what_each_edge_has_and_whose_it_is(scene: Scene) -> None:
    client = scene.hub.client()
    failed = scene.certificate("b.eu", state="failed", error="caa: no", fix="Let it.", serial="")
    await scene.report(scene.node, scene.certificate("a.eu"), failed, scene.certificate("x.net"))
    await scene.report(scene.edge, scene.certificate("a.eu", state="expiring"))
    listed = (await client.certificates.list()).certificates
    detail = await client.certificates.get("A.eu")

    edges = sorted([scene.node.public, scene.edge.public])
    rows = [(it.hostname, it.edge_id) for it in listed]
    assert rows == [
        *(("a.eu", edge) for edge in edges),
        ("b.eu", scene.node.public),
        ("x.net", scene.node.public),
    ]
    owners = {it.hostname: it.tenant_id for it in listed}
    assert owners == {"a.eu": tenant_id(scene.mine), "b.eu": tenant_id(scene.other), "x.net": None}
    assert (listed[2].error, listed[2].fix, listed[2].state) == ("caa: no", "Let it.", "failed")
    assert detail.certificates == listed[:2]
    assert {it.state for it in detail.certificates} == {"valid", "expiring"}


async def test_a_list_is_filtered_and_comes_in_pages(scene: Scene) -> None:
    names = ["a.eu", "b.eu", "c.a.eu"]
    await scene.report(scene.node, *map(scene.certificate, names))
    await scene.report(scene.edge, scene.certificate("a.eu", state="expired"))
    client, mine = scene.hub.client().certificates, tenant_id(scene.mine)

    async def found(**filters: object) -> list[str]:
        return [it.hostname for it in (await client.list(**filters)).certificates]  # type: ignore[arg-type]

    assert await found(hostname="B.eu") == ["b.eu"]
    assert await found(state="expired") == ["a.eu"]
    assert await found(edge_id=scene.edge.public) == ["a.eu"]
    assert await found(tenant_id=mine) == ["a.eu", "a.eu", "c.a.eu"]
    assert await found(tenant_id=mine, state="valid") == ["a.eu", "c.a.eu"]
    first = await client.list(limit=3)
    rest = await client.list(limit=3, cursor=first.next_cursor)
    assert [it.hostname for it in rest.certificates] == ["c.a.eu"]
    assert (len(first.certificates), rest.next_cursor) == (3, None)
    assert await code_of(client.list(cursor="AAAA")) is Code.INVALID_REQUEST


async def test_a_tenant_sees_and_renews_its_own_and_no_other(scene: Scene) -> None:
    names = ["a.eu", "b.eu", "c.a.eu", "x.net"]
    await scene.report(scene.node, *map(scene.certificate, names))
    mine = (await keyed(scene.hub, "operator", tenant_of(scene.mine))).certificates
    viewer = (await keyed(scene.hub, "viewer", tenant_of(scene.mine))).certificates

    assert [it.hostname for it in (await mine.list()).certificates] == ["a.eu", "c.a.eu"]
    refused: list[Awaitable[object]] = [
        *(ask(name) for ask in (mine.get, mine.renew, mine.revoke) for name in ("b.eu", "x.net"))
    ]
    assert {await code_of(each) for each in refused} == {Code.NOT_FOUND}
    assert await code_of(mine.list(tenant_id=tenant_id(scene.other))) is Code.FORBIDDEN
    assert await code_of(viewer.renew("a.eu")) is Code.FORBIDDEN
    assert (await mine.renew("c.a.eu")).edges == [scene.node.public]


@pytest.mark.both_databases
async def test_each_edge_is_told_once_and_the_log_says_who_asked(scene: Scene) -> None:
    here, there = scene.certificate("a.eu"), scene.certificate("a.eu", state="missing", source=None)
    await scene.report(scene.node, here)
    await scene.report(scene.edge, there)
    asked = await scene.hub.client().certificates.renew("a.eu", idempotency_key="once")
    again = await scene.hub.client().certificates.renew("a.eu", idempotency_key="once")
    told = [await scene.report(edge) for edge in (scene.node, scene.node, scene.edge)]
    (event,) = (await scene.hub.client().audit.list(action="certificate.renewal_requested")).audit

    assert told == [[RENEW], [], [RENEW]]
    assert asked == again
    assert sorted(asked.edges) == sorted([scene.node.public, scene.edge.public])
    assert (event.subject, event.tenant_id) == ("certificate:a.eu", tenant_id(scene.mine))
    assert event.after == {"edges": [edge.hex() for edge in asked.edges]}


@pytest.mark.both_databases
async def test_a_revocation_reaches_only_edges_that_ordered_one(scene: Scene) -> None:
    await scene.report(scene.node, scene.certificate("a.eu"))
    await scene.report(scene.edge, scene.certificate("a.eu", source="folder"))
    client = scene.hub.client().certificates
    asked = await client.revoke("a.eu", RevocationIn(reason="key_compromise"))
    revoke = CertificateRequest(hostname="a.eu", action="revoke", reason="key_compromise")

    assert asked.edges == [scene.node.public]
    assert await scene.report(scene.edge) == []
    assert await scene.report(scene.node) == [revoke]
    (event,) = (
        await scene.hub.client().audit.list(action="certificate.revocation_requested")
    ).audit
    assert (event.after or {})["reason"] == "key_compromise"


async def test_what_no_edge_can_do_is_refused_with_the_reason(scene: Scene) -> None:
    folder = scene.certificate("a.eu", source="folder", renews_at_ms=None)
    await scene.report(scene.node, folder, scene.certificate("b.eu", state="failed", source=None))
    client = scene.hub.client().certificates
    of_files = [await refusal(ask("a.eu")) for ask in (client.renew, client.revoke)]
    without = await refusal(client.revoke("b.eu"))

    assert {each.code for each in (*of_files, without)} == {Code.INVALID_REQUEST}
    assert all("files that somebody put" in each.detail for each in of_files)
    assert "no edge has a certificate of b.eu" in without.detail
    assert (await client.renew("b.eu")).edges == [scene.node.public]


async def test_the_newest_request_for_a_name_counts_and_an_old_one_no_more(scene: Scene) -> None:
    client = scene.hub.client().certificates
    await scene.report(scene.node, scene.certificate("a.eu"))
    await client.renew("a.eu")
    await client.revoke("a.eu")
    newest = await scene.report(scene.node, scene.certificate("a.eu"))
    await client.renew("a.eu")
    scene.hub.clock.now_ms += REQUEST_MS

    assert [each.action for each in newest] == ["revoke"]
    assert await scene.report(scene.node) == []


async def test_few_requests_wait_for_an_edge(scene: Scene) -> None:
    names = [f"n{number}.a.eu" for number in range(MAX_REQUESTS + 1)]
    await scene.report(scene.node, *map(scene.certificate, names))
    client = scene.hub.client().certificates
    for name in names[:-1]:
        await client.renew(name)
    await client.renew(names[0])

    assert await code_of(client.renew(names[-1])) is Code.RATE_LIMITED
    assert len(await scene.report(scene.node)) == MAX_REQUESTS


async def test_an_edge_of_an_older_version_and_one_that_is_gone_have_none(scene: Scene) -> None:
    await scene.report(scene.node)
    await scene.report(scene.edge, scene.certificate("a.eu"))
    client = scene.hub.client().certificates
    assert len((await client.list()).certificates) == 1
    scene.hub.clock.now_ms += 36_000

    assert (await client.list()).certificates == []
    assert await code_of(client.get("a.eu")) is Code.NOT_FOUND
