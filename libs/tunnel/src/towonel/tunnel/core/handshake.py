"""Handshake of a session: the agent proves its identity; the certificate has proved the edge's.

    edge:  Challenge{versions, nonce, edge id}
    agent: Hello{version, grant, services, signature over nonce, edge id and certificate}
    edge:  Welcome{session id}, or a close with the code

What arrives and the time are arguments, what is to be sent is returned.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from towonel.identity.certs import certificate_public_key, certificate_sha256
from towonel.identity.grants import Grant, verify
from towonel.identity.keys import NodeKey, verify_node
from towonel.identity.signatures import session_proof
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable
from towonel.wire.ids import EdgeId
from towonel.wire.messages import PROTOCOL_VERSION, Challenge, Hello
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import NO_HINTS, BalanceHints, pack

VERSIONS = (PROTOCOL_VERSION,)


@dataclass(frozen=True, slots=True)
class EdgeIdentity:
    """Identity of an edge, as the hub names it to agents."""

    edge_id: EdgeId
    certificate_pem: str
    certificate_sha256: bytes

    def check(self) -> None:
        """Check that the hub's facts fit each other.

        Raises:
            Denied: CERTIFICATE_MISMATCH.
        """
        if certificate_sha256(self.certificate_pem) != self.certificate_sha256:
            raise Denied(Code.CERTIFICATE_MISMATCH, "the hub names another certificate")
        if certificate_public_key(self.certificate_pem) != self.edge_id:
            raise Denied(Code.CERTIFICATE_MISMATCH, "the certificate is not the edge's")


@dataclass(frozen=True, slots=True)
class AgentHandshake:
    """Agent's side of the handshake: its key, and what it says of itself."""

    key: NodeKey
    grant: bytes
    services: Collection[ServiceKey]
    software: str
    hints: BalanceHints = NO_HINTS

    def answer(self, challenge: Challenge, edge: EdgeIdentity) -> Hello:
        """Return the Hello that answers an edge's challenge.

        Raises:
            ProtocolError: UNSUPPORTED_VERSION where none of the edge's is spoken here.
            Denied: EDGE_UNKNOWN where it is another edge.
        """
        if challenge.edge_id != edge.edge_id:
            raise Denied(Code.EDGE_UNKNOWN, f"this is edge {challenge.edge_id.hex()}")
        if PROTOCOL_VERSION not in challenge.versions:
            raise ProtocolError(Code.UNSUPPORTED_VERSION, f"the edge speaks {challenge.versions}")
        proof = session_proof(challenge.nonce, edge.edge_id, edge.certificate_sha256)
        return Hello(
            version=PROTOCOL_VERSION,
            grant=self.grant,
            services=tuple(self.services),
            signature=self.key.sign(proof),
            software=self.software,
            hints=pack(self.hints, self.services),
        )


@dataclass(frozen=True, slots=True)
class EdgeHandshake:
    """Edge's side of the handshake.

    Args:
        edge: the edge itself.
        hub_ids: returns the hubs whose grants count now.
        refuse: returns why a grant that is in order is refused all the same, if it is.
        refuse_more: returns why no other session is admitted for a grant and these services, if
            there are too many.
        is_draining: returns whether agents are only kept, and none is admitted.
    """

    edge: EdgeIdentity
    hub_ids: Callable[[], Collection[bytes]]
    refuse: Callable[[Grant], Code | None]
    refuse_more: Callable[[Grant, Collection[ServiceKey]], Denied | None]
    is_draining: Callable[[], bool]

    def challenge(self, nonce: bytes) -> Challenge:
        """Return the message that opens a session."""
        return Challenge(VERSIONS, nonce, self.edge.edge_id)

    def admit(self, hello: Hello, nonce: bytes, now_ms: int) -> Grant:
        """Return the grant of an agent that is to be admitted.

        Raises:
            ProtocolError: UNSUPPORTED_VERSION.
            Denied: GRANT_INVALID, GRANT_EXPIRED, GOING_AWAY, INVALID_SIGNATURE, or the edge's own
                refusal.
            Unavailable: HUB_UNAVAILABLE while this edge does not know any hub.
        """
        if hello.version not in VERSIONS:
            raise ProtocolError(Code.UNSUPPORTED_VERSION, f"the agent speaks {hello.version}")
        hub_ids = self.hub_ids()
        if not hub_ids:
            raise Unavailable(Code.HUB_UNAVAILABLE, "this edge has not heard of its hub yet")
        grant = verify(hello.grant, hub_ids, now_ms)
        if self.is_draining():
            raise Denied(Code.GOING_AWAY, f"tenant {grant.tenant_id.hex()}")
        self._check_tenant(grant)
        proof = session_proof(nonce, self.edge.edge_id, self.edge.certificate_sha256)
        verify_node(grant.agent_id, hello.signature, proof)
        self.check_services(grant, hello.services)
        return grant

    def check_services(self, grant: Grant, services: Collection[ServiceKey]) -> None:
        """Check that an agent may serve these, beside what others of its tenant serve.

        Raises:
            Denied: RATE_LIMITED, LIMIT_EXCEEDED or QUOTA_EXCEEDED.
        """
        refusal = self.refuse_more(grant, services)
        if refusal is not None:
            raise refusal

    def renew(self, held: Grant, token: bytes, now_ms: int) -> Grant:
        """Return the newer grant of an agent that was admitted.

        Raises:
            Denied: GRANT_INVALID, GRANT_EXPIRED, the edge's own refusal, or GRANT_FOREIGN for one of
                another agent, tenant or group.
        """
        grant = verify(token, self.hub_ids(), now_ms)
        self._check_tenant(grant)
        if (grant.agent_id, grant.tenant_id, grant.group) != (
            held.agent_id,
            held.tenant_id,
            held.group,
        ):
            raise Denied(Code.GRANT_FOREIGN, "the new grant is for another agent")
        return grant

    def _check_tenant(self, grant: Grant) -> None:
        refusal = self.refuse(grant)
        if refusal is not None:
            raise Denied(refusal, f"tenant {grant.tenant_id.hex()}")
