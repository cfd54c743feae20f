import json

import pytest

from towonel.hub.tenant_settings import MAX_TENANTS, DeclaredTenant, parse_tenants
from towonel.identity.keys import TenantKey
from towonel.wire import base64url
from towonel.wire.ids import AgentId
from towonel.wire.names import Hostname

KEY = TenantKey.from_seed(bytes(32))
OTHER = TenantKey.from_seed(bytes([1]) * 32)
AGENT = AgentId(bytes([7]) * 32)


def item(key: TenantKey = KEY, **more: object) -> dict[str, object]:
    public = base64url.encode(key.public)
    return {"name": "home", "id": key.tenant_id.hex(), "pq_public_key": public, **more}


def read(*items: object) -> tuple[DeclaredTenant, ...]:
    return parse_tenants(json.dumps(items))


def test_a_tenant_is_read_as_the_original_has_it() -> None:
    said = item(
        hostnames=["App.example.eu", "*.example.eu", "app.example.eu"],
        agent_node_ids=[AGENT.hex()],
        direct_addresses=["192.0.2.1:1"],
    )

    assert read(said) == (
        DeclaredTenant(
            "home",
            KEY.tenant_id,
            KEY.public,
            (Hostname("app.example.eu"), Hostname("*.example.eu")),
            (AGENT,),
        ),
    )


@pytest.mark.parametrize("text", ["", "  ", "[]"])
def test_nothing_is_no_tenant(text: str) -> None:
    assert parse_tenants(text) == ()


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([item(colour="red")], r"\[0\]\.colour: unknown field; there are name, id"),
        ([{}], r"\[0\]\.name: is missing"),
        ([item(id="b7")], r"\[0\]\.id: must be 64 hexadecimal digits"),
        ([item(hostnames=["a b.eu"])], r"\[0\]\.hostnames\[0\]: "),
        ([item(pq_public_key="AA==")], r"\[0\]\.pq_public_key: must be base64url without padding"),
        ([item(pq_public_key="AAAA")], r"must be 1952 bytes, and is 3"),
        ([item(id=OTHER.tenant_id.hex())], rf"\[0\]\.id: is not of .* {KEY.tenant_id.hex()}"),
        ([item(hostnames=["a.eu"]), item(OTHER, hostnames=["A.eu"])], r"a\.eu: occurs twice"),
        ([item(), item()], f"{KEY.tenant_id.hex()}: occurs twice"),
        ([item(agent_node_ids=[AGENT.hex()] * 2)], f"{AGENT.hex()}: occurs twice"),
        ([item()] * (MAX_TENANTS + 1), "at most 1000 are taken"),
        ("home", "must be a JSON array"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_mistake_is_named(items: list[object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_tenants(json.dumps(items))


def test_mistakes_of_every_kind_and_tenant_are_named_at_once() -> None:
    wrapped = item(OTHER, pq_public_key="\n".join(str(item(OTHER)["pq_public_key"]).partition("-")))
    with pytest.raises(ValueError, match="unknown field") as caught:
        read(item(colour="red"), 5, item(id=OTHER.tenant_id.hex()), wrapped)

    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "[0].colour",
        "[1]",
        "[2].id",
        OTHER.tenant_id.hex(),
    ]


def test_what_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_tenants("[" * 100_000)


def test_what_is_no_json_is_told_with_its_place() -> None:
    with pytest.raises(ValueError, match="is not JSON: Expecting value at character 2"):
        parse_tenants("[")
