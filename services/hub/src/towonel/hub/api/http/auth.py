"""Who asks: an operator with a key, a node or a tenant with a signature."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BaseModel, ValidationError
from structlog.contextvars import get_contextvars

from towonel.hub.api.http.errors import problems
from towonel.hub.context import Hub, HubDep
from towonel.hub.core.access import KeyState, Presented, Principal, Role
from towonel.hub.core.rate_limits import source_of
from towonel.hub.store import api_keys
from towonel.hub.store.audit import Actor
from towonel.hub.store.idempotency import IdempotentRequest
from towonel.identity.keys import hash_invite_secret, secrets_equal
from towonel.identity.signatures import Signature
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.tokens import API_KEY_PREFIX

MAX_IDEMPOTENCY_KEY_CHARS = 128

BEARER = HTTPBearer(
    scheme_name="bearerKey",
    description="The operator key, or an API key made from it: `Authorization: Bearer <key>`.",
    auto_error=False,
)


def _signed_by(scheme: str, whom: str) -> APIKeyHeader:
    return APIKeyHeader(
        name="Authorization",
        scheme_name=scheme,
        description=f"`Signature <id hex>.<Unix ms>.<signature, base64url>` by {whom};"
        " docs/protocol.md says over what.",
        auto_error=False,
    )


EdgeSignature = Annotated[str | None, Security(_signed_by("edgeSignature", "the edge's key"))]
AgentSignature = Annotated[str | None, Security(_signed_by("agentSignature", "the agent's key"))]
TenantSignature = Annotated[
    str | None, Security(_signed_by("tenantSignature", "the tenant's ML-DSA-65 key"))
]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks with a key, and how the audit log names the request."""

    principal: Principal
    actor: Actor
    secret: bytes = field(repr=False)

    @property
    def tenant_id(self) -> TenantId | None:
        """The only tenant that the caller may see; none for all of them."""
        return self.principal.tenant_id


async def public(hub: HubDep, request: Request) -> None:
    """Bound what one address may ask without a key."""
    address = client_address(hub, request)
    await hub.limiter.take(f"address:{source_of(address)}", hub.policy.per_address)


Public = Depends(public)


async def caller_of(hub: Hub, request: Request) -> Caller:
    """Return who asks with a key.

    Raises:
        Denied: UNAUTHORIZED where there is none, or one that does not count.
        Unavailable: RATE_LIMITED for an address that guesses, or a key that asks too often.
    """
    given = _bearer_key(request)
    address = client_address(hub, request)
    await hub.limiter.check_lockout(address)
    try:
        principal = await _principal(hub, given)
    except Denied:
        await hub.limiter.strike(address)
        raise
    await hub.limiter.take(principal.name, hub.policy.per_key)
    return Caller(principal, actor(hub, request, principal.name), given.encode())


async def still_counts(hub: Hub, caller: Caller) -> bool:
    """Whether the key of somebody who is being answered may still do what it could at first."""
    try:
        return await _principal(hub, caller.secret.decode()) == caller.principal
    except Denied:
        return False
    except Unavailable:  # a database that is away changes nobody's rights
        return True


async def _principal(hub: Hub, given: str) -> Principal:
    if not given.startswith(API_KEY_PREFIX):
        if not secrets_equal(given.encode(), hub.keys.operator):
            raise Denied(Code.UNAUTHORIZED, "the operator key is wrong")
        return Principal("operator", Role.ADMIN)
    presented = Presented.parse(given)
    async with hub.store.read() as session:
        row = await api_keys.find(session, presented.key_id)
    presented_hash = hash_invite_secret(hub.keys.invite_hash, presented.secret)
    if row is None:
        raise Denied(Code.UNAUTHORIZED, "the API key is wrong, expired or revoked")
    state = KeyState(
        row.secret_hash,
        row.old_secret_hash,
        row.old_until_ms,
        row.expires_at_ms,
        row.revoked_at_ms is not None,
    )
    if not state.matches(presented_hash, hub.now_ms()):
        raise Denied(Code.UNAUTHORIZED, "the API key is wrong, expired or revoked")
    hub.key_uses[row.key_id] = hub.now_ms()
    tenant_id = None if row.tenant_id is None else TenantId(row.tenant_id)
    return Principal(f"key:{row.key_id.hex()}", Role[row.role.upper()], tenant_id)


def _with(role: Role, *, scoped: bool = False) -> Callable[..., Awaitable[Caller]]:
    async def checked(
        hub: HubDep,
        request: Request,
        _documented: Annotated[object, Security(BEARER)],
    ) -> Caller:
        found = await caller_of(hub, request)
        found.principal.require(role)
        if not scoped:
            found.principal.require_all_tenants()
        return found

    return checked


# The role is told in the document as a scope of the bearer key (OpenAPI 3.1 §4.8.30).
Viewer = Annotated[Caller, Security(_with(Role.VIEWER), scopes=["viewer"])]
TenantViewer = Annotated[Caller, Security(_with(Role.VIEWER, scoped=True), scopes=["viewer"])]
TenantOperator = Annotated[Caller, Security(_with(Role.OPERATOR, scoped=True), scopes=["operator"])]
Operator = Annotated[Caller, Security(_with(Role.OPERATOR), scopes=["operator"])]
Admin = Annotated[Caller, Security(_with(Role.ADMIN), scopes=["admin"])]


def actor(hub: Hub, request: Request, name: str) -> Actor:
    """Return how the audit log names a request."""
    request_id = str(get_contextvars().get("request_id", ""))
    return Actor(name, request_id, client_address(hub, request))


def client_address(hub: Hub, request: Request) -> str:
    """Return who is at the other end, as far as trusted proxies tell."""
    peer = request.client.host if request.client else ""
    # Some proxies add a line of their own after the client's; together they are one list (RFC 9110 §5.3).
    forwarded_for = ",".join(request.headers.getlist("x-forwarded-for"))
    return hub.address_of(peer, forwarded_for)


async def _once(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,  # an unset variable of a script is no key: other requests have it, too
            max_length=MAX_IDEMPOTENCY_KEY_CHARS,
            description="Any text of yours: the same request with the same key, within a day, is"
            " done once, and gets the same answer again.",
        ),
    ] = None,
) -> Callable[[Caller], IdempotentRequest]:
    body = await request.body()
    asked = f"{request.method} {request.url.path}\n".encode() + body

    def of(caller: Caller) -> IdempotentRequest:
        return IdempotentRequest(caller.actor.name, caller.secret, idempotency_key, asked)

    return of


Idempotent = Annotated[Callable[[Caller], IdempotentRequest], Depends(_once)]
IfMatch = Annotated[
    str | None,
    Header(
        max_length=64,
        description="The ETag of what you saw: the edit is refused when it changed since.",
    ),
]


def check_version(if_match: str | None, version: int) -> None:
    """Check that an edit knows what it edits.

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


def signature(header: str | None) -> Signature:
    """Return the signature of a request.

    Raises:
        Denied: UNAUTHORIZED where it is missing or of another form.
    """
    if header is None:
        raise Denied(Code.UNAUTHORIZED, "the Authorization header is missing")
    return Signature.parse(header)


async def signed_body[M: BaseModel](request: Request, model: type[M]) -> tuple[bytes, M]:
    """Return the bytes that were signed, and what they say.

    Raises:
        Denied: INVALID_REQUEST naming each field that breaks a rule.
    """
    body = await request.body()
    try:
        return body, model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        raise Denied(Code.INVALID_REQUEST, problems(found)) from None
