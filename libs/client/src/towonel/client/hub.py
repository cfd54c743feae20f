"""Typed client of the whole REST API of the hub.

Operators' operations are grouped by resource: `create_invite` is `hub.invites.create(…)`. Those of
agents and edges, which sign with a key of their own, are methods of the client itself.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from http import HTTPMethod

from pydantic import BaseModel

from towonel.api.agents import (
    MAX_MISMATCHES,
    BootstrapIn,
    BootstrapOut,
    LeaveIn,
    LeaveOut,
    RefreshIn,
    RefreshOut,
)
from towonel.api.edges import EdgeRegisterIn, EdgeRegisterOut
from towonel.api.legacy import HeartbeatOut
from towonel.api.reports import EdgeReport, EdgeReportOut
from towonel.api.services import AppliedState, DesiredState
from towonel.client.legacy.entries import Entries
from towonel.client.operator import OperatorClient
from towonel.client.request import CBOR, EVENTS, TOTAL_TIMEOUT_S, HubRequest
from towonel.identity.keys import NodeKey, TenantKey
from towonel.identity.signatures import (
    BODY_HASH_HEADER,
    Domain,
    authorize_node,
    authorize_tenant,
    hash_body,
)
from towonel.wire import base64url
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.heartbeat import Heartbeat, encode_heartbeat
from towonel.wire.legacy.route_table import MAX_TABLE_BYTES
from towonel.wire.routes import RouteDelta, decode_delta
from towonel.wire.tokens import InviteToken

_QUICK_BYTES = 64 * 1024  # of routes, which are decoded in some milliseconds
MAX_ROUTES_BYTES = 64 * 1024 * 1024  # the bound of `wire.routes`: a table of some 300 000 names
_TABLE_EVENT_BYTES = MAX_TABLE_BYTES * 4 // 3 + 64 * 1024  # as base64, in lines with their names


class HubClient(OperatorClient):
    """Client of one hub for operators, agents, edges and tenants; arguments as of OperatorClient."""

    @property
    def entries(self) -> Entries:
        """Logs of signed entries, as the original has them."""
        return Entries(self._transport)

    async def bootstrap(self, token: InviteToken, agent: NodeKey, group: str) -> BootstrapOut:
        """Prove an invite and get a grant for the agent whose key signs the request."""
        sent = BootstrapIn(
            invite_id=base64url.encode(token.invite_id),
            invite_secret=base64url.encode(token.secret),
            agent_id=agent.public,
            group=group,
        )
        request = self._sign_post("/v1/bootstrap", agent, Domain.AGENT_BOOTSTRAP, sent)
        return await self._transport.fetch(BootstrapOut, request)

    async def refresh(
        self,
        grant: bytes,
        agent: NodeKey,
        digest: bytes | None = None,
        certificate_mismatches: Sequence[str] = (),
    ) -> RefreshOut:
        """Trade a grant for a fresh one. Denied TENANT_REVOKED once the invite is revoked.

        Args:
            grant: the agent's.
            agent: its key.
            digest: of what the agent published last, as the hub told it.
            certificate_mismatches: services whose clients see another certificate than the origin's.
        """
        mismatches = list(certificate_mismatches[:MAX_MISMATCHES])
        sent = RefreshIn(grant=base64url.encode(grant), certificate_mismatches=mismatches)
        # Without defaults: a hub of an older version knows the grant alone.
        body = sent.model_dump_json(exclude_defaults=True)
        request = self._sign_body("/v1/agent/refresh", agent, Domain.AGENT_REFRESH, body.encode())
        request = replace(request, query={"digest": digest})
        return await self._transport.fetch(RefreshOut, request)

    async def leave(self, grant: bytes, agent: NodeKey) -> LeaveOut:
        """Tell that an agent ends, so that another may take its place at once.

        Raises:
            Denied: NOT_FOUND by a hub of a version before this operation.
        """
        sent = LeaveIn(grant=base64url.encode(grant))
        request = self._sign_post("/v1/agent/leave", agent, Domain.AGENT_LEAVE, sent)
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

    async def apply_desired_state(
        self, tenant: TenantKey, state: DesiredState, agent_id: bytes | None = None
    ) -> AppliedState:
        """Publish all that a group serves, in place of what it published before.

        Args:
            tenant: the key that signs.
            state: the group, and what it serves.
            agent_id: the agent that publishes, so that one whose services it displaces can name it.

        Raises:
            Denied: HOSTNAME_CONFLICT and HOSTNAME_NOT_OWNED with every offending name.
        """
        body = state.model_dump_json(
            exclude_unset=True
        ).encode()  # hubs of before know fewer fields
        authorization = authorize_tenant(
            tenant, Domain.DESIRED_STATE, body, self._transport.timestamp_ms()
        )
        request = HubRequest(
            HTTPMethod.PUT, "/v1/desired-state", body, authorization, query={"agent_id": agent_id}
        )
        return await self._transport.fetch(AppliedState, request)

    async def register_edge(self, edge: NodeKey, registration: EdgeRegisterIn) -> EdgeRegisterOut:
        """Tell where an edge listens and its certificate. Denied EDGE_UNKNOWN without an invite."""
        # A hub of an older version refuses a field that it does not know.
        body = registration.model_dump_json(exclude_none=True).encode()
        request = self._sign_body("/v1/edges/register", edge, Domain.EDGE_REGISTER, body)
        return await self._transport.fetch(EdgeRegisterOut, request)

    async def report_edge(self, edge: NodeKey, report: EdgeReport) -> EdgeReportOut:
        """Tell which agents an edge has and what it carried. Denied EDGE_UNKNOWN as to register."""
        # Without defaults: a hub of an older version refuses a field that it does not know.
        body = report.model_dump_json(exclude_defaults=True).encode()
        request = self._sign_body("/v1/edges/report", edge, Domain.EDGE_REPORT, body)
        request = replace(request, extra_headers={BODY_HASH_HEADER: hash_body(request.body)})
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
        data = await self._transport.fetch_bytes(request)
        if len(data) <= _QUICK_BYTES:
            return decode_delta(data)
        return await asyncio.to_thread(decode_delta, data)

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

    def _sign_post(self, path: str, key: NodeKey, domain: Domain, sent: BaseModel) -> HubRequest:
        return self._sign_body(path, key, domain, sent.model_dump_json().encode())

    def _sign_body(self, path: str, key: NodeKey, domain: Domain, body: bytes) -> HubRequest:
        authorization = authorize_node(key, domain, body, self._transport.timestamp_ms())
        return HubRequest(HTTPMethod.POST, path, body, authorization)
