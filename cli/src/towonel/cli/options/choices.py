"""Choices of flags that are not in the schema of the API."""

from enum import StrEnum
from typing import Literal

TlsEnd = Literal["passthrough", "terminate"]
Shell = Literal["bash", "zsh", "fish"]


class Format(StrEnum):
    """Format of what a command prints."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
