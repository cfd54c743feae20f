"""Authentication: API keys of operators, signatures of nodes and tenants, and If-Match."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Header, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BaseModel, ValidationError
from structlog.contextvars import get_contextvars

from towonel.hub.api.http.address_limit import client_address, limit_address
from towonel.hub.api.http.problems import format_problems
from towonel.hub.context import Hub, HubDep
from towonel.hub.core.access import (
    ApiKey,
    Principal,
    Role,
    key_name,
    key_status,
    secret_matches,
)
from towonel.hub.store import api_keys
from towonel.hub.store.audit import Actor
from towonel.hub.store.tables import KeyRow
from towonel.identity.keys import hash_invite_secret, secrets_equal
from towonel.identity.signatures import Signature
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.tokens import API_KEY_PREFIX

BEARER = HTTPBearer(
    scheme_name="bearerKey",
    description="The operator key, or an API key made from it: `Authorization: Bearer <key>`.",
    auto_error=False,
)


def _signature_scheme(scheme: str, signer: str) -> APIKeyHeader:
    return APIKeyHeader(
        name="Authorization",
        scheme_name=scheme,
        description=f"`Signature <id hex>.<Unix ms>.<signature, base64url>` by {signer};"
        " docs/protocol.md says over what.",
        auto_error=False,
    )


EdgeSignature = Annotated[
    str | None, Security(_signature_scheme("edgeSignature", "the edge's key"))
]
AgentSignature = Annotated[
    str | None, Security(_signature_scheme("agentSignature", "the agent's key"))
]
TenantSignature = Annotated[
    str | None, Security(_signature_scheme("tenantSignature", "the tenant's ML-DSA-65 key"))
]


@dataclass(frozen=True, slots=True)
class Caller:
    """Authenticated caller with an API key, and the actor that the audit log names."""

    principal: Principal
    actor: Actor
    secret: bytes = field(repr=False)

    @property
    def tenant_id(self) -> TenantId | None:
        """The only tenant that the caller may see, or None for all tenants."""
        return self.principal.tenant_id


async def authenticate(hub: Hub, request: Request) -> Caller:
    """Return the caller of a request with a key.

    Raises:
        Denied: UNAUTHORIZED for a missing or invalid key.
        Unavailable: RATE_LIMITED for an address that is locked out, or a key above its rate.
    """
    address = client_address(hub, request)
    try:
        key = _bearer_key(request)
    except Denied:
        await limit_address(hub, request)
        raise
    await hub.limiter.check_lockout(address)
    try:
        principal = await _principal(hub, key)
    except Denied:
        await hub.limiter.strike(address)
        raise
    await hub.limiter.take(principal.name, hub.policy.per_key)
    return Caller(principal, actor_of(hub, request, principal.name), key.encode())


async def is_still_valid(hub: Hub, caller: Caller) -> bool:
    """Whether the key of a long-lived request still has the same permissions."""
    try:
        return await _principal(hub, caller.secret.decode()) == caller.principal
    except Denied:
        return False
    except Unavailable:  # without the database, permissions stay as they were
        return True


async def _principal(hub: Hub, key: str) -> Principal:
    if not key.startswith(API_KEY_PREFIX):
        if not secrets_equal(key.encode(), hub.keys.operator):
            raise Denied(Code.UNAUTHORIZED, "the operator key is wrong")
        return Principal("operator", Role.ADMIN)
    presented = ApiKey.parse(key)
    async with hub.store.read() as session:
        row = await api_keys.find(session, presented.key_id)
    presented_hash = hash_invite_secret(hub.keys.invite_hash, presented.secret)
    if row is None or not _opens(row, presented_hash, hub.now_ms()):
        raise Denied(Code.UNAUTHORIZED, "the API key is wrong, expired or revoked")
    hub.key_uses[row.key_id] = hub.now_ms()
    tenant_id = None if row.tenant_id is None else TenantId(row.tenant_id)
    return Principal(key_name(row.key_id), Role[row.role.upper()], tenant_id)


def _opens(row: KeyRow, presented_hash: bytes, now_ms: int) -> bool:
    matches = secret_matches(
        presented_hash,
        now_ms,
        secret_hash=row.secret_hash,
        old_secret_hash=row.old_secret_hash,
        old_until_ms=row.old_until_ms,
    )
    revoked = row.revoked_at_ms is not None
    status = key_status(revoked=revoked, expires_at_ms=row.expires_at_ms, now_ms=now_ms)
    return matches and status == "active"


def _require(role: Role, *, scoped: bool = False) -> Callable[..., Awaitable[Caller]]:
    async def check(
        hub: HubDep,
        request: Request,
        _documented: Annotated[object, Security(BEARER)],
    ) -> Caller:
        caller = await authenticate(hub, request)
        caller.principal.require(role)
        if not scoped:
            caller.principal.require_all_tenants()
        return caller

    return check


# The document has the role as a scope of the bearer key (OpenAPI 3.1 §4.8.30).
Viewer = Annotated[Caller, Security(_require(Role.VIEWER), scopes=["viewer"])]
TenantViewer = Annotated[Caller, Security(_require(Role.VIEWER, scoped=True), scopes=["viewer"])]
TenantOperator = Annotated[
    Caller, Security(_require(Role.OPERATOR, scoped=True), scopes=["operator"])
]
Operator = Annotated[Caller, Security(_require(Role.OPERATOR), scopes=["operator"])]
Admin = Annotated[Caller, Security(_require(Role.ADMIN), scopes=["admin"])]


def actor_of(hub: Hub, request: Request, name: str) -> Actor:
    """Return the actor of a request for the audit log."""
    request_id = str(get_contextvars().get("request_id", ""))
    return Actor(name, request_id, client_address(hub, request))


IfMatch = Annotated[
    str | None,
    Header(
        max_length=64,
        description="The ETag of what you saw: the edit is refused when it changed since.",
    ),
]


def check_version(if_match: str | None, version: int) -> None:
    """Check that an edit is of the current version.

    Raises:
        Denied: PRECONDITION_FAILED.
    """
    if if_match is None or if_match.strip() == "*":
        return
    tags = {tag.strip().removeprefix("W/") for tag in if_match.split(",")}
    if etag(version) not in tags:
        raise Denied(
            Code.PRECONDITION_FAILED, f"If-Match: it has changed; it is {etag(version)} now"
        )


def etag(version: int) -> str:
    """Return the ETag of a version."""
    return f'"{version}"'


def _bearer_key(request: Request) -> str:
    header = request.headers.get("authorization")
    if header is None:
        raise Denied(Code.UNAUTHORIZED, "the Authorization header is missing")
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Denied(Code.UNAUTHORIZED, "expected Authorization: Bearer <operator key>")
    return key.strip()


def parse_signature(header: str | None) -> Signature:
    """Parse the signature of a request.

    Raises:
        Denied: UNAUTHORIZED if it is missing or malformed.
    """
    if header is None:
        raise Denied(Code.UNAUTHORIZED, "the Authorization header is missing")
    return Signature.parse(header)


async def signed_body[M: BaseModel](request: Request, model: type[M]) -> tuple[bytes, M]:
    """Return the signed bytes of a body, and the parsed body.

    Raises:
        Denied: INVALID_REQUEST naming each invalid field.
    """
    body = await request.body()
    return body, parse_body(body, model)


def parse_body[M: BaseModel](body: bytes, model: type[M]) -> M:
    """Parse a body whose bytes a signature covers.

    Raises:
        Denied: INVALID_REQUEST naming each invalid field.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
        raise Denied(Code.INVALID_REQUEST, format_problems(details, model)) from None
