"""What the hub's environment may say, and what follows from it."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator
from redis.connection import parse_url  # pyright: ignore[reportUnknownVariableType] # untyped

from towonel.runtime.settings import HostPort, Settings

_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


def _hash_key(value: SecretStr) -> SecretStr:
    if not _HEX_KEY.fullmatch(value.get_secret_value().strip()):
        raise ValueError("must be 64 hexadecimal digits, as `openssl rand -hex 32` prints")
    return value


def _public_url(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ValueError("must start with https://")
    return value.rstrip("/")


def _redis_url(value: SecretStr) -> SecretStr:
    try:
        parse_url(value.get_secret_value())  # type: ignore[no-untyped-call] # redis has no types here
    except ValueError:  # its text could show a password
        raise ValueError(
            "must be redis://, rediss:// or unix://, as in redis://host:6379/0"
        ) from None
    return value


class HubSettings(Settings):
    """The hub's variables; names and defaults are the original's where it has them."""

    prefixes: ClassVar[tuple[str, ...]] = ("TOWONEL_HUB_", "TOWONEL_INVITE_HASH_")

    data_dir: Path = Field(
        default=Path(),
        validation_alias="TOWONEL_DATA_DIR",
        description="Folder of keys and database, for every path that is not set on its own.",
    )
    identity_key_path: Path | None = Field(
        default=None,
        validation_alias="TOWONEL_IDENTITY_KEY_PATH",
        description="The hub's own key, 32 raw bytes; made where missing. `node.key` in the data folder.",
    )
    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = Field(
        default=None,
        validation_alias="TOWONEL_REDIS_URL",
        description="Redis that wakes edges when routes change; without it they long-poll the hub.",
    )
    client_url: str | None = Field(
        default=None,
        validation_alias="TOWONEL_HUB_URL",
        description="Where the `towonel` command finds a hub; the hub itself does not use it.",
    )
    enabled: bool = Field(
        default=True,
        validation_alias="TOWONEL_HUB_ENABLED",
        description="Whether `towonel serve` starts a hub.",
    )
    listen_addr: HostPort = Field(
        default=("0.0.0.0", 8443),  # noqa: S104 it is a public API
        validation_alias="TOWONEL_HUB_LISTEN_ADDR",
        description="Where the API listens, in plain HTTP: put TLS in front of it.",
    )
    health_listen_addr: HostPort = Field(
        default=("0.0.0.0", 9091),  # noqa: S104 the original's default
        validation_alias="TOWONEL_HUB_HEALTH_LISTEN_ADDR",
        description="Where /livez, /readyz, /metrics and /version are served.",
    )
    public_url: Annotated[str, AfterValidator(_public_url)] | None = Field(
        default=None,
        validation_alias="TOWONEL_HUB_PUBLIC_URL",
        description="The API's address for agents and edges, which tokens carry. `https://<listen address>`.",
    )
    operator_api_key_path: Path | None = Field(
        default=None,
        validation_alias="TOWONEL_HUB_OPERATOR_API_KEY_PATH",
        description="The operator's key; made where missing. `operator.key` in the data folder.",
    )
    invite_hash_key: Annotated[SecretStr, AfterValidator(_hash_key)] | None = Field(
        default=None,
        validation_alias="TOWONEL_INVITE_HASH_KEY",
        description="64 hexadecimal digits under which invite secrets are hashed; wins over the file.",
    )
    invite_hash_key_path: Path | None = Field(
        default=None,
        validation_alias="TOWONEL_INVITE_HASH_KEY_PATH",
        description="The same in a file; made where missing. `invite_hash.key` in the data folder.",
    )
    db_driver: Literal["sqlite"] = Field(
        default="sqlite",
        validation_alias="TOWONEL_HUB_DB_DRIVER",
        description="The database: sqlite.",
    )
    db_dsn: str | None = Field(
        default=None,
        validation_alias="TOWONEL_HUB_DB_DSN",
        description="The database's file. `hub.db` in the data folder.",
    )
    db_max_open_conns: int = Field(
        default=4,
        ge=1,
        le=1_000,
        validation_alias="TOWONEL_HUB_DB_MAX_OPEN_CONNS",
        description="Connections to the database at once.",
    )
    db_max_idle_conns: int = Field(
        default=4,
        ge=1,
        le=1_000,
        validation_alias="TOWONEL_HUB_DB_MAX_IDLE_CONNS",
        description="How many of them are kept open while there is nothing to do.",
    )
    allow_privileged_ports: bool = Field(
        default=False,
        validation_alias="TOWONEL_HUB_ALLOW_PRIVILEGED_PORTS",
        description="Whether tenants may publish ports below 1024.",
    )
    drain_timeout_secs: float = Field(
        default=10,
        gt=0,
        validation_alias="TOWONEL_HUB_DRAIN_TIMEOUT_SECS",
        description="Seconds that requests in flight get when the hub is told to stop.",
    )

    @field_validator("redis_url", mode="before")
    @classmethod
    def _blank_is_none(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value

    @property
    def database(self) -> Path:
        """The database's file."""
        dsn = self.db_dsn.removeprefix("sqlite://").partition("?")[0] if self.db_dsn else None
        return Path(dsn) if dsn else self.data_dir / "hub.db"

    @property
    def url(self) -> str:
        """The hub's address for tokens."""
        host, port = self.listen_addr
        return self.public_url or f"https://{f'[{host}]' if ':' in host else host}:{port}"
