"""Parser of TOWONEL_TENANTS: tenants declared by the settings, with keys made elsewhere."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from towonel.api.fields import HEX_32_ANY_CASE
from towonel.identity.keys import TENANT_PUBLIC_KEY_BYTES, tenant_id_of
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
        size = len(base64url.decode(text.strip()))
    except ProtocolError:
        raise ValueError("must be base64url without padding") from None
    if size != TENANT_PUBLIC_KEY_BYTES:
        raise ValueError(f"must be {TENANT_PUBLIC_KEY_BYTES} bytes, and is {size}")
    return text.strip()


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


_ITEMS = TypeAdapter(list[_Item])


def parse_tenants(text: str) -> tuple[DeclaredTenant, ...]:
    """Parse the JSON array of tenants.

    Raises:
        ValueError: with one line per mistake, each with the index of the tenant and the field.
    Source: inventory §2, TENANTS.
    """
    try:
        items = _ITEMS.validate_python(json.loads(text)) if text.strip() else []
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos + 1}") from None
    except ValidationError as error:
        raise ValueError("\n".join(map(_problem, error.errors(include_url=False)))) from None
    if len(items) > MAX_TENANTS:
        raise ValueError(f"has {len(items)} tenants, at most {MAX_TENANTS} are taken")
    tenants = tuple(map(_tenant, items))
    problems = [
        f"[{number}].id: is not of its pq_public_key: that is {tenant_id.hex()}"
        for number, one in enumerate(tenants)
        if (tenant_id := tenant_id_of(one.public_key)) != one.tenant_id
    ]
    problems += _duplicates(tenants)
    if problems:
        raise ValueError("\n".join(problems))
    return tenants


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
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{''.join(place)}: {message}" if place else message
