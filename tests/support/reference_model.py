"""Reference model of the hub: dicts and brute force, and nothing of the hub's own code.

Every method answers with the words of refusals that would be right, and changes something only where
there are none.
"""

from dataclasses import dataclass, field

ENTRIES = "@entries"  # what a log publishes is one more group
GRANT_MS = 24 * 3_600_000
REMOVALS = {"delete_hostname", "revoke_agent", "delete_tcp_service", "delete_udp_service"}


@dataclass(frozen=True)
class Item:
    """A service: https by name, tcp and udp by port."""

    kind: str
    name: str
    port: int | None = None
    tls: str = "passthrough"

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.name if self.port is None else self.port}"


@dataclass(frozen=True)
class Op:
    """What an entry says."""

    word: str
    name: str
    port: int | None = None
    tls: str = "passthrough"

    @property
    def removes(self) -> bool:
        return self.word in REMOVALS

    @property
    def subject(self) -> tuple[str, str]:
        kind = "tls" if self.word == "set_hostname_tls" else self.word.split("_")[1]
        return kind, self.name

    @property
    def forgets(self) -> set[tuple[str, str]]:
        return {self.subject, *([("tls", self.name)] if self.word == "delete_hostname" else [])}


@dataclass
class Tenant:
    """One invite, and all that was said about it."""

    number: int
    patterns: list[str]
    limits: dict[str, int]
    state: str = "active"
    blocked_ms: int | None = None
    groups: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    log: dict[tuple[str, str], tuple[int, Op]] = field(
        default_factory=dict[tuple[str, str], tuple[int, Op]]
    )
    last: int | None = None
    ends_with_removal: bool = False

    @property
    def is_over(self) -> bool:
        return self.state in {"revoked", "removed"}

    @property
    def sequences(self) -> list[int]:
        """The entries that the log retains."""
        found = {sequence for sequence, _ in self.log.values()}
        return sorted(found | ({self.last or 0} if self.ends_with_removal else set()))

    def agents(self, log: dict[tuple[str, str], tuple[int, Op]]) -> int:
        return sum(kind == "agent" for kind, _ in log)


@dataclass
class Plain:
    """All tenants, what was said last of each published key, and who keeps which ports."""

    limits: dict[str, int]
    own_ports: set[int]
    tenants: list[Tenant] = field(default_factory=list[Tenant])
    said: dict[str, Item] = field(default_factory=dict[str, Item])
    reserved: set[tuple[int, str, int, int]] = field(default_factory=set[tuple[int, str, int, int]])

    # --- who owns what

    def holder(self, pattern: str) -> int | None:
        found = [t.number for t in self.tenants if not t.is_over and pattern in t.patterns]
        assert len(found) <= 1
        return found[0] if found else None

    def owner(self, name: str) -> int | None:
        """The longest pattern that ends like the name wins, and the name itself before all."""
        held = [(p, t.number) for t in self.tenants if not t.is_over for p in t.patterns]
        fitting = [
            (pattern == name, len(pattern), number)
            for pattern, number in held
            if pattern == name or (pattern[0] == "*" and name.endswith(pattern[1:]))
        ]
        return max(fitting)[2] if fitting else None

    def publisher(self, key: str) -> int | None:
        found = {t.number for t in self.tenants for keys in t.groups.values() if key in keys}
        assert len(found) <= 1
        return found.pop() if found else None

    def table(self) -> dict[str, tuple[int, Item]]:
        """What edges serve: what is published, and names reserved from another tenant's wildcard."""
        found = {
            key: (tenant.number, self.said[key])
            for tenant in self.tenants
            for keys in tenant.groups.values()
            for key in keys
        }
        for tenant in self.tenants:
            for name in tenant.patterns if not tenant.is_over else ():
                above = self.owner(f"*.{name.split('.', 1)[1]}") if name.count(".") > 1 else None
                if name[0] != "*" and above not in {None, tenant.number}:
                    found.setdefault(f"https:{name}", (tenant.number, Item("https", name)))
        return found

    def blocked(self, now_ms: int) -> tuple[set[int], set[int]]:
        """Tenants whose grants are void, and those for whom it no longer matters."""
        ends = {t.number: t.blocked_ms + GRANT_MS for t in self.tenants if t.blocked_ms is not None}
        return {n for n, at in ends.items() if now_ms < at}, {
            n for n, at in ends.items() if now_ms >= at
        }

    def free(self, protocol: str, first: int, count: int) -> list[int]:
        taken = {
            p
            for _, kind, low, high in self.reserved
            if kind == protocol
            for p in range(low, high + 1)
        }
        taken |= self.own_ports | {
            int(k.split(":")[1]) for k in self.table() if k.startswith(f"{protocol}:")
        }
        return [port for port in range(first, first + 500) if port not in taken][:count]

    # --- what may change

    def invite(self, patterns: list[str]) -> set[str]:
        patterns = list(dict.fromkeys(patterns))
        wrong = (
            {"hostname_conflict"} if any(self.holder(p) is not None for p in patterns) else set()
        )
        wrong |= {"quota_exceeded"} if len(patterns) > self.limits["hostnames"] else set()
        if not wrong:
            self.tenants.append(Tenant(len(self.tenants), patterns, dict(self.limits)))
            self._forget_what_is_lost()
        return wrong

    def set_hostnames(self, tenant: Tenant, patterns: list[str]) -> set[str]:
        if tenant.is_over:
            return {"not_found"}
        patterns = list(dict.fromkeys(patterns))
        added = [pattern for pattern in patterns if pattern not in tenant.patterns]
        wrong = {"hostname_conflict"} if any(self.holder(p) is not None for p in added) else set()
        if added and len(patterns) > tenant.limits["hostnames"]:
            wrong |= {"quota_exceeded"}
        if not wrong:
            tenant.patterns = patterns
            self._forget_what_is_lost()
        return wrong

    def add_hostname(self, tenant: Tenant, pattern: str) -> set[str]:
        return self.set_hostnames(tenant, [*tenant.patterns, pattern])

    def drop_hostname(self, tenant: Tenant, pattern: str) -> set[str]:
        if tenant.is_over or pattern not in tenant.patterns:
            return {"not_found"}
        if len(tenant.patterns) == 1:
            return {"invalid_request"}
        return self.set_hostnames(tenant, [p for p in tenant.patterns if p != pattern])

    def revoke(self, tenant: Tenant, now_ms: int) -> set[str]:
        if tenant.is_over:
            return {"not_found"}
        tenant.state, tenant.blocked_ms = "revoked", now_ms
        tenant.groups.clear()
        self.reserved = {area for area in self.reserved if area[0] != tenant.number}
        return set()

    def remove(self, tenant: Tenant, now_ms: int) -> set[str]:
        self.revoke(tenant, now_ms)
        tenant.state, tenant.log, tenant.ends_with_removal = "removed", {}, False
        return set()

    def switch(self, tenant: Tenant, state: str, now_ms: int) -> set[str]:
        if tenant.is_over:
            return {"not_found"}
        if tenant.state != state:
            tenant.state = state
            tenant.blocked_ms = now_ms if state == "suspended" else None
        return set()

    def publish(self, tenant: Tenant, group: str, items: list[Item]) -> set[str]:
        wrong = self._standing(tenant) | self._publishing(tenant, group, items)
        if not wrong:
            tenant.groups[group] = {item.key for item in items}
            self.said |= {item.key: item for item in items}
        return wrong

    def enter(self, tenant: Tenant, sequence: int, op: Op) -> set[str]:
        wrong = self._standing(tenant)
        if not wrong and tenant.last is not None and sequence <= tenant.last:
            wrong = {"sequence_conflict"}
        if wrong:
            return wrong
        log = {about: it for about, it in tenant.log.items() if about not in op.forgets}
        log |= {} if op.removes else {op.subject: (sequence, op)}
        wrong = self._log_limits(tenant, log)
        if "hostname" in op.word and self.owner(op.name) != tenant.number:
            wrong |= {"hostname_not_owned", "hostname_conflict"}
        if not wrong and "agent" not in op.word:
            wrong = self.publish(tenant, ENTRIES, self._items(tenant, log))
        if not wrong:
            tenant.log, tenant.last, tenant.ends_with_removal = log, sequence, op.removes
        return wrong

    def reserve(self, tenant: Tenant, protocol: str, first: int, last: int) -> set[str]:
        if tenant.is_over:
            return {"not_found"}
        ports = range(first, last + 1)
        held = sum(high - low + 1 for n, _, low, high in self.reserved if n == tenant.number)
        wrong = {"quota_exceeded"} if held + len(ports) > tenant.limits["ports"] else set()
        wrong |= {"invalid_request"} if self.own_ports & set(ports) else set()
        for port in ports:
            reserved = any(
                kind == protocol and low <= port <= high for _, kind, low, high in self.reserved
            )
            if reserved or self.publisher(f"{protocol}:{port}") not in {None, tenant.number}:
                wrong |= {"port_conflict"}
        if not wrong:
            self.reserved.add((tenant.number, protocol, first, last))
        return wrong

    def set_ports(self, tenant: Tenant, wanted: list[tuple[str, int, int]]) -> set[str]:
        if tenant.is_over:
            return {"not_found"}
        before, wrong = set(self.reserved), set[str]()
        mine = {(tenant.number, *area) for area in wanted}
        self.reserved = {area for area in before if area[0] != tenant.number or area in mine}
        for _, protocol, first, last in mine - self.reserved:
            wrong |= self.reserve(tenant, protocol, first, last)
        if wrong:
            self.reserved = before
        return wrong

    def set_limit(self, tenant: Tenant, what: str, most: int) -> set[str]:
        if tenant.is_over:
            return {"not_found"}
        tenant.limits[what] = most
        return set()

    # --- rules

    def _standing(self, tenant: Tenant) -> set[str]:
        return {
            "active": set[str](),
            "suspended": {"tenant_suspended"},
            "revoked": {"tenant_revoked", "tenant_not_allowed"},
            "removed": {"tenant_revoked", "tenant_not_allowed"},
        }[tenant.state]

    def _publishing(self, tenant: Tenant, group: str, items: list[Item]) -> set[str]:
        keys, names = [item.key for item in items], [(item.kind, item.name) for item in items]
        wrong = set[str]()
        if len(set(keys)) < len(keys) or len(set(names)) < len(names):
            wrong |= {"invalid_request"}
        wrong |= {"invalid_request"} if self.own_ports & {item.port for item in items} else set()
        for item in items:
            if item.port is None and self.owner(item.name) != tenant.number:
                wrong |= {"hostname_not_owned", "hostname_conflict"}
            if item.port is not None and not self._port_is_for(tenant, item):
                wrong |= {"port_conflict"}
            if self._has_namesake(tenant, group, item):
                wrong |= {"port_conflict"}
        others = {key for name, keys in tenant.groups.items() if name != group for key in keys}
        before, after = others | tenant.groups.get(group, set()), others | set(keys)
        ports = [sum(key[:5] != "https" for key in every) for every in (before, after)]
        if len(before) < len(after) > tenant.limits["services"]:
            wrong |= {"quota_exceeded"}
        if ports[0] < ports[1] > tenant.limits["ports"]:
            wrong |= {"quota_exceeded"}
        return wrong

    def _has_namesake(self, tenant: Tenant, group: str, item: Item) -> bool:
        """Whether another group publishes the service on another port."""
        published = [
            self.said[k] for name, ks in tenant.groups.items() if name != group for k in ks
        ]
        return any(
            (it.kind, it.name) == (item.kind, item.name) and it.port != item.port
            for it in published
        )

    def _port_is_for(self, tenant: Tenant, item: Item) -> bool:
        port = item.port or 0
        keepers = {
            n for n, kind, low, high in self.reserved if kind == item.kind and low <= port <= high
        }
        return (keepers | {self.publisher(item.key)}) <= {None, tenant.number}

    def _log_limits(self, tenant: Tenant, log: dict[tuple[str, str], tuple[int, Op]]) -> set[str]:
        agents = tenant.agents(log)
        over = agents > tenant.limits["agents"] or len(log) - agents > 2 * tenant.limits["services"]
        return {"quota_exceeded"} if len(log) > len(tenant.log) and over else set()

    def _items(self, tenant: Tenant, log: dict[tuple[str, str], tuple[int, Op]]) -> list[Item]:
        found: list[Item] = []
        for (kind, name), (_, op) in log.items():
            if kind == "hostname" and self.owner(name) == tenant.number:
                _, mode = log.get(("tls", name), (0, Op("set_hostname_tls", name)))
                found.append(Item("https", name, None, mode.tls))
            elif kind in {"tcp", "udp"}:
                found.append(Item(kind, name, op.port))
        return found

    def _forget_what_is_lost(self) -> None:
        """Whoever no longer owns a name no longer publishes it."""
        for tenant in self.tenants:
            for keys in tenant.groups.values():
                keys -= {
                    key
                    for key in keys
                    if key[:6] == "https:" and self.owner(key[6:]) != tenant.number
                }
