"""OpenAPI document of the hub, made once a process: it takes as long as ten tests."""

from functools import cache
from typing import Any

from towonel.hub.api.application import create_app_without_hub


@cache
def document() -> dict[str, Any]:
    """Return the document, which its readers leave as it is."""
    return create_app_without_hub().openapi()
