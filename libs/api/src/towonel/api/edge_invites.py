"""Bodies about edge invites."""

from typing import Literal

from pydantic import AwareDatetime, Field

from towonel.api.bodies import Answer, Page, Request
from towonel.api.fields import Hex32, Name
from towonel.api.invites import InviteState, InviteStatus


class EdgeInviteIn(Request):
    """An edge to be."""

    name: Name | None = None


class EdgeInviteOut(Answer):
    """A new edge invite; its token is told this once."""

    status: Literal["ok"] = "ok"
    token: str = Field(repr=False)
    invite_id: str
    name: str
    edge_node_id: Hex32


class EdgeInviteItem(Answer):
    """An edge invite in a list."""

    invite_id: str
    name: str
    status: InviteStatus
    edge_node_id: Hex32
    created_at_ms: int
    state: InviteState | None = None
    created_at: AwareDatetime | None = None
    used_at: AwareDatetime | None = None


class EdgeInviteList(Page):
    """Edge invites, the newest first; `next_cursor` asks for the next part."""

    invites: list[EdgeInviteItem]
