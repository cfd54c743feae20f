"""What the hub counts, under the original's names and with its meanings (inventory §10)."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import NoReturn

import httpx
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as families
from support.hub import TestHub
from support.legacy_client import OPERATOR, LegacyClient, Token, legacy_client, payload, signed

from towonel.hub.background import refresh_gauges
from towonel.identity.keys import TenantKey
from towonel.wire.errors import Code, Unavailable

ORIGINAL = {
    "towonel_hub_entries_accepted": "counter",
    "towonel_hub_entries_rejected": "counter",
    "towonel_hub_sse_subscribers_connected": "gauge",
    "towonel_hub_tenants_total": "gauge",
    "towonel_hub_requests": "counter",
    "process_cpu_seconds": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_virtual_memory_bytes": "gauge",
    "process_open_fds": "gauge",
    "process_max_fds": "gauge",
    "process_start_time_seconds": "gauge",
    "process_threads": "gauge",
}
REASONS = {
    "invalid_cbor": 400,
    "tenant_not_allowed": 403,
    "invalid_signature": 400,
    "unsupported_op": 400,
    "unsupported_version": 422,
    "invalid_hostname": 400,
    "hostname_not_owned": 403,
    "invalid_tcp_service": 400,
    "invalid_tcp_port": 400,
    "tcp_port_claimed": 400,
    "invalid_udp_service": 400,
    "invalid_udp_port": 400,
    "udp_port_claimed": 400,
    "sequence_conflict": 409,
}
REJECTED, ACCEPTED = "towonel_hub_entries_rejected_total", "towonel_hub_entries_accepted_total"


@dataclass
class Tenants:
    """One that asks, and one that has the ports 3000 already."""

    original: LegacyClient
    asking: TenantKey
    revoked: TenantKey

    async def refused(self, reason: str) -> httpx.Response:
        """Send what is refused for a reason."""
        whole = payload(self.asking, 1, {"upsert_hostname": {"hostname": "a.eu"}})
        match reason:
            case "invalid_cbor":
                return await self.original.post_entry(b"\xff")
            case "tenant_not_allowed":
                return await self.original.submit(
                    self.revoked, 1, "upsert_hostname", hostname="r.eu"
                )
            case "invalid_signature":
                forged = signed(self.asking, whole, signature=bytes(3309))
                return await self.original.post_entry(forged)
            case "unsupported_version":
                later = payload(
                    self.asking, 1, {"upsert_hostname": {"hostname": "a.eu"}}, version=2
                )
                return await self.original.post_entry(signed(self.asking, later))
            case _:
                sequence, op, fields = SENT[reason]
                return await self.original.submit(self.asking, sequence, op, **fields)


SENT: dict[str, tuple[int, str, dict[str, object]]] = {
    "unsupported_op": (2, "upsert_wish", {}),
    "invalid_hostname": (2, "upsert_hostname", {"hostname": "-a.eu"}),
    "hostname_not_owned": (2, "upsert_hostname", {"hostname": "b.eu"}),
    "invalid_tcp_service": (2, "upsert_tcp_service", {"service": " ", "listen_port": 4000}),
    "invalid_tcp_port": (2, "upsert_tcp_service", {"service": "ssh", "listen_port": 22}),
    "tcp_port_claimed": (2, "upsert_tcp_service", {"service": "ssh", "listen_port": 3000}),
    "invalid_udp_service": (2, "upsert_udp_service", {"service": "", "listen_port": 4000}),
    "invalid_udp_port": (2, "upsert_udp_service", {"service": "dns", "listen_port": 0}),
    "udp_port_claimed": (2, "upsert_udp_service", {"service": "dns", "listen_port": 3000}),
    "sequence_conflict": (1, "upsert_hostname", {"hostname": "a.eu"}),
}


@pytest.fixture
async def tenants(hub: TestHub) -> AsyncGenerator[Tenants]:
    async with legacy_client(hub) as made:
        other, asking = await made.tenant("b.eu"), await made.tenant("a.eu")
        gone = await made.invite("r.eu")
        revoked = TenantKey.from_seed(Token.parse(gone["token"], "tt_inv_2_").seed)
        await made.delete(f"/v1/invites/{gone['invite_id']}")
        await made.accept(other, 1, "upsert_tcp_service", service="ssh", listen_port=3000)
        await made.accept(other, 2, "upsert_udp_service", service="dns", listen_port=3000)
        await made.accept(asking, 1, "upsert_hostname", hostname="a.eu")
        yield Tenants(made, asking, revoked)


def value(hub: TestHub, name: str, **labels: str) -> float:
    return hub.context.metrics.registry.get_sample_value(name, labels) or 0


def test_every_metric_of_the_original_is_told_under_its_name(hub: TestHub) -> None:
    hub.context.metrics.entries_rejected.labels("internal")
    hub.context.metrics.requests.labels("/v1/health", "200")
    reported = list(families(generate_latest(hub.context.metrics.registry).decode()))
    labels = {
        family.name: set(family.samples[0].labels) - {"le"} for family in reported if family.samples
    }

    assert ORIGINAL.items() <= {family.name: family.type for family in reported}.items()
    assert labels["towonel_hub_entries_rejected"] == {"reason"}
    assert labels["towonel_hub_requests"] == {"endpoint", "status"}
    assert [family.name for family in reported if not family.documentation] == []


@pytest.mark.parametrize("reason", REASONS)
async def test_a_refused_entry_is_counted_by_its_reason(tenants: Tenants, reason: str) -> None:
    hub = tenants.original.hub
    before = value(hub, ACCEPTED)
    answer = await tenants.refused(reason)

    assert answer.status_code == REASONS[reason], answer.text
    assert value(hub, REJECTED, reason=reason) == 1
    assert value(hub, ACCEPTED) == before == 3
    counted = [s for m in hub.context.metrics.entries_rejected.collect() for s in m.samples]
    assert sum(s.value for s in counted if s.name == REJECTED) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unavailable(Code.HUB_UNAVAILABLE, "database"), 503),
        (ZeroDivisionError("a mistake of ours"), 500),
    ],
)
async def test_an_entry_refused_by_the_hub_s_own_fault_is_counted_as_internal(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def broken() -> NoReturn:
        raise error

    hub = tenants.original.hub
    monkeypatch.setattr(hub.context.store, "write", broken)
    answer = await tenants.original.submit(tenants.asking, 2, "upsert_hostname", hostname="a.eu")

    assert answer.status_code == status
    assert value(hub, REJECTED, reason="internal") == 1


async def test_subscribers_are_counted_while_they_are_there(hub: TestHub) -> None:
    name = "towonel_hub_sse_subscribers_connected"
    async with legacy_client(hub) as made:
        edge = await made.edge()
        async with made.subscribed(edge) as one, made.subscribed(edge) as two:
            await one.block()
            await two.block()
            there = value(hub, name)

    assert there == 2
    assert value(hub, name) == 0


async def test_tenants_are_counted_until_they_end(hub: TestHub) -> None:
    await hub.invite("a.eu")
    revoked = await hub.client().invites.list()
    await hub.invite("b.eu")
    await refresh_gauges(hub.context)
    two = value(hub, "towonel_hub_tenants_total")
    await hub.client().invites.revoke(revoked.invites[0].invite_id)
    await refresh_gauges(hub.context)

    assert (two, value(hub, "towonel_hub_tenants_total")) == (2, 1)
    assert value(hub, "towonel_hub_invites", status="revoked") == 1


async def test_refusals_are_counted_by_their_code(hub: TestHub) -> None:
    async with hub.raw() as http:
        await http.get("/v1/invites")
        await http.get("/v1/nothing")
        for _ in range(2):
            await http.get("/v1/agents/xyz", headers=OPERATOR)

    counted = {
        sample.labels["code"]: sample.value
        for metric in hub.context.metrics.refused.collect()
        for sample in metric.samples
        if sample.name == "towonel_hub_refused_total"
    }
    assert counted == {"unauthorized": 1, "not_found": 1, "invalid_request": 2}
