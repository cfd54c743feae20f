"""Who may do what: every operation of the document against every kind of key; none escapes.

What an operation needs is read from the document, so that a new one is tested as soon as it is there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from support.callers import bearer, body_of, invite_id, made_key, tenant_id
from support.hub import TestHub, new_key, tenant_of

from towonel.api.keys import Role
from towonel.api.ports import ReservationIn

RANKS = {"viewer": 1, "operator": 2, "admin": 3}
# What a key of one tenant may ask for; all else is refused to it whatever its role.
FOR_TENANTS = {
    *("list_tenants", "get_tenant", "list_entries", "list_services", "get_service", "list_routes"),
    *("get_route", "list_agents", "get_agent", "list_ports", "get_port_reservation", "whoami"),
    *("follow_events", "reserve_ports", "release_ports", "list_certificates", "get_certificate"),
    *("renew_certificate", "revoke_certificate"),
}
OPEN_TO_ALL = {"health", "submit_entry"}  # the body of the second is signed
IDS = {
    "tenant_id": "ab" * 32,
    "agent_id": "ab" * 32,
    "edge_id": "ab" * 32,
    "invite_id": "A" * 22,
    "reservation_id": "A" * 22,
    "key_id": "A" * 11,
    "key": "https:a.eu",
    "hostname": "a.eu",
}


@dataclass(frozen=True)
class Operation:
    """One operation of the document, with the least role it takes, if a key opens it."""

    name: str
    method: str
    path: str
    role: str | None
    schemes: frozenset[str]

    def admits(self, role: str | None, *, of_tenant: bool) -> bool:
        """Whether a key of this role gets in; None is for no key at all."""
        if self.role is None or role is None:
            return self.name in OPEN_TO_ALL
        return RANKS[role] >= RANKS[self.role] and (not of_tenant or self.name in FOR_TENANTS)

    def let_in(self, status: int) -> bool:
        """Whether an answer shows that the caller got in; signed requests were sent unsigned."""
        by_key = self.role is not None or self.name in OPEN_TO_ALL
        return status not in ({401, 403, 429} if by_key else {400, 401})


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            wanted = {k: v for each in found.get("security", []) for k, v in each.items()}
            roles = wanted.get("bearerKey")
            role = None if roles is None else (roles or ["viewer"])[0]
            yield Operation(found["operationId"], method, path, role, frozenset(wanted))


async def ask(http: httpx.AsyncClient, requested: Operation, key: str | None, **ids: str) -> int:
    path = requested.path.format(**{**IDS, **ids})
    query = {"protocol": "tcp"} if path.endswith("available") else None
    headers = {} if key is None else bearer(key)
    answer = await http.request(requested.method, path, params=query, headers=headers)
    if answer.is_error:
        body_of(answer)
    return answer.status_code


async def test_every_operation_admits_just_the_keys_that_its_document_names(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    tenant, own = tenant_of(token), tenant_id(token).hex()
    callers: dict[str, tuple[str | None, bool, str | None]] = {
        "nobody": (None, False, None),
        "the operator": ("admin", False, "operator-key"),
    }
    roles: tuple[Role, ...] = ("viewer", "operator", "admin")
    for role in roles:
        callers[role] = (role, False, await made_key(hub, role))
    for role in roles[:2]:
        callers[f"{role} of a tenant"] = (role, True, await made_key(hub, role, tenant))
    hub.context.stop()  # so that streams end
    wrong: list[tuple[str, str, int]] = []
    async with hub.raw() as http:
        for requested in operations(hub.app.openapi()):
            ids = {"tenant_id": own} if requested.method == "get" else {}
            for who, (held, of_tenant, key) in callers.items():
                status = await ask(http, requested, key, **ids)
                if requested.let_in(status) is not requested.admits(held, of_tenant=of_tenant):
                    wrong.append((requested.name, who, status))

    assert wrong == []


async def test_without_a_key_it_is_401_and_with_a_lesser_one_403(hub: TestHub) -> None:
    viewer = await made_key(hub, "viewer")
    async with hub.raw() as http:
        for requested in operations(hub.app.openapi()):
            if requested.role in {None, "viewer"}:
                continue

            assert await ask(http, requested, None) == 401
            assert await ask(http, requested, viewer) == 403


def test_whatever_is_not_read_only_needs_more_than_a_viewer(hub: TestHub) -> None:
    found = list(operations(hub.app.openapi()))
    lax = [it.name for it in found if it.method != "get" and it.role == "viewer"]
    unprotected = {it.name for it in found if not it.schemes}

    assert lax == []
    assert unprotected == OPEN_TO_ALL
    assert {it.name for it in found} >= FOR_TENANTS
    assert {it.role for it in found if "keys" in it.path} == {"admin", "viewer"}


def test_nothing_answers_that_the_document_does_not_tell(hub: TestHub) -> None:
    app = hub.app
    reported_paths = set(app.openapi()["paths"])
    served = {route.path for route in app.routes if isinstance(route, APIRoute)}

    assert served - reported_paths == {"/docs"}
    names = {name for path in reported_paths for name in re.findall(r"{(\w+)}", path)}
    assert names <= IDS.keys()


def pryings(tenant: str, agent: str, ports: str, invite: str) -> list[tuple[str, str, object]]:
    """Requests that would tell or do something about a tenant."""
    return [
        ("GET", f"/v1/tenants/{tenant}", None),
        ("GET", f"/v1/tenants/{tenant}/entries", None),
        ("GET", f"/v1/services?tenant_id={tenant}", None),
        ("GET", f"/v1/agents/{agent}", None),
        ("GET", f"/v1/ports/{ports}", None),
        ("DELETE", f"/v1/ports/{ports}", None),
        ("POST", "/v1/ports", {"tenant_id": tenant, "protocol": "tcp"}),
        ("GET", f"/v1/invites/{invite}", None),
        ("DELETE", f"/v1/tenants/{tenant}", None),
    ]


async def test_a_key_of_a_tenant_gets_the_same_answer_for_what_is_anothers_and_what_is_not(
    hub: TestHub,
) -> None:
    mine, other = await hub.invite("a.eu"), await hub.invite("b.eu")
    agent, key = new_key(), await made_key(hub, "operator", tenant_of(mine))
    await hub.client().bootstrap(other, agent, "default")
    requested = ReservationIn(tenant_id=tenant_id(other), protocol="tcp")
    retained = (await hub.client().ports.reserve(requested)).reservation_id
    sent = pryings(tenant_id(other).hex(), agent.public.hex(), retained, invite_id(other))
    sent += pryings("ab" * 32, "ab" * 32, "A" * 22, "A" * 22)
    async with hub.raw() as http:
        answers = [
            await http.request(method, path, json=body, headers=bearer(key))
            for method, path, body in sent
        ]

    there, nowhere = answers[:9], answers[9:]
    assert [body_of(answer)[0] for answer in there] == [404, 403, 403, 404, 404, 404, 404, 403, 403]
    assert [answer.text for answer in there] == [answer.text for answer in nowhere]


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_a_key_of_a_tenant_cannot_make_itself_greater(hub: TestHub, role: Role) -> None:
    token = await hub.invite("a.eu")
    key = await made_key(hub, role, tenant_of(token))
    own = tenant_id(token).hex()
    requested: list[tuple[str, str, object]] = [
        ("POST", "/v1/keys", {"name": "x", "role": "admin"}),
        ("POST", "/v1/keys", {"name": "x", "role": "viewer", "tenant_id": own}),
        ("GET", "/v1/keys", None),
        ("PATCH", f"/v1/tenants/{own}", {"limits": {"ports": 9}}),
        ("POST", f"/v1/tenants/{own}/resume", None),
        ("PATCH", f"/v1/invites/{invite_id(token)}", {"hostnames": ["b.eu"]}),
        ("POST", f"/v1/invites/{invite_id(token)}/hostnames", {"hostnames": ["b.eu"]}),
        ("POST", "/v1/invites", {"hostnames": ["b.eu"]}),
        ("POST", "/v1/edge-invites", None),
        ("GET", "/v1/audit", None),
        ("GET", f"/v1/audit?tenant_id={own}", None),
    ]
    async with hub.raw() as http:
        answers = [
            await http.request(method, path, json=body, headers=bearer(key))
            for method, path, body in requested
        ]

    assert {body_of(answer) for answer in answers} == {(403, "forbidden")}
    assert len((await hub.client().audit.list()).audit) == 2  # the invite and the key
