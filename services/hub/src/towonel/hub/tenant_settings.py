"""Parser of TOWONEL_TENANTS: tenants declared by the settings, with keys made elsewhere."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from towonel.api.fields import HEX_32_ANY_CASE
from towonel.api.rules import describe_rule
from towonel.identity.keys import TENANT_PUBLIC_KEY_BYTES, tenant_id_of
from towonel.runtime.environment.lists import parse_json
from towonel.wire import base64url
from towonel.wire.errors import ProtocolError
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.names import Hostname, parse_hostname

MAX_TENANTS = 1_000


@dataclass(frozen=True, slots=True)
class DeclaredTenant:
    """Declared tenant: its hostnames, and the agents that it has without registering them."""

    name: str
    tenant_id: TenantId
    public_key: bytes
    hostnames: tuple[Hostname, ...]
    agents: tuple[AgentId, ...] = ()


def _hostname(text: str) -> Hostname:
    try:
        return parse_hostname(text)
    except ProtocolError as error:
        raise ValueError(error.detail) from None


def _public_key(text: str) -> str:
    try:
        size = len(base64url.decode(text := "".join(text.split())))
    except ProtocolError:
        raise ValueError("must be base64url without padding") from None
    if size != TENANT_PUBLIC_KEY_BYTES:
        raise ValueError(f"must be {TENANT_PUBLIC_KEY_BYTES} bytes, and is {size}")
    return text


type _Id = Annotated[str, Field(pattern=HEX_32_ANY_CASE)]


class _Item(BaseModel):
    """Item of the JSON array; `direct_addresses` are accepted for the original's sake, and unused."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    id: _Id
    pq_public_key: Annotated[str, AfterValidator(_public_key)]
    hostnames: list[Annotated[str, AfterValidator(_hostname)]] = []
    agent_node_ids: list[_Id] = []
    direct_addresses: list[str] = []


def parse_tenants(text: str) -> tuple[DeclaredTenant, ...]:
    """Parse the JSON array of tenants.

    Raises:
        ValueError: with one line per mistake, each with the index of the tenant and the field.
    Source: inventory §2, TENANTS.
    """
    found: object = parse_json(text) if text.strip() else []
    if not isinstance(found, list):
        raise ValueError('must be a JSON array, as in [{"name": "home", …}]')  # noqa: TRY004 one kind of mistake
    entries = cast("list[object]", found)
    if len(entries) > MAX_TENANTS:
        raise ValueError(f"has {len(entries)} tenants, at most {MAX_TENANTS} are taken")
    problems: list[str] = []
    parsed = [_parse_item(number, entry, problems) for number, entry in enumerate(entries)]
    tenants = tuple(one for one in parsed if one is not None)
    problems += _duplicates(tenants)
    if problems:
        raise ValueError("\n".join(problems))
    return tenants


def _parse_item(number: int, entry: object, problems: list[str]) -> DeclaredTenant | None:
    try:
        tenant = _tenant(_Item.model_validate(entry))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problems.extend(f"[{number}]{_problem(item)}" for item in found)
        return None
    if (tenant_id := tenant_id_of(tenant.public_key)) != tenant.tenant_id:
        problems.append(f"[{number}].id: is not of its pq_public_key: that is {tenant_id.hex()}")
    return tenant


def _tenant(item: _Item) -> DeclaredTenant:
    return DeclaredTenant(
        item.name,
        TenantId(bytes.fromhex(item.id)),
        base64url.decode(item.pq_public_key),
        tuple(dict.fromkeys(map(Hostname, item.hostnames))),
        tuple(AgentId(bytes.fromhex(agent_id)) for agent_id in item.agent_node_ids),
    )


def _duplicates(tenants: tuple[DeclaredTenant, ...]) -> list[str]:
    counts = Counter(str(name) for one in tenants for name in one.hostnames)
    counts.update(one.tenant_id.hex() for one in tenants)
    counts.update(agent_id.hex() for one in tenants for agent_id in one.agents)
    return sorted(f"{name}: occurs twice" for name, count in counts.items() if count > 1)


def _problem(item: ErrorDetails) -> str:
    place = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"]]
    match item["type"]:
        case "extra_forbidden":
            rule = f"unknown field; there are {', '.join(_Item.model_fields)}"
        case "string_pattern_mismatch":
            rule = "must be 64 hexadecimal digits"
        case _:
            rule = describe_rule(item)
    return f"{''.join(place)}: {rule}"
