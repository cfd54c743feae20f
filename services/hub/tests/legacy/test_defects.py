"""What the original does wrong, by the numbers of its inventory's §12, and the tests that we do not."""

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import update
from support.hub import TestHub, new_key, running_hub, state, tenant_of
from support.legacy_client import LegacyClient, body_of, legacy_client

from towonel.api.invites import InviteIn
from towonel.api.ports import ReservationIn
from towonel.api.services import DesiredState, ServiceIn
from towonel.hub.backup.check import problems
from towonel.hub.core.ports import PortRules
from towonel.hub.core.quotas import Quotas
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store import retention
from towonel.hub.store.db.database import Database
from towonel.hub.store.tables import EntryRow
from towonel.identity.keys import NodeKey, TenantKey
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.routes import TlsMode

ROOT = Path(__file__).parents[4]
HUB = "services/hub/tests"
HERE, CALLERS = f"{HUB}/legacy/test_defects.py", f"{HUB}/legacy/test_defects_of_callers.py"
DEFECTS: dict[int, tuple[str, ...]] = {
    1: (
        f"{HERE}::test_a_wildcard_reaches_nothing_that_only_ends_like_it",
        f"{HUB}/core/test_ownership.py::test_a_wildcard_owns_nothing_beside_or_above_it",
    ),
    2: (
        f"{HUB}/api/test_invites.py::test_equal_claims_are_refused_and_more_specific_ones_are_not",
        f"{HUB}/operations/test_takeover.py::test_an_exact_invite_takes_over_what_a_wildcard_published",
    ),
    3: (
        f"{HERE}::test_a_sequence_that_no_table_holds_is_refused",
        f"{HERE}::test_the_last_sequence_there_is_ends_a_log_and_overflows_nowhere",
        f"{HUB}/core/legacy/test_signed_entries.py::test_the_sequences_taken_are_those_that_top_all_before",
    ),
    4: (
        f"{HERE}::test_agents_that_boot_again_and_again_make_a_log_no_longer",
        f"{HERE}::test_a_tenant_cannot_fill_the_log_with_things_it_does_not_have",
    ),
    5: (f"{HERE}::test_nothing_that_was_verified_once_is_verified_again",),
    6: (f"{CALLERS}::test_what_strangers_sign_leaves_nothing_behind",),
    7: (
        f"{CALLERS}::test_what_strangers_sign_leaves_nothing_behind",
        f"{HUB}/live/test_rate_limits.py::test_memory_is_bounded_whoever_asks",
    ),
    8: (
        f"{HUB}/legacy/test_original_edges.py::test_who_is_not_heard_for_90_s_is_not_in_the_table",
    ),
    9: (
        f"{HUB}/api/test_invites.py::test_revoking_ends_routes_grants_and_bootstraps",
        f"{HUB}/legacy/test_original.py::test_a_removed_tenant_may_nothing_and_one_never_seen_can_be_removed",
        f"{HERE}::test_names_that_are_revoked_and_claimed_at_once_have_one_owner",
    ),
    10: (
        f"{CALLERS}::test_no_change_is_lost_between_a_table_and_the_wait_for_the_next",
        f"{CALLERS}::test_a_change_that_comes_while_a_table_is_made_is_told_next",
    ),
    11: (
        f"{CALLERS}::test_an_edge_that_is_revoked_is_cut_off_from_what_it_follows",
        f"{HUB}/api/test_edges.py::test_a_revoked_edge_is_out_and_agents_are_not_told_of_it",
        "services/agent/tests/core/test_edges.py::test_new_edges_are_dialled_and_those_gone_are_left",
    ),
    12: (
        f"{HUB}/api/test_bodies.py::test_a_body_that_never_comes_is_given_up",
        "libs/runtime/tests/test_admin.py::test_a_client_that_never_finishes_a_head_is_disconnected",
        "libs/runtime/tests/test_admin.py::test_a_client_that_sends_nothing_is_disconnected",
    ),
    15: (f"{HERE}::test_no_hostname_can_be_read_as_a_service",),
    17: (
        f"{HUB}/process/test_app.py::test_addresses_and_paths_follow_from_others",
        "libs/client/tests/test_transport.py::test_an_unsafe_or_broken_address_is_refused_by_its_rule",
    ),
    18: (f"{CALLERS}::test_nothing_is_read_without_a_key",),
    19: (
        f"{CALLERS}::test_clients_behind_one_proxy_do_not_share_a_limit",
        f"{CALLERS}::test_the_boot_of_an_original_agent_fits_the_default_limit",
    ),
    20: (
        "libs/client/tests/legacy/test_entries.py::test_a_log_that_cannot_be_read_is_never_taken_for_an_empty_one",
    ),
    21: (
        f"{HERE}::test_the_nodes_own_ports_are_nobodys",
        f"{HERE}::test_without_a_database_no_port_is_given_away",
    ),
    24: (
        f"{HUB}/process/test_boot.py::test_a_hub_told_to_stop_lets_edges_go_and_ends_with_0_at_once",
        "libs/runtime/tests/test_lifecycle.py::test_a_crash_of_a_task_is_a_crash",
        "libs/runtime/tests/test_admin.py::test_it_is_ready_while_every_check_holds",
        "cli/tests/test_supervisor.py::test_one_that_ends_unasked_is_started_again_and_the_other_goes_on",
    ),
    25: (f"{HERE}::test_replicas_that_boot_at_once_leave_each_other_alone",),
    26: (f"{HERE}::test_a_tls_mode_holds_for_a_name_that_only_a_wildcard_covers",),
}
LAST = 2**63 - 1
OWN_PORTS = PortRules(own=frozenset({443, 8443, 9090, 9091}))


@pytest.mark.parametrize("number", DEFECTS)
def test_every_defect_has_its_tests(number: int) -> None:
    for test in DEFECTS[number]:
        path, _, name = test.partition("::")

        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), test


async def accepted(agent: LegacyClient, key: TenantKey, first: int, *ops: tuple[str, Any]) -> int:
    """Send entries from a sequence on; returns the next."""
    for sequence, (op, fields) in enumerate(ops, first):
        await agent.accept(key, sequence, op, **fields)
    return first + len(ops)


async def table_of(hub: TestHub) -> dict[str, bytes]:
    table = await hub.client().follow_routes(hub.context.keys.node, None)
    return {route.key: route.tenant_id for route in table.routes}


async def test_a_wildcard_reaches_nothing_that_only_ends_like_it(hub: TestHub) -> None:
    async with legacy_client(hub) as agent:
        key = await agent.tenant("*.example.eu")
        for name in ("evilexample.eu", "example.eu", "a.evilexample.eu"):
            sent = await agent.submit(key, 1, "upsert_hostname", hostname=name)
            assert body_of(sent) == (403, "hostname_not_owned")
            with pytest.raises(Denied) as caught:
                await hub.client().apply_desired_state(key, state(name))
            assert caught.value.code is Code.HOSTNAME_NOT_OWNED
        await agent.accept(key, 1, "upsert_hostname", hostname="a.b.example.eu")

    assert set(await table_of(hub)) == {"https:a.b.example.eu"}


@pytest.mark.parametrize("sequence", [2**63, 2**64 - 1])
async def test_a_sequence_that_no_table_holds_is_refused(hub: TestHub, sequence: int) -> None:
    async with legacy_client(hub) as agent:
        key = await agent.tenant("a.eu")
        sent = await agent.submit(key, sequence, "upsert_hostname", hostname="a.eu")
        await agent.accept(key, 0, "upsert_hostname", hostname="a.eu")

    assert body_of(sent) == (400, "invalid_request")


async def test_the_last_sequence_there_is_ends_a_log_and_overflows_nowhere(hub: TestHub) -> None:
    async with legacy_client(hub) as agent:
        key = await agent.tenant("*.a.eu")
        await agent.accept(key, 7, "upsert_hostname", hostname="a.a.eu")
        await agent.accept(key, LAST, "upsert_hostname", hostname="b.a.eu")
        over = [
            body_of(await agent.submit(key, sequence, "upsert_hostname", hostname="c.a.eu"))
            for sequence in (LAST, 0, LAST + 1)
        ]
        said = [entry["payload"] for entry in await agent.log(key.tenant_id)]

    assert over == [(409, "sequence_conflict")] * 2 + [(400, "invalid_request")]
    assert [b"a.a.eu" in said[0], b"b.a.eu" in said[1]] == [True, True]


async def test_agents_that_boot_again_and_again_make_a_log_no_longer(hub: TestHub) -> None:
    names, sequence, lengths = ["a.eu", "*.a.eu", "b.eu"], 1, set[int]()
    async with legacy_client(hub) as agent:
        key, before = await agent.tenant(*names), new_key()
        for _ in range(6):
            me = new_key()
            ops: list[tuple[str, Any]] = [("upsert_agent", {"agent_id": me.public})]
            ops += [("upsert_hostname", {"hostname": name}) for name in names]
            mode = {"mode": "terminate"}
            ops += [("set_hostname_tls", {"hostname": name, "mode": mode}) for name in names]
            ops += [("revoke_agent", {"agent_id": before.public})]
            sequence, before = await accepted(agent, key, sequence, *ops), me
            lengths.add(len(await agent.log(key.tenant_id)))

    assert sequence == 49
    assert lengths == {8}


async def test_a_tenant_cannot_fill_the_log_with_things_it_does_not_have(
    database: Database,
) -> None:
    quotas = Quotas(services=2, agents=2, ports=2, hostnames=2)
    refused: list[tuple[int, str]] = []
    async with (
        running_hub(database, RouteChanges(), quotas=quotas) as hub,
        legacy_client(hub) as agent,
    ):
        key, mode = await agent.tenant("*.a.eu"), {"mode": "terminate"}
        for number in range(8):
            ops: list[tuple[str, Any]] = [
                ("upsert_agent", {"agent_id": new_key().public}),
                ("set_hostname_tls", {"hostname": f"n{number}.a.eu", "mode": mode}),
                ("upsert_hostname", {"hostname": f"m{number}.a.eu"}),
                ("upsert_tcp_service", {"service": f"s{number}", "listen_port": 2000 + number}),
            ]
            for at, (op, fields) in enumerate(ops):
                sent = await agent.submit(key, 4 * number + at, op, **fields)
                refused += [] if sent.status_code == 200 else [body_of(sent)]
        log = await agent.log(key.tenant_id)

    assert set(refused) == {(409, "quota_exceeded")}
    assert len(log) == 32 - len(refused) <= quotas.agents + 2 * quotas.services


async def test_nothing_that_was_verified_once_is_verified_again(hub: TestHub) -> None:
    async with legacy_client(hub) as agent:
        key, me = await agent.tenant("*.a.eu"), new_key()
        await agent.accept(key, 1, "upsert_agent", agent_id=me.public)
        await agent.accept(key, 2, "upsert_hostname", hostname="a.a.eu")
        async with hub.context.store.write() as change:  # so that no signature holds any more
            await change.session.exec(update(EntryRow).values(signature=bytes(3309)))
            await change.next_revision()
            await retention.prune(change)
        async with agent.subscribed(await agent.edge()) as stream:
            displayed = set((await stream.table())["routes"])
        await agent.accept(key, 3, "upsert_hostname", hostname="b.a.eu")

        assert displayed == {"a.a.eu"}
        assert len(await agent.log(key.tenant_id)) == 3
        assert (await agent.heartbeat(me, key.tenant_id)).status_code == 200
        assert set(await table_of(hub)) == {"https:a.a.eu", "https:b.a.eu"}


async def test_names_that_are_revoked_and_claimed_at_once_have_one_owner(
    hub: TestHub, database: Database
) -> None:
    client = hub.client()

    async def come_and_go(number: int) -> None:
        for _ in range(4):
            try:
                token = await hub.invite("a.eu", f"*.n{number}.eu")
            except Denied as error:
                assert error.code is Code.HOSTNAME_CONFLICT
                continue
            await client.apply_desired_state(tenant_of(token), state("a.eu", f"x.n{number}.eu"))
            await client.invites.revoke(base64url.encode(token.invite_id))

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(come_and_go(number))

    assert problems(database) == []
    assert await table_of(hub) == {}
    await hub.invite("a.eu", *(f"*.n{number}.eu" for number in range(5)))


@pytest.mark.parametrize("name", ["tcp:x.example.eu", "udp:x.example.eu", "https:x.example.eu"])
async def test_no_hostname_can_be_read_as_a_service(hub: TestHub, name: str) -> None:
    async with legacy_client(hub) as agent:
        key = await agent.tenant("*.example.eu")
        sent = await agent.submit(key, 1, "upsert_hostname", hostname=name)
    refused = [
        hub.client().apply_desired_state(key, state(name)),
        hub.client().invites.create(InviteIn(hostnames=[name])),
    ]

    assert body_of(sent) == (400, "invalid_request")
    for requested in refused:
        with pytest.raises(Denied) as caught:
            await requested
        assert caught.value.code is Code.INVALID_REQUEST


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_the_nodes_own_ports_are_nobodys(database: Database, protocol: str) -> None:
    async with (
        running_hub(database, RouteChanges(), ports=OWN_PORTS) as hub,
        legacy_client(hub) as agent,
    ):
        client, key = hub.client(), await agent.tenant("a.eu")
        for port in sorted(OWN_PORTS.own):
            service = ServiceIn.model_validate({"kind": protocol, "name": "s", "port": port})
            wanted = DesiredState(group="g", services=[service])
            area = {"protocol": protocol, "tenant_id": key.tenant_id.hex(), "first_port": port - 9}
            around = ReservationIn.model_validate({**area, "last_port": port + 9})
            for requested in (
                client.apply_desired_state(key, wanted),
                client.ports.reserve(around),
            ):
                with pytest.raises(Denied) as caught:
                    await requested
                assert caught.value.code is Code.INVALID_REQUEST
            fields = {"service": "s", "listen_port": port}
            sent = await agent.submit(key, 1, f"upsert_{protocol}_service", **fields)
            assert body_of(sent) == (400, "invalid_request")

        assert await table_of(hub) == {}


async def test_without_a_database_no_port_is_given_away(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.context.store._engine.pool, "_timeout", 0.05)
    services = [ServiceIn(kind="tcp", name="s", port=2222)]
    client, tenant = hub.client(), tenant_of(await hub.invite("a.eu"))
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(10):
            session = await stack.enter_async_context(hub.context.store.read())
            _ = await session.connection()
        with pytest.raises(Unavailable):
            await client.apply_desired_state(tenant, DesiredState(group="g", services=services))

    assert await table_of(hub) == {}


async def test_replicas_that_boot_at_once_leave_each_other_alone(hub: TestHub) -> None:
    token, agents = await hub.invite("*.a.eu"), [new_key() for _ in range(5)]
    client = hub.client()

    async def boot(agent: NodeKey) -> bytes:
        granted = await client.bootstrap(token, agent, "g")
        await client.apply_desired_state(tenant_of(token), state("x.a.eu", "y.a.eu", group="g"))
        return base64url.decode(granted.grant or "")

    async with asyncio.TaskGroup() as tasks:
        booting = {agent: tasks.create_task(boot(agent)) for agent in agents}

    for agent, booted in booting.items():
        assert (await client.refresh(booted.result(), agent)).grant
    assert set(await table_of(hub)) == {"https:x.a.eu", "https:y.a.eu"}
    assert hub.context.route_changes.revision == 1


async def test_a_tls_mode_holds_for_a_name_that_only_a_wildcard_covers(hub: TestHub) -> None:
    mode: dict[str, object] = {"mode": {"mode": "terminate"}}
    async with legacy_client(hub) as agent:
        key = await agent.tenant("*.a.eu")
        await agent.accept(key, 1, "set_hostname_tls", hostname="x.a.eu", **mode)
        await agent.accept(key, 2, "upsert_hostname", hostname="x.a.eu")
        await agent.accept(key, 3, "upsert_hostname", hostname="y.a.eu")
        await agent.accept(key, 4, "set_hostname_tls", hostname="y.a.eu", **mode)
    services = [ServiceIn(kind="https", name="z.a.eu", tls_mode="terminate")]
    await hub.client().apply_desired_state(key, DesiredState(group="g", services=services))
    table = await hub.client().follow_routes(hub.context.keys.node, None)

    assert {route.name: route.tls_mode for route in table.routes} == dict.fromkeys(
        ("x.a.eu", "y.a.eu", "z.a.eu"), TlsMode.TERMINATE
    )
