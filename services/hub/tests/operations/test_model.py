"""Long random lives of a hub, step by step the same as a model of dicts: owners, routes, ports, sequences."""

import contextlib
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

import pytest
from support.hub import TestHub, new_key, running_hub
from support.legacy_client import LegacyClient, body_of, legacy_client
from support.reference_model import Item, Op, Plain, Tenant

from towonel.api.invites import HostnamesIn, InviteEdit, InviteIn
from towonel.api.limits import Limits
from towonel.api.ports import PortRange, ReservationIn
from towonel.api.services import DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.hub.backup.check import problems
from towonel.hub.core.ports import PortRules
from towonel.hub.core.quotas import Quotas
from towonel.hub.live.route_cache import RouteCache
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store import retention
from towonel.hub.store.db.database import Database
from towonel.identity.keys import NodeKey, TenantKey
from towonel.wire import base64url
from towonel.wire.errors import TowonelError
from towonel.wire.ids import TenantId
from towonel.wire.legacy.entries import decode_payload
from towonel.wire.names import Hostname, wildcard_of
from towonel.wire.routes import RouteDelta
from towonel.wire.tokens import InviteToken

MOST = {"services": 5, "agents": 2, "ports": 4, "hostnames": 3}
FIRST_PORT, OWN = 1024, {1026}
PORTS = [1024, 1025, 1026, 1027, 1028, 1029, 1030]
PATTERNS = ["*.eu", "a.eu", "*.a.eu", "b.a.eu", "*.b.a.eu", "c.b.a.eu", "d.a.eu", "*.c.b.a.eu"]
NAMES = [*PATTERNS, "x.b.a.eu", "xa.eu", "y.c.b.a.eu", "z.a.eu"]
CLIENTS_ASK = ["a.eu", "b.a.eu", "d.a.eu", "q.a.eu", "c.b.a.eu", "q.b.a.eu", "q.c.b.a.eu"]
MODES, PROTOCOLS, SERVICES = ["passthrough", "terminate"], ["tcp", "udp"], ["ssh", "db", "web"]
TREE = [["*.a.eu"], ["b.a.eu", "*.b.a.eu"], ["*.eu", "c.b.a.eu"]]
SEEDS = [10, 11, 12, 16]  # each of them finds mistakes that others do not, when they are put in
CHECK_ALL_EVERY = 6  # steps: lists, logs and the whole database take more time than a step
DAY_MS = 26 * 3_600_000  # and some hours for clocks
# How often each comes, for a life in which much is published and little is revoked.
STEPS = {
    "invite": 3, "set_hostnames": 2, "add_hostname": 2, "drop_hostname": 2, "stand": 3,
    "set_limit": 2, "publish": 10, "enter": 14, "reserve": 3, "reserve_any": 1, "set_ports": 2,
    "release": 2, "a_day_passes": 1, "a_lazy_edge_asks": 2,
}  # fmt: skip


key_from = cache(TenantKey.from_seed)


@dataclass
class Edge:
    """What an edge has that follows deltas."""

    revision: int | None = None
    routes: dict[str, tuple[bytes, Item]] = field(default_factory=dict[str, tuple[bytes, Item]])
    blocked: set[bytes] = field(default_factory=set[bytes])

    def take(self, delta: RouteDelta) -> None:
        if delta.snapshot:
            self.routes.clear()
            self.blocked.clear()
        for route in delta.routes:
            item = Item(str(route.kind), route.name, route.port, str(route.tls_mode))
            self.routes[route.key] = (route.tenant_id, item)
        for key in delta.removed:
            self.routes.pop(key, None)
        self.blocked = (self.blocked | {*delta.blocked}) - {*delta.unblocked}
        self.revision = delta.revision

    def tenant_at(self, name: str) -> bytes | None:
        """Who gets a client that asks for a name: the exact route's tenant, else the wildcard's."""
        above = wildcard_of(Hostname(name))
        found = self.routes.get(f"https:{name}") or self.routes.get(f"https:{above}")
        return found[0] if found else None


@dataclass
class Life:
    """A hub, its model, an edge that follows each change, and one that asks a replica at times."""

    database: Database
    hub: TestHub
    client: HubClient
    original: LegacyClient
    replica: RouteCache
    draw: Random
    plain: Plain = field(default_factory=lambda: Plain(MOST, OWN))
    tokens: list[InviteToken] = field(default_factory=list[InviteToken])
    agents: dict[tuple[int, str], NodeKey] = field(default_factory=dict[tuple[int, str], NodeKey])
    eager: Edge = field(default_factory=Edge)
    lazy: Edge = field(default_factory=Edge)

    async def ask[T](self, right: set[str], requested: Coroutine[Any, Any, T]) -> T | None:
        """Ask the hub for what the model refused with these words, or took where there are none."""
        try:
            answer = await requested
        except TowonelError as error:
            assert error.code.word in right, (error, right)
            return None
        assert not right, f"taken, and to be refused: {right}"
        return answer

    @property
    def someone(self) -> Tenant:
        """Mostly one that lives."""
        living = [tenant for tenant in self.plain.tenants if not tenant.is_over]
        over = [tenant for tenant in self.plain.tenants if tenant.is_over]
        return self.draw.choice([*living * 3, *over[-1:]])

    def name(self, tenant: Tenant) -> str:
        """Mostly one that is the tenant's, and often one that its log knows."""
        own = [name for name in NAMES if self.plain.owner(name) == tenant.number]
        logged = [name for kind, name in tenant.log if kind in {"hostname", "tls"}]
        return self.draw.choice([*own * 5, *logged * 5, *NAMES])

    def patterns(self) -> list[str]:
        return self.draw.choices(PATTERNS, k=self.draw.choice([1, 1, 2, 3, 4]))

    def item(self, tenant: Tenant) -> Item:
        if self.draw.random() < 0.6:
            return Item("https", self.name(tenant), None, self.draw.choice(MODES))
        kind, name = self.draw.choice(PROTOCOLS), self.draw.choice(SERVICES)
        return Item(kind, name, self.draw.choice(PORTS))

    def op(self, tenant: Tenant) -> Op:
        kind = self.draw.choice(["hostname", "hostname", "tls", "agent", "tcp", "udp"])
        removes = self.draw.random() < 0.3
        if kind == "hostname":
            return Op(f"{'delete' if removes else 'upsert'}_hostname", self.name(tenant))
        if kind == "tls":
            return Op("set_hostname_tls", self.name(tenant), None, self.draw.choice(MODES))
        if kind == "agent":
            who = self.draw.choice(["one", "two", "three"])
            return Op(f"{'revoke' if removes else 'upsert'}_agent", who)
        name = self.draw.choice(SERVICES)
        if removes:
            return Op(f"delete_{kind}_service", name)
        return Op(f"upsert_{kind}_service", name, self.draw.choice(PORTS))

    def key(self, tenant: Tenant) -> TenantKey:
        return key_from(self.tokens[tenant.number].seed)

    def invite_id(self, tenant: Tenant) -> str:
        return base64url.encode(self.tokens[tenant.number].invite_id)

    # --- what happens

    async def begin(self) -> None:
        for patterns in TREE:
            await self.invite(patterns)

    async def invite(self, patterns: list[str] | None = None) -> None:
        patterns = patterns or self.patterns()
        right = self.plain.invite(patterns)
        made = await self.ask(right, self.client.invites.create(InviteIn(hostnames=patterns)))
        if made is not None:
            self.tokens.append(InviteToken.decode(made.token))

    async def set_hostnames(self) -> None:
        tenant, patterns = self.someone, self.patterns()
        right = self.plain.set_hostnames(tenant, patterns)
        edit = InviteEdit(hostnames=patterns)
        await self.ask(right, self.client.invites.update(self.invite_id(tenant), edit))

    async def add_hostname(self) -> None:
        tenant, (pattern, *_) = self.someone, self.patterns()
        right = self.plain.add_hostname(tenant, pattern)
        added = HostnamesIn(hostnames=[pattern])
        await self.ask(right, self.client.invites.add_hostnames(self.invite_id(tenant), added))

    async def drop_hostname(self) -> None:
        tenant = self.someone
        pattern = self.draw.choice([*tenant.patterns * 3, *PATTERNS])
        right = self.plain.drop_hostname(tenant, pattern)
        await self.ask(right, self.client.invites.remove_hostname(self.invite_id(tenant), pattern))

    async def stand(self) -> None:
        tenant, now_ms = self.someone, self.hub.clock()
        tenant_id = self.key(tenant).tenant_id
        how = "resume" if tenant.state == "suspended" and self.draw.random() < 0.7 else None
        requested: Coroutine[Any, Any, object]
        match how or self.draw.choice(["revoke", "remove", "suspend", "suspend", "resume"]):
            case "revoke":
                right = self.plain.revoke(tenant, now_ms)
                requested = self.client.invites.revoke(self.invite_id(tenant))
            case "remove":
                right = self.plain.remove(tenant, now_ms)
                requested = self.client.tenants.remove(tenant_id)
            case "suspend":
                right = self.plain.switch(tenant, "suspended", now_ms)
                requested = self.client.tenants.suspend(tenant_id)
            case _:
                right = self.plain.switch(tenant, "active", now_ms)
                requested = self.client.tenants.resume(tenant_id)
        await self.ask(right, requested)

    async def set_limit(self) -> None:
        tenant, what = self.someone, self.draw.choice([*MOST])
        most = self.draw.choice([1, 3, 5, 6, 7, 8])
        right = self.plain.set_limit(tenant, what, most)
        edit = InviteEdit(limits=Limits.model_validate({what: most}))
        await self.ask(right, self.client.invites.update(self.invite_id(tenant), edit))

    async def publish(self) -> None:
        tenant, group = self.someone, self.draw.choice("gh")
        items = [self.item(tenant) for _ in range(self.draw.choice([0, 1, 1, 2, 2, 3, 4]))]
        right = self.plain.publish(tenant, group, items)
        services = [
            ServiceIn.model_validate(
                {"kind": it.kind, "name": it.name, "port": it.port, "tls_mode": it.tls}
            )
            for it in items
        ]
        wanted = DesiredState(group=group, services=services)
        await self.ask(right, self.client.apply_desired_state(self.key(tenant), wanted))

    async def enter(self) -> None:
        tenant = self.someone
        op, step = self.op(tenant), self.draw.choice([1, 1, 1, 1, 1, 1, 2, 9, 0, -1])
        sequence = max(0, (tenant.last or 0) + step)
        right = self.plain.enter(tenant, sequence, op)
        right |= {"invalid_request"} if "port_conflict" in right else set()
        fields = self._fields(tenant, op)
        sent = await self.original.submit(self.key(tenant), sequence, op.word, **fields)
        assert (sent.status_code == 200) is not bool(right), (sent.text, right)
        assert sent.status_code == 200 or body_of(sent)[1] in right, (sent.text, right)

    def _fields(self, tenant: Tenant, op: Op) -> dict[str, object]:
        if "agent" in op.word:
            agent = self.agents.setdefault((tenant.number, op.name), new_key())
            return {"agent_id": agent.public}
        if op.word == "set_hostname_tls":
            return {"hostname": op.name, "mode": {"mode": op.tls}}
        if "hostname" in op.word:
            return {"hostname": op.name}
        port = {} if op.port is None else {"listen_port": op.port}
        return {"service": op.name, **port}

    async def reserve(self) -> None:
        tenant, protocol = self.someone, self.draw.choice(PROTOCOLS)
        first = self.draw.choice(PORTS)
        last = first + self.draw.choice([0, 0, 1, 2])
        right = self.plain.reserve(tenant, protocol, first, last)
        await self.ask(right, self.client.ports.reserve(self._area(tenant, protocol, first, last)))

    async def reserve_any(self) -> None:
        tenant, protocol = self.someone, self.draw.choice(PROTOCOLS)
        (free,) = self.plain.free(protocol, FIRST_PORT, 1)
        right = self.plain.reserve(tenant, protocol, free, free)
        made = await self.ask(right, self.client.ports.reserve(self._area(tenant, protocol)))
        assert made is None or (made.first_port, made.last_port) == (free, free)

    async def set_ports(self) -> None:
        tenant = self.someone
        retained = sorted(self.plain.reserved)
        held = [
            (kind, first, last) for number, kind, first, last in retained if number == tenant.number
        ]
        wanted = held[:1]
        for _ in range(self.draw.choice([0, 1, 2])):
            first = self.draw.choice(PORTS)
            wanted.append((self.draw.choice(PROTOCOLS), first, first + self.draw.choice([0, 1])))
        right = self.plain.set_ports(tenant, wanted)
        names = ("protocol", "first_port", "last_port")
        ports = [PortRange.model_validate(dict(zip(names, area, strict=True))) for area in wanted]
        edit = InviteEdit(ports=ports)
        await self.ask(right, self.client.invites.update(self.invite_id(tenant), edit))

    async def release(self) -> None:
        listed = (await self.client.ports.list()).ports
        if listed:
            gone = self.draw.choice(listed)
            await self.client.ports.release(gone.reservation_id)
            number = self.number_of(gone.tenant_id)
            area = (number, gone.protocol, gone.first_port, gone.last_port)
            self.plain.reserved.remove(area)

    async def a_day_passes(self) -> None:
        self.hub.clock.now_ms += DAY_MS
        async with self.hub.context.store.write() as change:
            await retention.prune(change)
        await self.hub.context.route_cache.catch_up()

    async def a_lazy_edge_asks(self) -> None:
        await self.replica.catch_up()
        self.lazy.take(self.replica.delta(self.lazy.revision))
        self.check_edge(self.lazy)

    # --- what must hold

    async def check_routes(self) -> None:
        node = self.hub.context.keys.node
        self.eager.take(await self.client.follow_routes(node, self.eager.revision))
        self.check_edge(self.eager)
        for name in CLIENTS_ASK:
            found, owner = self.eager.tenant_at(name), self.plain.owner(name)
            assert found is None or (owner is not None and found == self.ids()[owner]), name

    async def check_all(self) -> None:
        await self.check_routes()
        whole = Edge()
        whole.take(await self.client.follow_routes(self.hub.context.keys.node, None))
        self.check_edge(whole)
        await self.check_ports()
        await self.check_services()
        for tenant in self.plain.tenants:
            log = await self.client.entries.list(TenantId(self.key(tenant).tenant_id))
            assert [decode_payload(it.payload).sequence for it in log] == tenant.sequences
        assert problems(self.database) == []

    def check_edge(self, edge: Edge) -> None:
        ids = self.ids()
        wanted = {key: (ids[number], item) for key, (number, item) in self.plain.table().items()}
        blocked, over = self.plain.blocked(self.hub.clock())
        assert edge.routes == wanted
        assert {ids[number] for number in blocked} <= edge.blocked
        assert edge.blocked <= {ids[number] for number in blocked | over}

    async def check_ports(self) -> None:
        for protocol in ("tcp", "udp"):
            available = await self.client.ports.available(protocol, 5)
            assert available.ports == self.plain.free(protocol, FIRST_PORT, 5)
        retained = {
            (self.number_of(it.tenant_id), it.protocol, it.first_port, it.last_port)
            for it in (await self.client.ports.list()).ports
        }
        assert retained == self.plain.reserved

    async def check_services(self) -> None:
        listed = (await self.client.services.list()).services
        found = {(self.number_of(it.tenant_id), it.group, it.key) for it in listed}
        assert found == {
            (tenant.number, group, key)
            for tenant in self.plain.tenants
            for group, keys in tenant.groups.items()
            for key in keys
        }

    def ids(self) -> list[bytes]:
        return [key_from(token.seed).tenant_id for token in self.tokens]

    def number_of(self, tenant_id: bytes) -> int:
        return self.ids().index(TenantId(tenant_id))

    def _area(self, tenant: Tenant, protocol: str, *ports: int) -> ReservationIn:
        names = dict(zip(("first_port", "last_port"), ports, strict=False))
        tenant_id = self.key(tenant).tenant_id
        return ReservationIn.model_validate({"tenant_id": tenant_id, "protocol": protocol, **names})


@contextlib.asynccontextmanager
async def born(database: Database, seed: int) -> AsyncGenerator[Life]:
    chosen: dict[str, Any] = {"quotas": Quotas(**MOST), "ports": PortRules(own=frozenset(OWN))}
    async with running_hub(database, RouteChanges(), **chosen) as hub, legacy_client(hub) as agent:
        replica = RouteCache(hub.context.store, RouteChanges())
        yield Life(database, hub, hub.client(), agent, replica, Random(seed))


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_hub_lives_as_the_model_says(database: Database, seed: int) -> None:
    story = list[str]()
    async with born(database, seed) as life:
        try:
            await life.begin()
            for number in range(75 if database.is_sqlite else 50):
                (step,) = life.draw.choices([*STEPS], [*STEPS.values()])
                story.append(step)
                await getattr(life, step)()
                await (life.check_routes() if number % CHECK_ALL_EVERY else life.check_all())
            await life.check_all()
        except AssertionError as error:
            error.add_note(f"seed {seed}: {' '.join(story)}")
            raise
