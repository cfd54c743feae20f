"""What flags may be chosen from. Typer reads these aliases, and not those that `type` makes."""

from enum import StrEnum
from typing import Literal

Protocol = Literal["tcp", "udp"]
KeyRole = Literal["admin", "operator", "viewer"]
Status = Literal["pending", "revoked"]
TenantStanding = Literal["active", "suspended", "revoked"]
Kind = Literal["https", "tcp", "udp"]
TlsEnd = Literal["passthrough", "terminate"]
Shell = Literal["bash", "zsh", "fish"]


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
