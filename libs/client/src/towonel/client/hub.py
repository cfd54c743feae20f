"""The hub's REST API as typed methods: what agents and edges ask, on top of the operator's part."""

from http import HTTPMethod

from towonel.client.exchange import TOTAL_TIMEOUT_S, Call
from towonel.client.models import (
    AppliedState,
    BootstrapIn,
    BootstrapOut,
    DesiredState,
    EdgeRegisterIn,
    EdgeRegisterOut,
    HealthOut,
    RefreshIn,
    RefreshOut,
)
from towonel.client.operators import OperatorCalls
from towonel.identity.keys import NodeKey, TenantKey
from towonel.identity.signatures import Domain, authorize_node, authorize_tenant
from towonel.wire import base64url
from towonel.wire.routes import RouteDelta, decode_delta
from towonel.wire.tokens import InviteToken

MAX_ROUTES_BYTES = 64 * 1024 * 1024  # the bound of `wire.routes`: a table of some 300 000 names


class HubClient(OperatorCalls):
    """One hub, from the outside. Make one per hub and keep it: connections are reused.

    Each method raises Denied with the hub's code when refused, Unavailable (HUB_UNAVAILABLE,
    RATE_LIMITED with `retry_after_s`) when it may be asked again, and ProtocolError (MALFORMED,
    TOO_LARGE) for an answer that is not a hub's.
    """

    async def health(self) -> HealthOut:
        return await self._json(HealthOut, Call(HTTPMethod.GET, "/v1/health"))

    async def bootstrap(self, token: InviteToken, agent: NodeKey, group: str) -> BootstrapOut:
        """Prove an invite and get a grant for the agent whose key signs the request."""
        body = (
            BootstrapIn(
                invite_id=base64url.encode(token.invite_id),
                invite_secret=base64url.encode(token.secret),
                agent_id=agent.public.hex(),
                group=group,
            )
            .model_dump_json()
            .encode()
        )
        call = self._signed(HTTPMethod.POST, "/v1/bootstrap", agent, Domain.AGENT_BOOTSTRAP, body)
        return await self._json(BootstrapOut, call)

    async def refresh(self, grant: bytes, agent: NodeKey) -> RefreshOut:
        """Trade a grant for a fresh one. Denied TENANT_REVOKED once the invite is revoked."""
        body = RefreshIn(grant=base64url.encode(grant)).model_dump_json().encode()
        call = self._signed(HTTPMethod.POST, "/v1/agent/refresh", agent, Domain.AGENT_REFRESH, body)
        return await self._json(RefreshOut, call)

    async def apply_desired_state(self, tenant: TenantKey, state: DesiredState) -> AppliedState:
        """Publish all that a group serves, in place of what it published before.

        Raises:
            Denied: HOSTNAME_CONFLICT and HOSTNAME_NOT_OWNED with every offending name.
        """
        body = state.model_dump_json().encode()
        authorization = authorize_tenant(tenant, Domain.DESIRED_STATE, body, self._stamp_ms())
        call = Call(HTTPMethod.PUT, "/v1/desired-state", body, authorization)
        return await self._json(AppliedState, call)

    async def register_edge(self, edge: NodeKey, registration: EdgeRegisterIn) -> EdgeRegisterOut:
        """Tell where an edge listens and its certificate. Denied EDGE_UNKNOWN without an invite."""
        body = registration.model_dump_json().encode()
        call = self._signed(HTTPMethod.POST, "/v1/edges/register", edge, Domain.EDGE_REGISTER, body)
        return await self._json(EdgeRegisterOut, call)

    async def routes(self, edge: NodeKey, since: int | None, wait_s: int = 0) -> RouteDelta:
        """Ask for the routes changed after revision `since`; all of them for None.

        Args:
            edge: the edge that asks.
            since: the revision the edge has.
            wait_s: how long the hub may hold an answer that has no news; 0 to 30 s.
        """
        query = {"wait": wait_s} if since is None else {"since": since, "wait": wait_s}
        now_ms = self._stamp_ms()
        call = Call(
            HTTPMethod.GET,
            "/v1/routes",
            authorization=authorize_node(edge, Domain.EDGE_SUBSCRIBE, b"", now_ms),
            query=query,
            max_bytes=MAX_ROUTES_BYTES,
            timeout_s=wait_s + TOTAL_TIMEOUT_S,
        )
        return decode_delta(await self._send(call))

    def _signed(
        self, method: HTTPMethod, path: str, key: NodeKey, domain: Domain, body: bytes
    ) -> Call:
        return Call(method, path, body, authorize_node(key, domain, body, self._stamp_ms()))
