"""Tests by schemathesis of the hub's operations: what it is told, and what it sends.

Its plugin of pytest would make a test of each operation as it collects them, and import it all, in each worker
of xdist: a fifth of what a worker does before its first test. So a test asks for an operation by name.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import schemathesis
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from schemathesis import Case, HookContext, SerializationContext, checks
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.specs.openapi.schemas import OpenApiSchema
from support.example_hub import HUB, NODE, TENANT
from support.example_requests import IDS, NOW_MS, Authorization
from support.legacy_client import payload, signed
from support.openapi import document

from towonel.api.agents import RefreshIn
from towonel.identity.grants import GRANT_LIFETIME_MS, Grant, issue
from towonel.wire import base64url, cbor
from towonel.wire.ids import AgentId, TenantId

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


@cache
def schema(*, has_coverage: bool) -> OpenApiSchema:
    """The hub's document, to be tested; its coverage phase makes ten times the requests."""
    more = {"phases": {"coverage": {"enabled": has_coverage}}}
    config = SchemathesisConfig.from_dict({**CONFIG, **more})
    return schemathesis.openapi.from_dict(deepcopy(document()), config=config)


def explore(
    name: str, chosen: settings, ask: "Callable[[Case[Any]], None]", *, has_coverage: bool = False
) -> None:
    """Ask the hub for an operation, again and again, as its document says or just not."""

    def test(case: "Case[Any]") -> None:
        ask(case)

    tested = schema(has_coverage=has_coverage)
    build_operation_test(
        config=tested.config,
        operation=tested.find_operation_by_id(name),
        test_func=chosen(test),
        given_kwargs={},
        feedback=NO_FEEDBACK,
    )()


def keeps_to_document(url: str) -> "Callable[[Case[Any]], None]":
    """Return what asks the hub at a URL as may be asked, and compares the answer with the document."""

    def ask(case: "Case[Any]") -> None:
        name = str(case.operation.definition.raw["operationId"])
        case.call_and_validate(url, auth=Authorization(name), checks=CHECKS)

    return ask


GRANT = Grant(
    AgentId(NODE.public), TenantId(TENANT.tenant_id), "default", NOW_MS, NOW_MS + GRANT_LIFETIME_MS
)


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
