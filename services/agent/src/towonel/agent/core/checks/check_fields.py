"""Fields of a service about its clients' shares: how its origin is checked, and whether clients stay with an agent."""

import re
from collections.abc import Mapping
from typing import Final, cast

from towonel.agent.core.checks.origin_check import CheckKind, OriginCheck
from towonel.agent.core.service_items import Item, Quantity, parse_origin, show

BALANCE_FIELDS: Final = ("check", "affinity")
_EXAMPLE: Final = '"tcp", "http:/healthz" or {"type": "http", "path": "/healthz", "fall": 2}'
_TYPES: Final = ", ".join(CheckKind)
_FIELDS: Final = ("type", "path", "origin", "interval_secs", "timeout_secs", "rise", "fall")
_PATH: Final = re.compile(r"/[!-~]{0,199}")
_WITH_PATH: Final = (CheckKind.HTTP, CheckKind.HTTPS)
_INTERVAL: Final = Quantity("seconds", 3600, 5, "5")
_TIMEOUT: Final = Quantity("seconds", 60, 2, "2")
_RISE: Final = Quantity("checks", 100, 2, "2")
_FALL: Final = Quantity("checks", 100, 3, "3")


def read_check(item: Item) -> OriginCheck | None:
    """Return the check of an item's origin, unless something is wrong with it; None for no check."""
    values = item.read("check", _to_fields)
    if values is None:
        return None
    fields = Item(f"{item.where}.check", values, _FIELDS)
    kind = fields.read("type", _parse_kind)
    path = fields.read("path", _parse_path, "/")
    address = fields.read("origin", _parse_address)
    interval_s = fields.read("interval_secs", _INTERVAL.parse)
    timeout_s = fields.read("timeout_secs", _TIMEOUT.parse)
    rise, fall = fields.read("rise", _RISE.parse), fields.read("fall", _FALL.parse)
    if "path" in values and kind is not None and kind not in _WITH_PATH:
        fields.refuse("path", f"is for checks of http and https, not of {kind}; leave it out")
    item.problems += fields.problems
    if kind is None or path is None or interval_s is None or timeout_s is None:
        return None
    if rise is None or fall is None:
        return None
    return OriginCheck(kind, path, address, interval_s, timeout_s, rise, fall)


def read_affinity(item: Item) -> bool:
    """Return whether clients of an item stay with one agent; False where something is wrong with it."""
    return item.read("affinity", _parse_affinity, "none") or False


def _to_fields(value: object) -> Mapping[str, object] | None:
    if value is None or isinstance(value, dict):
        return cast("Mapping[str, object] | None", value)
    if not isinstance(value, str):
        raise ValueError(f"must be a check, as in {_EXAMPLE}, not {show(value)}")  # noqa: TRY004 a mistake of a setting
    kind, colon, path = value.partition(":")
    return {"type": kind, "path": path} if colon else {"type": kind}


def _parse_kind(value: object) -> CheckKind:
    if not isinstance(value, str) or value not in {*CheckKind}:
        raise ValueError(f"must be one of {_TYPES}, not {show(value)}")
    return CheckKind(value)


def _parse_path(value: object) -> str:
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        rule = "begin with / and have at most 200 characters, all of ASCII and none of them a space"
        raise ValueError(f"must {rule}, not {show(value)}")
    return value


def _parse_address(value: object) -> tuple[str, int] | None:
    return None if value is None else parse_origin(value, "127.0.0.1:8080")


def _parse_affinity(value: object) -> bool:
    if value not in {"none", "client"}:
        raise ValueError(f'must be "client" or "none", not {show(value)}')
    return value == "client"
