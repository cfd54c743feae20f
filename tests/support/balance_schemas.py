"""Schemas of the fields of a service about its clients' shares, as charts take them."""

from typing import Any

from towonel.agent.core.checks.origin_check import CheckKind

_KINDS = [str(kind) for kind in CheckKind]
_CHECKS = {"type": "integer", "minimum": 1, "maximum": 100}
_FIELDS = {
    "type": {"type": "string", "enum": _KINDS},
    "path": {"type": "string", "pattern": "^/[!-~]{0,199}$"},
    "origin": {"type": "string", "pattern": "^.+:[0-9]+$"},
    "interval_secs": {"type": "integer", "minimum": 1, "maximum": 3_600},
    "timeout_secs": {"type": "integer", "minimum": 1, "maximum": 60},
    "rise": _CHECKS,
    "fall": _CHECKS,
}
_SHORT = {"type": "string", "pattern": "^(tcp|tls|https?(:/[!-~]{0,199})?)$"}
_LONG = {
    "type": "object",
    "properties": _FIELDS,
    "additionalProperties": False,
    "required": ["type"],
}
BALANCE: dict[str, dict[str, Any]] = {
    "check": {"anyOf": [_SHORT, _LONG]},
    "affinity": {"type": "string", "enum": ["client", "none"]},
}
