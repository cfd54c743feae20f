"""Typed client of the hub's REST API.

Operators' operations are grouped by resource: `create_invite` is `hub.invites.create(…)`. Those of
agents and edges, which sign with a key of their own, are methods of the client itself.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from http import HTTPMethod
from typing import Self

import httpx

from towonel.api.agents import (
    BootstrapIn,
    BootstrapOut,
    LeaveIn,
    LeaveOut,
    RefreshIn,
    RefreshOut,
)
from towonel.api.edges import EdgeRegisterIn, EdgeRegisterOut
from towonel.api.health import HealthOut
from towonel.api.legacy import HeartbeatOut
from towonel.api.reports import EdgeReport, EdgeReportOut
from towonel.api.services import AppliedState, DesiredState
from towonel.client.agents import Agents
from towonel.client.audit import Audit
from towonel.client.edge_invites import EdgeInvites
from towonel.client.edges import Edges
from towonel.client.invites import Invites
from towonel.client.keys import Keys
from towonel.client.legacy.entries import Entries
from towonel.client.ports import Ports
from towonel.client.request import CBOR, EVENTS, TOTAL_TIMEOUT_S, HubRequest
from towonel.client.routes import Routes
from towonel.client.services import Services
from towonel.client.tenants import Tenants
from towonel.client.transport import SILENCE_S, HubTransport
from towonel.identity.keys import NodeKey, TenantKey
from towonel.identity.signatures import Domain, authorize_node, authorize_tenant
from towonel.wire import base64url
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.heartbeat import Heartbeat, encode_heartbeat
from towonel.wire.legacy.route_table import MAX_TABLE_BYTES
from towonel.wire.routes import RouteDelta, decode_delta
from towonel.wire.tokens import InviteToken

MAX_ROUTES_BYTES = 64 * 1024 * 1024  # the bound of `wire.routes`: a table of some 300 000 names
_TABLE_EVENT_BYTES = MAX_TABLE_BYTES * 4 // 3 + 64 * 1024  # as base64, in lines with their names


class HubClient:
    """Client of one hub. Make one per hub and keep it: connections are reused; `async with` closes.

    Each method raises Denied with the hub's code when refused, Unavailable (HUB_UNAVAILABLE,
    RATE_LIMITED with `retry_after_s`) when it may be asked again, and ProtocolError (MALFORMED,
    TOO_LARGE) for an answer that is not a hub's.

    Args:
        base_url: the hub's address, `https://host[:port][/path]`.
        operator_key: the operator key or an API key, which authorizes operators' operations.
        allow_insecure: accept `http://` for hosts other than this one.
        silence_s: how long a stream of the hub may be silent.
        transport: replaces the network, for tests.
        now_ms: wall clock in milliseconds since 1970.

    Raises:
        Denied: INVALID_REQUEST for an address that is not usable or not safe.
    """

    def __init__(
        self,
        base_url: str,
        *,
        operator_key: str | None = None,
        allow_insecure: bool = False,
        silence_s: float = SILENCE_S,
        transport: httpx.AsyncBaseTransport | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._transport = HubTransport(
            base_url,
            operator_key,
            now_ms,
            allow_insecure=allow_insecure,
            silence_s=silence_s,
            transport=transport,
        )
        self.invites = Invites(self._transport)
        self.edge_invites = EdgeInvites(self._transport)
        self.tenants = Tenants(self._transport)
        self.services = Services(self._transport)
        self.routes = Routes(self._transport)
        self.agents = Agents(self._transport)
        self.edges = Edges(self._transport)
        self.ports = Ports(self._transport)
        self.keys = Keys(self._transport)
        self.audit = Audit(self._transport)
        self.entries = Entries(self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; requests in flight fail."""
        await self._transport.aclose()

    @property
    def base_url(self) -> str:
        """Address of the hub, without a slash at the end."""
        return self._transport.base_url

    @property
    def has_key(self) -> bool:
        """Whether operators' operations can be called."""
        return self._transport.has_key

    async def health(self) -> HealthOut:
        """Return that the hub is up, and its id and version."""
        return await self._transport.fetch(HealthOut, HubRequest(HTTPMethod.GET, "/v1/health"))

    async def bootstrap(self, token: InviteToken, agent: NodeKey, group: str) -> BootstrapOut:
        """Prove an invite and get a grant for the agent whose key signs the request."""
        body = (
            BootstrapIn(
                invite_id=base64url.encode(token.invite_id),
                invite_secret=base64url.encode(token.secret),
                agent_id=agent.public,
                group=group,
            )
            .model_dump_json()
            .encode()
        )
        request = self._sign_request(
            HTTPMethod.POST, "/v1/bootstrap", agent, Domain.AGENT_BOOTSTRAP, body
        )
        return await self._transport.fetch(BootstrapOut, request)

    async def refresh(self, grant: bytes, agent: NodeKey) -> RefreshOut:
        """Trade a grant for a fresh one. Denied TENANT_REVOKED once the invite is revoked."""
        body = RefreshIn(grant=base64url.encode(grant)).model_dump_json().encode()
        request = self._sign_request(
            HTTPMethod.POST, "/v1/agent/refresh", agent, Domain.AGENT_REFRESH, body
        )
        return await self._transport.fetch(RefreshOut, request)

    async def leave(self, grant: bytes, agent: NodeKey) -> LeaveOut:
        """Tell that an agent ends, so that another may take its place at once.

        Raises:
            Denied: NOT_FOUND by a hub of a version before this operation.
        """
        body = LeaveIn(grant=base64url.encode(grant)).model_dump_json().encode()
        request = self._sign_request(
            HTTPMethod.POST, "/v1/agent/leave", agent, Domain.AGENT_LEAVE, body
        )
        return await self._transport.fetch(LeaveOut, request)

    async def heartbeat(self, agent: NodeKey, tenant_id: TenantId) -> HeartbeatOut:
        """Tell, as the original's agents do, that an agent is there for a tenant."""
        body = encode_heartbeat(Heartbeat(tenant_id, AgentId(agent.public)))
        request = HubRequest(
            HTTPMethod.POST,
            "/v1/agent/heartbeat",
            body,
            authorize_node(agent, Domain.AGENT_HEARTBEAT, body, self._transport.timestamp_ms()),
            content_type=CBOR,
        )
        return await self._transport.fetch(HeartbeatOut, request)

    async def apply_desired_state(self, tenant: TenantKey, state: DesiredState) -> AppliedState:
        """Publish all that a group serves, in place of what it published before.

        Raises:
            Denied: HOSTNAME_CONFLICT and HOSTNAME_NOT_OWNED with every offending name.
        """
        body = state.model_dump_json().encode()
        authorization = authorize_tenant(
            tenant, Domain.DESIRED_STATE, body, self._transport.timestamp_ms()
        )
        request = HubRequest(HTTPMethod.PUT, "/v1/desired-state", body, authorization)
        return await self._transport.fetch(AppliedState, request)

    async def register_edge(self, edge: NodeKey, registration: EdgeRegisterIn) -> EdgeRegisterOut:
        """Tell where an edge listens and its certificate. Denied EDGE_UNKNOWN without an invite."""
        body = registration.model_dump_json().encode()
        request = self._sign_request(
            HTTPMethod.POST, "/v1/edges/register", edge, Domain.EDGE_REGISTER, body
        )
        return await self._transport.fetch(EdgeRegisterOut, request)

    async def report_edge(self, edge: NodeKey, report: EdgeReport) -> EdgeReportOut:
        """Tell which agents an edge has and what it carried. Denied EDGE_UNKNOWN as to register."""
        body = report.model_dump_json().encode()
        request = self._sign_request(
            HTTPMethod.POST, "/v1/edges/report", edge, Domain.EDGE_REPORT, body
        )
        return await self._transport.fetch(EdgeReportOut, request)

    async def follow_routes(
        self, edge: NodeKey, since: int | None, wait_s: int = 0, tag: bytes | None = None
    ) -> RouteDelta:
        """Ask for the routes changed after revision `since`; all of them for None.

        Args:
            edge: the edge that asks.
            since: the revision the edge has.
            wait_s: how long the hub may hold an answer that has no news; 0 to 30 s.
            tag: of that revision, as the hub sent it; with another one the answer is everything.
        """
        now_ms = self._transport.timestamp_ms()
        request = HubRequest(
            HTTPMethod.GET,
            "/v1/routes/feed",
            authorization=authorize_node(edge, Domain.EDGE_SUBSCRIBE, b"", now_ms),
            query={"since": since, "wait": wait_s, "tag": None if tag is None else tag.hex()},
            accept=CBOR,
            max_bytes=MAX_ROUTES_BYTES,
            timeout_s=wait_s + TOTAL_TIMEOUT_S,
        )
        return decode_delta(await self._transport.fetch_bytes(request))

    async def subscribe_routes(self, edge: NodeKey) -> AsyncGenerator[bytes]:
        """Yield the original's route table (CBOR, `wire.legacy_table`), whole at each change.

        It ends when the hub ends the stream; `aclose` it when left early.

        Raises:
            Unavailable: HUB_UNAVAILABLE also for a hub that is silent for 45 s.
        """
        request = HubRequest(
            HTTPMethod.GET,
            "/v1/routes/subscribe",
            authorization=authorize_node(
                edge, Domain.EDGE_SUBSCRIBE, b"", self._transport.timestamp_ms()
            ),
            accept=EVENTS,
            max_bytes=_TABLE_EVENT_BYTES,
        )
        async with aclosing(self._transport.events(request)) as events:
            async for event in events:
                if event.name == "routes":
                    yield base64url.decode(event.data)

    def _sign_request(
        self, method: HTTPMethod, path: str, key: NodeKey, domain: Domain, body: bytes
    ) -> HubRequest:
        return HubRequest(
            method, path, body, authorize_node(key, domain, body, self._transport.timestamp_ms())
        )
