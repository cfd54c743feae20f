"""Flags of a tenant's limits: its quotas at the hub, and what its clients may do at edges."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from towonel.api.limits import MAX_BANDWIDTH, MAX_LIMIT, MIN_BANDWIDTH, Limits
from towonel.cli.errors import UsageError

_DEFAULT = "default"
_UNITS = {"k": 10**3, "M": 10**6, "G": 10**9}
_NAMES = {"connection_rate": "new connections a second"}


def _quota_option(what: str) -> Any:
    return typer.Option(
        metavar="N", help=f"{what} that it may have at most; {_DEFAULT}: the hub's limit."
    )


def _edge_option(metavar: str, what: str) -> Any:
    return typer.Option(metavar=metavar, help=f"{what}, at each edge; {_DEFAULT}: no own limit.")


MaxServices = Annotated[str | None, _quota_option("Services")]
MaxAgents = Annotated[str | None, _quota_option("Agents")]
MaxPorts = Annotated[str | None, _quota_option("Ports")]
MaxHostnames = Annotated[str | None, _quota_option("Hostnames")]
MaxConnections = Annotated[str | None, _edge_option("N", "Clients at once")]
MaxConnectionRate = Annotated[str | None, _edge_option("N", "New clients a second")]
MaxBandwidth = Annotated[
    str | None, _edge_option("BITS", "Bits a second, both ways together: 500k, 10M, 1G")
]


def name_limits(*texts: str | None) -> Mapping[str, str | None]:
    """Return the texts of flags by the names of their limits, in whose order they are."""
    return dict(zip(Limits.model_fields, texts, strict=True))


def parse_limits(**texts: str | None) -> Limits | None:
    """Return the limits in flags, by name; None without any.

    Raises:
        UsageError: naming the flag and the rule.
    """
    limits = {name: _parse_limit(name, text) for name, text in texts.items() if text is not None}
    return Limits(**limits) if limits else None


def format_limits(limits: Limits) -> str:
    """Format the limits that a tenant has of its own."""
    own = {name: value for name, value in limits.model_dump().items() if value is not None}
    return ", ".join(_format_limit(name, value) for name, value in own.items()) or "the hub's"


def _format_limit(name: str, value: int) -> str:
    if name == "bandwidth":
        return f"{_format_bits(value)}bit/s"
    return f"{value} {_NAMES.get(name, name)}"


def _format_bits(value: int) -> str:
    for unit, factor in reversed(_UNITS.items()):
        if value >= factor:
            return f"{value / factor:.12g} {unit}"
    return f"{value} "


def _parse_limit(name: str, text: str) -> int | None:
    flag, text = f"--max-{name.replace('_', '-')}", text.strip()
    if text == _DEFAULT:
        return None
    if name == "bandwidth":
        return _parse_bits(flag, text)
    least = 1 if name == "connection_rate" else 0
    if not (text.isascii() and text.isdigit() and least <= int(text[:10]) <= MAX_LIMIT):
        numbers = f"up to {MAX_LIMIT}" if not least else f"from {least} to {MAX_LIMIT}"
        raise UsageError(f"{flag}: is a number {numbers}, or {_DEFAULT}")
    return int(text)


def _parse_bits(flag: str, text: str) -> int:
    digits, factor = (text[:-1], _UNITS[text[-1]]) if text[-1:] in _UNITS else (text, 1)
    is_number = digits.isascii() and digits.isdigit()
    if not is_number or not MIN_BANDWIDTH <= int(digits[:14]) * factor <= MAX_BANDWIDTH:
        raise UsageError(
            f"{flag}: is bits a second, from 8k to 1000G, as in 500k, 10M or 1G; or {_DEFAULT}"
        )
    return int(digits) * factor
