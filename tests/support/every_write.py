"""Table of every operation that writes: a call of each, and its actions in the audit log."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from support.callers import invite_id, tenant_id
from support.hub import TestHub, new_key, registration, state, tenant_of
from support.legacy_client import legacy_client
from support.reported_certificates import certificate, report_of

from towonel.api.edge_invites import EdgeInviteOut
from towonel.api.invites import HostnamesIn, InviteEdit, InviteIn
from towonel.api.keys import KeyEdit, KeyIn, KeyOut
from towonel.api.limits import Limits
from towonel.api.ports import Reservation, ReservationIn
from towonel.api.tenants import TenantEdit
from towonel.client.hub import HubClient
from towonel.wire import base64url
from towonel.wire.tokens import EdgeToken, InviteToken

REQUEST_ID = "write-test.1"
NEW = InviteIn(name="new", hostnames=["new.eu"])
ADDED = HostnamesIn(hostnames=["added.eu"])
VIEWER = KeyIn(name="k", role="viewer")

type Write = Callable[[], Awaitable[object]]


@dataclass
class Scene:
    """What is there to be changed, who changes it, and the secrets that came up."""

    hub: TestHub
    client: HubClient
    tenant: InviteToken
    revoked: InviteToken
    removed: InviteToken
    edge: EdgeInviteOut
    key: KeyOut
    ports: Reservation
    secrets: list[str] = field(default_factory=list[str])

    async def keep(self, made: Awaitable[object]) -> None:
        """Note the secrets of an answer."""
        answer = await made
        self.secrets += [
            str(getattr(answer, name))
            for name in ("token", "key", "grant")
            if getattr(answer, name, None)
        ]

    def secret_parts(self) -> list[str]:
        """All secrets in every form that they could be shown in."""
        tokens = [self.tenant, self.revoked, self.removed]
        raw = [part for token in tokens for part in (token.secret, token.seed)]
        edge = EdgeToken.decode(self.edge.token)
        raw += [edge.secret, edge.seed]
        texts = [*self.secrets, self.edge.token, self.key.key, "operator-key"]
        texts += [text.rpartition(".")[2] for text in texts]  # the last part alone
        return [*texts, *(form for part in raw for form in (part.hex(), base64url.encode(part)))]


async def scene(hub: TestHub) -> Scene:
    client = hub.client()
    tenant, revoked, removed = [await hub.invite(f"{n}.eu") for n in "abc"]
    edge = await client.edge_invites.create("first")
    key = await client.keys.create(VIEWER)
    reservation = ReservationIn(tenant_id=tenant_id(tenant), protocol="tcp", first_port=3000)
    ports = await client.ports.reserve(reservation)
    node = hub.context.keys.node
    await client.report_edge(node, report_of(certificate("a.eu", hub.clock.now_ms)))
    writer = hub.client()
    writer._transport._http.headers["x-request-id"] = REQUEST_ID
    return Scene(hub, writer, tenant, revoked, removed, edge, key, ports)


def invite_writes(it: Scene) -> dict[str, tuple[Write, list[str]]]:
    client, which, edge = it.client, invite_id(it.tenant), it.edge.invite_id
    updated = ["invite.updated"]
    return {
        "create_invite": (lambda: it.keep(client.invites.create(NEW)), ["invite.created"]),
        "update_invite": (lambda: client.invites.update(which, InviteEdit(name="home")), updated),
        "add_invite_hostnames": (lambda: client.invites.add_hostnames(which, ADDED), updated),
        "remove_invite_hostname": (
            lambda: client.invites.remove_hostname(which, "added.eu"),
            updated,
        ),
        "revoke_invite": (lambda: client.invites.revoke(invite_id(it.revoked)), ["invite.revoked"]),
        "create_edge_invite": (
            lambda: it.keep(client.edge_invites.create("e")),
            ["edge_invite.created"],
        ),
        "revoke_edge_invite": (lambda: client.edge_invites.revoke(edge), ["edge_invite.revoked"]),
    }


def tenant_writes(it: Scene) -> dict[str, tuple[Write, list[str]]]:
    client, of = it.client, tenant_id(it.tenant)
    edit = TenantEdit(limits=Limits(ports=7))
    reservation = ReservationIn(tenant_id=of, protocol="udp", first_port=2000, last_port=2001)
    release = it.ports.reservation_id
    return {
        "update_tenant": (lambda: client.tenants.update(of, edit), ["invite.updated"]),
        "suspend_tenant": (lambda: client.tenants.suspend(of), ["tenant.suspended"]),
        "resume_tenant": (lambda: client.tenants.resume(of), ["tenant.resumed"]),
        "remove_tenant": (lambda: client.tenants.remove(tenant_id(it.removed)), ["tenant.removed"]),
        "reserve_ports": (lambda: client.ports.reserve(reservation), ["ports.reserved"]),
        "release_ports": (lambda: client.ports.release(release), ["ports.released"]),
    }


def key_writes(it: Scene) -> dict[str, tuple[Write, list[str]]]:
    client, which = it.client, it.key.key_id
    return {
        "create_key": (lambda: it.keep(client.keys.create(VIEWER)), ["key.created"]),
        "update_key": (lambda: client.keys.update(which, KeyEdit(name="x")), ["key.updated"]),
        "rotate_key": (lambda: it.keep(client.keys.rotate(which)), ["key.rotated"]),
        "revoke_key": (lambda: client.keys.revoke(which), ["key.revoked"]),
    }


def certificate_writes(it: Scene) -> dict[str, tuple[Write, list[str]]]:
    certificates = it.client.certificates
    return {
        "renew_certificate": (
            lambda: certificates.renew("a.eu"),
            ["certificate.renewal_requested"],
        ),
        "revoke_certificate": (
            lambda: certificates.revoke("a.eu"),
            ["certificate.revocation_requested"],
        ),
    }


def signed_writes(it: Scene) -> dict[str, tuple[Write, list[str]]]:
    """What tenants, agents and edges write."""
    client, node, tenant = it.client, it.hub.context.keys.node, tenant_of(it.tenant)
    agent, services = new_key(), state("a.eu")

    async def entry() -> None:
        async with legacy_client(it.hub) as there:
            there.http.headers["x-request-id"] = REQUEST_ID
            await there.accept(tenant, 1, "upsert_hostname", hostname="a.eu")

    return {
        "register_edge": (
            lambda: client.register_edge(node, registration(node)),
            ["edge.registered"],
        ),
        "bootstrap": (
            lambda: it.keep(client.bootstrap(it.tenant, agent, "g")),
            ["agent.bootstrapped"],
        ),
        "apply_desired_state": (
            lambda: client.apply_desired_state(tenant, services),
            ["services.published"],
        ),
        "submit_entry": (entry, ["entry.applied"]),
    }


def every_write(it: Scene) -> dict[str, tuple[Write, list[str]]]:
    """Each write by its operation, in an order in which they all work, and its actions."""
    writes = invite_writes(it) | tenant_writes(it) | key_writes(it) | certificate_writes(it)
    return writes | signed_writes(it)
