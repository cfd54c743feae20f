"""JSON schemas of the fields of a service about TLS to its origin, as the charts have them."""

from typing import Any

TLS: dict[str, dict[str, Any]] = {
    "http2": {"type": "boolean"},
    "origin_server_name": {"type": "string", "minLength": 1, "maxLength": 253},
    "origin_ca": {"type": "string", "minLength": 1, "maxLength": 500},
    "origin_insecure": {"type": "boolean"},
}
