"""Bodies about tenants."""

from typing import Literal

from pydantic import AwareDatetime, Field

from towonel.api.agents import AgentItem
from towonel.api.bodies import Answer, Page, Request
from towonel.api.fields import Hex32, Name
from towonel.api.limits import Limits
from towonel.api.ports import PortRange
from towonel.api.traffic import Traffic

type TenantStatus = Literal["active", "suspended", "revoked"]


class TenantEdit(Request):
    """Changes of a tenant; fields that are not sent stay as they are."""

    name: Name | None = Field(default=None, min_length=1)
    limits: Limits | None = None


class TenantItem(Answer):
    """One tenant; with `ended_at` it is suspended because the time of `serves_until` is over."""

    tenant_id: Hex32
    invite_id: str
    name: str
    status: TenantStatus
    hostnames: list[str]
    limits: Limits
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    suspended_at: AwareDatetime | None
    agents_live: int
    traffic: Traffic
    serves_until: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None


class TenantPage(Page):
    """Tenants, the newest first."""

    tenants: list[TenantItem]


class TenantDetail(TenantItem):
    """One tenant, with what it uses of its limits and where it is live."""

    services: int
    ports: list[PortRange]
    agents: list["AgentItem"]


class RemovedOut(Answer):
    """That a tenant is removed."""

    status: Literal["removed"] = "removed"
    tenant_id: Hex32
