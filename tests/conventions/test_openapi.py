"""The OpenAPI document tells everything that a generator of clients, and its user, has to know."""

import pkgutil
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import signature
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from openapi_spec_validator import validate
from pydantic import BaseModel
from support.openapi import document

from towonel import api
from towonel.client.hub import HubClient
from towonel.hub.api.application import create_app_without_hub
from towonel.hub.api.http.errors import STATUS
from towonel.hub.api.openapi.examples import EXAMPLES

DOCUMENT = document()
COMPONENTS = DOCUMENT["components"]
OPERATIONS: dict[str, dict[str, Any]] = {
    operation["operationId"]: {**operation, "path": path, "method": method}
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
EACH = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
# Who may ask these without a key or a signature in the header; the bodies of the last two prove it.
UNAUTHENTICATED = {"health", "submit_entry", "bootstrap"}
NOT_IN_THE_DOCUMENT = {"/docs", "/v1/openapi.json"}
NEVER_MISSING = {"remove_tenant", "list_entries"}  # answer of an unknown id as of one with nothing
LOCAL = {"observe_skew", "aclose", "base_url", "has_key"}
PLURAL = {"list", "reserve", "release", "available"}  # `list_invites`, but `create_invite`
IRREGULAR = {
    "audit.follow": "follow_events",
    "keys.whoami": "whoami",
    "ports.get": "get_port_reservation",
}
CLIENT_MODELS = {
    name: found
    for module in pkgutil.walk_packages(api.__path__, "towonel.api.")
    for name, found in vars(import_module(module.name)).items()
    if isinstance(found, type) and issubclass(found, BaseModel)
}


def operation_id(group: str, method: str) -> str:
    """Name of the operation that a method of the client calls: `create_invite` for `invites.create`."""
    verb, _, rest = method.partition("_")
    singular = group.replace("entries", "entry").removesuffix("s")
    noun = group if verb in PLURAL else singular
    regular = "_".join(part for part in (verb, noun, rest) if part)
    return IRREGULAR.get(f"{group}.{method}", regular)


def public(found: object) -> set[str]:
    return {name for name in dir(found) if not name.startswith("_")}


def client_methods() -> dict[str, Callable[..., Any]]:
    """Methods of the typed client, by operation."""
    client = HubClient("http://localhost")
    own = {name for name in public(HubClient) if callable(getattr(HubClient, name))}
    groups = public(client) - own - LOCAL
    grouped = {
        operation_id(group, name): getattr(getattr(client, group), name)
        for group in groups
        for name in public(getattr(client, group))
    }
    return grouped | {name: getattr(client, name) for name in own - LOCAL}


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for; anything else as it is."""
    if "$ref" not in node:
        return node
    _, _, kind, name = node["$ref"].split("/")
    found: dict[str, Any] = COMPONENTS[kind][name]
    return found


def responses(operation: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {int(status): resolved(said) for status, said in operation["responses"].items()}


def properties(node: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every named field and parameter, however deep."""
    if isinstance(node, dict):
        if isinstance(node.get("name"), str) and "schema" in node:
            yield node["name"], node["schema"]
        yield from node.get("properties", {}).items()
    for inside in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        yield from properties(inside)


def header_names(operation: dict[str, Any]) -> set[str]:
    return {taken["name"] for taken in operation.get("parameters", []) if taken["in"] == "header"}


def test_the_document_follows_the_standard() -> None:
    """Prevents a document that tools refuse to read."""
    validate(DOCUMENT)

    assert DOCUMENT["openapi"].startswith("3.1")
    assert len(OPERATIONS) > 40


def test_every_route_is_in_the_document_under_a_name_of_its_own() -> None:
    """Prevents an endpoint that nobody can find, and two that a generator would merge."""
    served = {
        (method.lower(), context.path)
        for context in iter_route_contexts(create_app_without_hub().routes)
        for method in context.methods or ()
        if method != "HEAD" and context.path not in NOT_IN_THE_DOCUMENT
    }
    told = [(each["method"], each["path"]) for each in OPERATIONS.values()]

    assert served == set(told)
    assert len(told) == sum(len(methods) for methods in DOCUMENT["paths"].values())
    assert [name for name in OPERATIONS if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []


def test_tags_are_described_and_used() -> None:
    """Prevents a chapter of the document without a heading, or a heading without a chapter."""
    described = {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]}

    assert {tag for each in OPERATIONS.values() for tag in each["tags"]} == described
    assert [name for name, each in OPERATIONS.items() if len(each["tags"]) != 1] == []


@EACH
def test_an_operation_says_what_it_does_takes_and_gives(operation: dict[str, Any]) -> None:
    """Prevents a method of which a generator could only make `Any`."""
    assert operation["summary"]
    assert operation["description"].endswith(".")
    for content in resolved(operation.get("requestBody", {"content": {}}))["content"].values():
        assert content["schema"]
    for content in responses(operation)[200]["content"].values():
        assert content["schema"]
    assert all(taken["schema"] for taken in operation.get("parameters", []))


@EACH
def test_an_operation_says_how_it_can_fail(operation: dict[str, Any]) -> None:
    """Prevents an error that a client of the document meets unprepared."""
    told = responses(operation)
    wanted = {413, 500}
    takes_body = "requestBody" in operation
    wanted |= {400, 408} if takes_body else {400} if operation.get("parameters") else set()
    wanted |= {401, 403} if operation.get("security") else set()
    wanted |= {429, 503} if operation["operationId"] != "health" else set()
    wanted |= {409} if "idempotency-key" in header_names(operation) else set()
    wanted |= {412} if "if-match" in header_names(operation) else set()
    has_id = "{" in operation["path"] and operation["operationId"] not in NEVER_MISSING
    wanted |= {404} if has_id else set()

    assert wanted <= set(told)
    for status in set(told) - {200}:
        content = told[status]["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/ErrorOut"}
        assert told[status]["description"]


def test_errors_name_their_codes_and_when_to_come_back() -> None:
    """Prevents a client that has to guess which words and headers there are."""
    told = [said for each in OPERATIONS.values() for said in responses(each).items()]
    codes = {f"`{code.word}`" for code in STATUS} - {"`method_not_allowed`"}

    assert codes <= set(re.findall(r"`[a-z_]+`", " ".join(said["description"] for _, said in told)))
    assert all("X-Request-Id" in said["headers"] for _, said in told)
    assert all(("Retry-After" in said["headers"]) == (n in {429, 503}) for n, said in told)
    assert all(("WWW-Authenticate" in said["headers"]) == (n == 401) for n, said in told)


def test_what_can_be_edited_is_shown_with_its_tag() -> None:
    """Prevents an If-Match that nobody told the value of."""
    edited = {each["path"] for each in OPERATIONS.values() if "if-match" in header_names(each)}
    tagged = {
        (each["method"], each["path"])
        for each in OPERATIONS.values()
        if "ETag" in responses(each)[200]["headers"]
    }

    assert tagged == {(method, path) for path in edited for method in ("get", "patch")}
    assert len(edited) == 3


def test_who_may_ask_is_told_of_every_operation() -> None:
    """Prevents a door that was left open by mistake, and a role that has to be guessed."""
    asked = {name: each.get("security", []) for name, each in OPERATIONS.items()}
    open_to_all = {name for name, schemes in asked.items() if not schemes or {} in schemes}
    schemes = {scheme for each in asked.values() for one in each for scheme in one}
    roles = [
        tuple(one["bearerKey"]) for each in asked.values() for one in each if "bearerKey" in one
    ]

    assert open_to_all == UNAUTHENTICATED
    assert schemes == set(COMPONENTS["securitySchemes"])
    assert set(roles) == {("viewer",), ("operator",), ("admin",)}


def test_times_are_rfc_3339() -> None:
    """Prevents a time that a generator takes for a mere text; the original's are in `_ms`."""
    found = list(properties(DOCUMENT))
    times = [schema for name, schema in found if name.endswith("_at") or name in {"since", "until"}]
    old = [schema for name, schema in found if name.endswith("_ms")]

    assert len(times) > 10
    # `since` is a revision where edges ask.
    assert sum("date-time" not in str(schema) for schema in times) == 1
    assert all("integer" in str(resolved(schema)) for schema in old)


def test_every_body_in_json_has_an_example_that_the_client_s_models_take() -> None:
    """Prevents an example that is refused when it is tried."""
    bodies = {
        name
        for each in OPERATIONS.values()
        for kind, content in each.get("requestBody", {"content": {}})["content"].items()
        if kind == "application/json"
        for name in re.findall(r"#/components/schemas/(\w+)", str(content["schema"]))
    }

    assert bodies | {"ErrorOut"} == set(EXAMPLES)
    for name, example in EXAMPLES.items():
        assert COMPONENTS["schemas"][name]["examples"] == [example]
        CLIENT_MODELS[name].model_validate(example)


def test_every_schema_is_a_model_of_the_client() -> None:
    """Prevents a body that the typed client has no type for."""
    shapes = {name for name, schema in COMPONENTS["schemas"].items() if "properties" in schema}

    assert shapes - set(CLIENT_MODELS) == set()
    for name in shapes:
        told = COMPONENTS["schemas"][name]["properties"]
        assert set(told) == set(CLIENT_MODELS[name].model_fields), name


def test_every_operation_is_a_method_of_the_typed_client_and_every_method_an_operation() -> None:
    """Prevents an operation that only a hand-made request can reach."""
    assert set(client_methods()) == set(OPERATIONS)


@EACH
def test_a_method_of_the_client_takes_what_the_operation_takes(operation: dict[str, Any]) -> None:
    """Prevents a filter or a condition that the typed client cannot express."""
    method = client_methods()[operation["operationId"]]
    takes = set(signature(method).parameters)
    told = {
        taken["name"].replace("-", "_")
        for taken in operation.get("parameters", [])
        if taken["in"] != "path"
    }

    assert {"wait_s" if name == "wait" else name for name in told} <= takes
