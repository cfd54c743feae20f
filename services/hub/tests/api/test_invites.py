"""Invites over the API, as the operator sees them."""

import pytest
from support.hub import TestHub, new_key, registration, state, tenant_of

from towonel.api.invites import HostnamesIn, InviteIn
from towonel.identity.keys import NodeKey
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import EdgeToken, InviteToken

AUTH = {"authorization": "Bearer operator-key"}


async def test_an_invite_has_a_token_that_makes_its_tenant(hub: TestHub) -> None:
    created = await hub.client().invites.create(
        InviteIn(name="home", hostnames=["App.example.eu", "*.b.eu"], expires_in_secs=60)
    )
    token = InviteToken.decode(created.token)
    (listed,) = (await hub.client().invites.list()).invites

    assert token.hub_url == "https://hub.example.eu"
    assert tenant_of(token).tenant_id == created.tenant_id == listed.tenant_id
    assert created.expires_at_ms == hub.clock.now_ms + 60_000
    assert (listed.name, listed.hostnames, listed.status) == (
        "home",
        ["app.example.eu", "*.b.eu"],
        "pending",
    )


async def test_a_name_is_made_where_none_is_given(hub: TestHub) -> None:
    created = await hub.client().invites.create(InviteIn(name="  ", hostnames=["a.eu"]))

    assert created.name.count("-") == 1


async def test_equal_claims_are_refused_and_more_specific_ones_are_not(hub: TestHub) -> None:
    await hub.invite("*.example.eu")
    await hub.invite("app.example.eu")

    with pytest.raises(Denied) as caught:
        await hub.invite("x.eu", "*.Example.EU")
    assert caught.value.code is Code.HOSTNAME_CONFLICT
    assert "*.example.eu" in caught.value.detail


async def test_a_conflict_names_the_invite_that_has_the_name_and_how_it_stands(
    hub: TestHub,
) -> None:
    client = hub.client()
    brief = InviteIn(name="home", hostnames=["a.eu"], expires_in_secs=15)
    held = await client.invites.create(brief)
    other = await hub.invite("b.eu")
    hub.clock.now_ms += 15_000
    with pytest.raises(Denied) as created:
        await hub.invite("c.eu", "a.eu")
    with pytest.raises(Denied) as added:
        await client.invites.add_hostnames(
            base64url.encode(other.invite_id), HostnamesIn(hostnames=["a.eu"])
        )

    message = f"another invite has already: a.eu (invite {held.invite_id}, 'home', expired)"
    assert [it.value.detail for it in (created, added)] == [message] * 2


async def test_an_edge_invite_is_used_once_its_edge_has_registered(hub: TestHub) -> None:
    client = hub.client()
    made = await client.edge_invites.create("there")
    edge = NodeKey.from_seed(EdgeToken.decode(made.token).seed)
    (before,) = (await client.edge_invites.list()).invites
    await client.register_edge(edge, registration(edge))
    (after,) = (await client.edge_invites.list()).invites

    assert (before.state, before.used_at) == ("pending", None)
    assert (after.state, after.used_at) == ("used", after.created_at)


async def test_a_revoked_invite_frees_its_names_and_cannot_be_revoked_again(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    invite_id = base64url.encode(token.invite_id)
    await hub.client().invites.revoke(invite_id)

    with pytest.raises(Denied) as caught:
        await hub.client().invites.revoke(invite_id)
    await hub.invite("a.eu")
    assert caught.value.code is Code.NOT_FOUND
    statuses = [invite.status for invite in (await hub.client().invites.list()).invites]
    assert sorted(statuses) == ["pending", "revoked"]


async def test_revoking_ends_routes_grants_and_bootstraps(hub: TestHub) -> None:
    token, agent = await hub.invite("a.eu"), new_key()
    client = hub.client()
    welcome = await client.bootstrap(token, agent, "default")
    await client.apply_desired_state(tenant_of(token), state("a.eu"))
    await client.invites.revoke(base64url.encode(token.invite_id))
    assert welcome.grant

    delta = await client.follow_routes(hub.context.keys.node, 1)
    assert delta.removed == ("https:a.eu",)
    assert delta.blocked == (tenant_of(token).tenant_id,)
    for refused, code in (
        (client.refresh(base64url.decode(welcome.grant), agent), Code.TENANT_REVOKED),
        (client.apply_desired_state(tenant_of(token), state("a.eu")), Code.TENANT_REVOKED),
        (client.bootstrap(token, agent, "default"), Code.UNAUTHORIZED),
    ):
        with pytest.raises(Denied) as caught:
            await refused
        assert caught.value.code is code


@pytest.mark.parametrize("key", [None, "wrong", "operator-ke", "operator-key2"])
async def test_without_the_operators_key_nothing_is_told(hub: TestHub, key: str | None) -> None:
    header = {} if key is None else {"authorization": f"Bearer {key}"}
    async with hub.raw() as http:
        for path in ("/v1/invites", "/v1/edge-invites", "/v1/edges"):
            answer = await http.get(path, headers=header)

            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "unauthorized"
            assert "Bearer" in answer.headers["www-authenticate"]


async def test_another_scheme_is_refused(hub: TestHub) -> None:
    async with hub.raw() as http:
        answer = await http.get("/v1/invites", headers={"authorization": "Basic operator-key"})

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"hostnames": []}', "hostnames"),
        ('{"hostnames": ["single"]}', "single"),
        ('{"hostnames": ["a.eu"], "expires_in_secs": 99999999}', "expires_in_secs"),
        ('{"hostnames": ["a.eu"], "serves_for_secs": 0}', "serves_for_secs"),
        ('{"hostnames": ["a.eu"], "serves_for_secs": 1e9}', "serves_for_secs"),
        ('{"hostnames": ["a.eu"], "exipres": 1}', "exipres"),
        ("{", "JSON"),
        ("[]", "body"),
    ],
)
async def test_a_bad_body_is_refused_by_the_name_of_its_field(
    hub: TestHub, body: str, field: str
) -> None:
    headers = {**AUTH, "content-type": "application/json"}
    async with hub.raw() as http:
        answer = await http.post("/v1/invites", content=body, headers=headers)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    assert field in answer.json()["error"]["message"]


@pytest.mark.parametrize("invite_id", ["AA", "=", "A" * 22 + "B"])
async def test_an_id_that_is_none_is_refused(hub: TestHub, invite_id: str) -> None:
    async with hub.raw() as http:
        answer = await http.delete(f"/v1/invites/{invite_id}", headers=AUTH)

    assert answer.status_code == 400


async def test_an_edge_invite_has_a_token_and_is_revoked_once(hub: TestHub) -> None:
    client = hub.client()
    created = await client.edge_invites.create("second")
    token = EdgeToken.decode(created.token)
    await client.edge_invites.revoke(created.invite_id)
    (listed,) = (await client.edge_invites.list()).invites

    assert base64url.encode(token.invite_id) == created.invite_id
    assert (listed.name, listed.status) == ("second", "revoked")
    assert listed.edge_node_id == created.edge_node_id
    with pytest.raises(Denied) as caught:
        await client.edge_invites.revoke(created.invite_id)
    assert caught.value.code is Code.NOT_FOUND


async def test_an_edge_invite_needs_no_body(hub: TestHub) -> None:
    async with hub.raw() as http:
        answer = await http.post("/v1/edge-invites", headers=AUTH)

    assert answer.status_code == 200
    assert answer.json()["name"].count("-") == 1
