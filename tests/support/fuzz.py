"""Input of schemathesis: the hub's document, ids that exist, and signatures that hold."""

from copy import deepcopy
from itertools import count
from typing import Any, override

import schemathesis
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from requests import PreparedRequest
from requests.auth import AuthBase
from schemathesis import Case, HookContext, SerializationContext, checks
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.schemas import OpenApiSchema
from support.example_hub import HUB, INVITE_ID, KEY_ID, NODE, TENANT
from support.hub import OPERATOR_KEY, Clock
from support.legacy_client import payload, signed
from support.openapi import document

from towonel.api.agents import RefreshIn
from towonel.identity.grants import GRANT_LIFETIME_MS, Grant, issue
from towonel.identity.signatures import Domain, authorize_node, authorize_tenant
from towonel.wire import base64url, cbor
from towonel.wire.ids import AgentId, TenantId

# Who signs which operation; all others take a key.
DOMAINS = {
    "bootstrap": Domain.AGENT_BOOTSTRAP,
    "refresh": Domain.AGENT_REFRESH,
    "leave": Domain.AGENT_LEAVE,
    "heartbeat": Domain.AGENT_HEARTBEAT,
    "register_edge": Domain.EDGE_REGISTER,
    "report_edge": Domain.EDGE_REPORT,
    "follow_routes": Domain.EDGE_SUBSCRIBE,
    "subscribe_routes": Domain.EDGE_SUBSCRIBE,
    "apply_desired_state": Domain.DESIRED_STATE,
}
NOW_MS = Clock().now_ms
CONFIG: dict[str, Any] = {
    "request-timeout": 20,
    "generation": {
        "with-security-parameters": False,  # signatures are made here
        "allow-extra-parameters": False,  # those of a query are ignored, says docs/api.md
    },
    "checks": {"negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 412, 413]}},
}

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
]


def schema(**more: Any) -> OpenApiSchema:
    """The hub's document, to be tested."""
    config = SchemathesisConfig.from_dict({**CONFIG, **more})
    return schemathesis.openapi.from_dict(deepcopy(document()), config=config)


GRANT = Grant(
    AgentId(NODE.public), TenantId(TENANT.tenant_id), "default", NOW_MS, NOW_MS + GRANT_LIFETIME_MS
)
IDS = {
    "invite_id": base64url.encode(INVITE_ID),
    "reservation_id": base64url.encode(INVITE_ID),
    "key_id": base64url.encode(KEY_ID),
    "tenant_id": TENANT.tenant_id.hex(),
    "agent_id": NODE.public.hex(),
    "edge_id": NODE.public.hex(),
    "key": "tcp:2222",
    "hostname": "app.example.eu",
}


class Authorization(AuthBase):
    """Signs a request as its operation wants; any other carries the operator key."""

    _stamps = count(NOW_MS + 1_000)

    def __init__(self, operation: str) -> None:
        self._domain = DOMAINS.get(operation)

    @override
    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["authorization"] = self._header(_body(request))
        return request

    def _header(self, body: bytes) -> str:
        if self._domain is None:
            return f"Bearer {OPERATOR_KEY}"
        if self._domain is Domain.DESIRED_STATE:
            return authorize_tenant(TENANT, self._domain, body, next(self._stamps))
        return authorize_node(NODE, self._domain, body, next(self._stamps))


def name_of(case: "Case[Any]") -> str:
    """The operation's id."""
    return str(case.operation.definition.raw["operationId"])


def _body(request: PreparedRequest) -> bytes:
    body = request.body or b""
    assert isinstance(body, bytes | str), "nothing is streamed here"
    return body.encode() if isinstance(body, str) else body


@schemathesis.hook
def flatmap_path_parameters(
    context: HookContext, path_parameters: dict[str, Any] | None
) -> st.SearchStrategy[dict[str, Any] | None]:
    """Half of the time, what there is."""
    known = path_parameters and {name: IDS[name] for name in path_parameters}
    return st.sampled_from([path_parameters, known])


@schemathesis.hook
def flatmap_body(context: HookContext, body: Any) -> st.SearchStrategy[Any]:
    """Half of the time, what a rule or a signature beyond the document lets through."""
    assert context.operation is not None
    match context.operation.definition.raw["operationId"]:
        case "submit_entry":
            return st.one_of(st.just(body), ENTRIES)
        case "heartbeat":
            return st.one_of(st.just(body), st.just(BEAT))
        case "refresh" | "leave" if _is_valid(RefreshIn, body):
            return st.sampled_from([body, {"grant": base64url.encode(issue(HUB.node, GRANT))}])
        case _:
            return st.just(body)


def _is_valid(model: type[BaseModel], body: Any) -> bool:
    try:
        model.model_validate(body)
    except ValidationError:
        return False
    return True


@schemathesis.serializer("application/cbor")
def _as_it_is(context: SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else cbor.encode(str(value))


BEAT = cbor.encode({"tenant_id": TENANT.tenant_id, "agent_id": NODE.public})
_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "hostname": st.text() | st.sampled_from(["app.example.eu", "a.home.example.eu"]),
        "service": st.text() | st.just("ssh"),
        "listen_port": st.integers(-1, 1 << 64) | st.integers(1, 65_535),
        "agent_id": st.binary(max_size=40) | st.just(NODE.public),
        "mode": st.sampled_from([{"mode": "terminate"}, {"mode": "agent"}, "terminate"]),
    },
)
_NAMES = st.sampled_from(
    [
        "upsert_hostname",
        "delete_hostname",
        "upsert_agent",
        "revoke_agent",
        "set_hostname_tls",
        "upsert_tcp_service",
        "delete_tcp_service",
        "upsert_udp_service",
        "delete_udp_service",
        "unheard_of",
    ]
)
_OPS = st.dictionaries(_NAMES, _FIELDS, min_size=1, max_size=2) | st.integers() | st.text()
_PAYLOADS = st.builds(
    lambda sequence, op, version: payload(TENANT, sequence, op, version=version),
    st.integers(0, (1 << 64) - 1) | st.integers(1, 1_000),
    _OPS,
    st.sampled_from([1, 1, 1, 2]),
)
ENTRIES = st.builds(lambda data: signed(TENANT, data), _PAYLOADS | st.binary())
