"""Edges as the hub shows them: where they are, and what they told last."""

from pydantic import AwareDatetime

from towonel.client.models import Answer, Hex32, Page
from towonel.client.resources import Traffic


class EdgeItem(Answer):
    """An edge that has registered; `sessions` and `traffic` are those of one that is live."""

    node_id: Hex32
    name: str
    addresses: list[str]
    certificate_sha256: Hex32
    version: str
    last_seen_ms: int
    last_seen_at: AwareDatetime
    is_live: bool
    sessions: int
    traffic: Traffic


class EdgeList(Page):
    """Registered edges, by id; `next_cursor` asks for the next part."""

    edges: list[EdgeItem]
