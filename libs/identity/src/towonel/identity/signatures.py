"""Signed requests, and the signature that binds an agent to one session.

    Authorization: Signature <id hex>.<time, Unix ms>.<signature, base64url>

The signature covers `<domain>/<id hex>/<time>/<BLAKE3 of the body, hex>`. A tenant's request to read
(`TENANT_REQUEST`) has no body, and as in the original no hash of one: `<domain>/<id hex>/<time>`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import blake3

from towonel.identity.keys import NodeKey, TenantKey, verify_node, verify_tenant
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import ID_HEX

MAX_SKEW_MS = 300_000  # machines without NTP for a month are a minute or two off
# With it, a receiver can check the signature of a large body before it reads the body.
BODY_HASH_HEADER = "towonel-body-blake3"
_SESSION_DOMAIN = b"towonel/session-hello/v1"
_HEADER = re.compile(
    rf"Signature (?P<id>{ID_HEX.pattern})\.(?P<time>[0-9]{{1,15}})\.(?P<signature>[A-Za-z0-9_-]{{1,5000}})",
    re.ASCII,
)


class Domain(StrEnum):
    """Domain of a signed request: a signature for one is invalid in every other."""

    AGENT_HEARTBEAT = "towonel/agent-heartbeat/v1"
    EDGE_SUBSCRIBE = "towonel/edge-sub/v1"
    AGENT_BOOTSTRAP = "towonel/agent-bootstrap/v1"
    AGENT_REFRESH = "towonel/agent-refresh/v1"
    AGENT_LEAVE = "towonel/agent-leave/v1"
    EDGE_REGISTER = "towonel/edge-register/v1"
    EDGE_REPORT = "towonel/edge-report/v1"
    DESIRED_STATE = "towonel/desired-state/v1"
    TENANT_REQUEST = "towonel/tenant-request/v1"


@dataclass(frozen=True, slots=True)
class Signature:
    """Signature of a request: the parts of its header."""

    id: bytes
    timestamp_ms: int
    signature: bytes

    @classmethod
    def parse(cls, header: str) -> Self:
        """Read the value of an Authorization header.

        Raises:
            Denied: UNAUTHORIZED if it has another form.
        """
        found = _HEADER.fullmatch(header)
        if found is None:
            raise Denied(Code.UNAUTHORIZED, "expected Authorization: Signature id.time.signature")
        try:
            signature = base64url.decode(found["signature"])
        except ProtocolError as error:
            raise Denied(Code.UNAUTHORIZED, "the signature is not base64url") from error
        return cls(bytes.fromhex(found["id"]), int(found["time"]), signature)

    def check_node(self, domain: Domain, body: bytes, now_ms: int) -> None:
        """Check that the node of this id signed `body`, not long ago.

        Raises:
            Denied: CLOCK_SKEW beyond 5 min, or INVALID_SIGNATURE.
        """
        self.check_node_hash(domain, hash_body(body), now_ms)

    def check_node_hash(self, domain: Domain, body_hash: str, now_ms: int) -> None:
        """Check that the node of this id signed the body with this hash, not long ago.

        Raises:
            Denied: CLOCK_SKEW beyond 5 min, or INVALID_SIGNATURE.
        """
        self.check_time(now_ms)
        verify_node(
            self.id, self.signature, _message(domain, self.id, self.timestamp_ms, body_hash)
        )

    def check_tenant(self, public_key: bytes, domain: Domain, body: bytes, now_ms: int) -> None:
        """Check that the tenant with this key signed `body`, not long ago.

        Raises:
            Denied: CLOCK_SKEW beyond 5 min, or INVALID_SIGNATURE.
        """
        self.check_time(now_ms)
        message = _message(domain, self.id, self.timestamp_ms, hash_body(body))
        verify_tenant(public_key, self.signature, message)

    def check_tenant_request(self, public_key: bytes, now_ms: int) -> None:
        """Check that the tenant with this key asked, not long ago.

        The caller looks the key up by `id`, and remembers the time: the same header asks once.

        Raises:
            Denied: CLOCK_SKEW beyond 5 min, or INVALID_SIGNATURE.
        """
        self.check_time(now_ms)
        verify_tenant(public_key, self.signature, _request_message(self.id, self.timestamp_ms))

    def check_time(self, now_ms: int) -> None:
        """Check that this was signed not long ago, which takes no body.

        Raises:
            Denied: CLOCK_SKEW beyond 5 min.
        """
        skew_ms = self.timestamp_ms - now_ms
        if abs(skew_ms) > MAX_SKEW_MS:
            raise Denied(Code.CLOCK_SKEW, _describe_skew(skew_ms))


def _describe_skew(skew_ms: int) -> str:
    side = "ahead of" if skew_ms > 0 else "behind"
    return (
        f"the clock of the machine that signed is {abs(skew_ms) / 1000:.0f} s {side} the hub's, and"
        f" may be {MAX_SKEW_MS // 1000} s apart: set it, as with NTP, or the hub's if that is wrong"
    )


def hash_body(body: bytes) -> str:
    """Return what a signature covers of a body: its BLAKE3 hash, in hexadecimal."""
    return blake3.blake3(body).hexdigest()


def authorize_node(key: NodeKey, domain: Domain, body: bytes, now_ms: int) -> str:
    """Return the Authorization header of a request that a node signs."""
    signature = key.sign(_message(domain, key.public, now_ms, hash_body(body)))
    return _header(key.public, now_ms, signature)


def authorize_tenant(key: TenantKey, domain: Domain, body: bytes, now_ms: int) -> str:
    """Return the Authorization header of a request that a tenant signs."""
    signature = key.sign(_message(domain, key.tenant_id, now_ms, hash_body(body)))
    return _header(key.tenant_id, now_ms, signature)


def authorize_tenant_request(key: TenantKey, now_ms: int) -> str:
    """Return the Authorization header of a request without a body, by which a tenant reads."""
    signature = key.sign(_request_message(key.tenant_id, now_ms))
    return _header(key.tenant_id, now_ms, signature)


def session_proof(nonce: bytes, edge_id: bytes, certificate_sha256: bytes) -> bytes:
    """Return what an agent signs to open a session: it holds on this connection only.

    Three fields of 32 bytes each follow the domain, so no two inputs give the same message.
    """
    return _SESSION_DOMAIN + nonce + edge_id + certificate_sha256


def _message(domain: Domain, signer: bytes, time_ms: int, body_hash: str) -> bytes:
    return f"{domain}/{signer.hex()}/{time_ms}/{body_hash}".encode()


def _request_message(signer: bytes, time_ms: int) -> bytes:
    return f"{Domain.TENANT_REQUEST}/{signer.hex()}/{time_ms}".encode()


def _header(signer: bytes, time_ms: int, signature: bytes) -> str:
    return f"Signature {signer.hex()}.{time_ms}.{base64url.encode(signature)}"
