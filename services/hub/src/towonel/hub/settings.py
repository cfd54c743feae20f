"""Settings of the hub, from its environment."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, override

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from towonel.hub.store.db.database import Database
from towonel.hub.tenant_settings import DeclaredTenant, parse_tenants
from towonel.runtime.addresses import (
    WILDCARDS,
    Network,
    describe_clash,
    loopback_url,
    parse_networks,
)
from towonel.runtime.environment.folders import Folder
from towonel.runtime.redis.url import RedisUrl
from towonel.runtime.settings import CsvList, HostPort
from towonel.runtime.tracing.telemetry import TelemetrySettings
from towonel.wire.addresses import HEALTH_LISTENERS, LAST_PORT, is_port
from towonel.wire.errors import Denied, ProtocolError
from towonel.wire.hub_urls import parse_hub_url
from towonel.wire.legacy.variables import REPLACED_VARIABLES
from towonel.wire.names import Hostname, parse_hostname
from towonel.wire.variables import VARIABLES

_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
# The fields of the key files, and the name of each in the data folder.
KEY_FILES = {
    "identity_key_path": "node.key",
    "operator_api_key_path": "operator.key",
    "invite_hash_key_path": "invite_hash.key",
}
_MAX_QUOTA = 1_000_000  # what no database of a hub has room for


def _hash_key(value: SecretStr) -> SecretStr:
    text = "".join(value.get_secret_value().split())
    if not _HEX_KEY.fullmatch(text):
        raise ValueError("must be 64 hexadecimal digits, as `openssl rand -hex 32` prints")
    return SecretStr(text)


def _public_url(value: str) -> str:
    try:
        url = parse_hub_url(value, allow_insecure=True)
    except Denied as error:
        raise ValueError(error.detail) from None
    if url.host in WILDCARDS:
        raise ValueError("must name a host that agents and edges can reach, not every address")
    return value.rstrip("/")


def _tenants(value: object) -> object:
    return parse_tenants(value) if isinstance(value, str) else value


def _parse_database(driver: str, dsn: str) -> Database:
    if driver != "postgres":
        return Database.parse_file(dsn)
    database = Database.parse(dsn)
    if database.url.port is not None and not 0 < database.url.port <= LAST_PORT:
        raise ValueError(f"has a port that is none: it must be from 1 to {LAST_PORT}")
    return database


class HubSettings(TelemetrySettings):
    """Settings of the hub; names and defaults are the original's where it has them."""

    prefixes: ClassVar[tuple[str, ...]] = ("TOWONEL_",)
    foreign: ClassVar[frozenset[str]] = VARIABLES
    replaced: ClassVar[Mapping[str, str]] = REPLACED_VARIABLES

    data_dir: Folder = Field(
        default=Path(),
        validation_alias="TOWONEL_DATA_DIR",
        description="Folder of keys and database, for every path that is not set on its own.",
    )
    identity_key_path: Path | None = Field(
        default=None,
        validation_alias="TOWONEL_IDENTITY_KEY_PATH",
        description="The hub's own key, 32 raw bytes; made where missing. `node.key` in the data folder.",
    )
    redis_url: RedisUrl = Field(
        default=None,
        validation_alias="TOWONEL_REDIS_URL",
        description="Redis that notifies hubs and edges of changed routes; without it edges long-poll the hub.",
    )
    listen_addr: HostPort = Field(
        default=("0.0.0.0", 8443),  # noqa: S104 it is a public API
        validation_alias="TOWONEL_HUB_LISTEN_ADDR",
        description="Where the API listens, in plain HTTP: an edge beside it, or a proxy, gives it TLS.",
    )
    health_listen_addr: HostPort = Field(
        default=HEALTH_LISTENERS["hub"][1],
        validation_alias="TOWONEL_HUB_HEALTH_LISTEN_ADDR",
        description="Where /livez, /readyz, /metrics and /version are served.",
    )
    public_url: Annotated[str, AfterValidator(_public_url)] | None = Field(
        default=None,
        validation_alias="TOWONEL_HUB_PUBLIC_URL",
        description="The API's address for agents and edges, which tokens carry. Must be set where they"
        " run elsewhere; else it is the one for this machine, `http://127.0.0.1:<port>`.",
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
    db_driver: Literal["sqlite", "postgres"] = Field(
        default="sqlite",
        validation_alias="TOWONEL_HUB_DB_DRIVER",
        description="The database: sqlite, or postgres for more than one hub.",
    )
    db_dsn: SecretStr | None = Field(
        default=None,
        validation_alias="TOWONEL_HUB_DB_DSN",
        description="SQLite: the file, `hub.db` in the data folder. Postgres: `postgres://user:password@host/name`.",
    )
    db_max_open_conns: int | None = Field(
        default=None,
        ge=1,
        le=1_000,
        validation_alias="TOWONEL_HUB_DB_MAX_OPEN_CONNS",
        description="Connections to the database at once. 4 for sqlite, 25 for postgres.",
    )
    db_max_idle_conns: int | None = Field(
        default=None,
        ge=1,
        le=1_000,
        validation_alias="TOWONEL_HUB_DB_MAX_IDLE_CONNS",
        description="How many of them are kept open while there is nothing to do. 4 for sqlite, 10 for postgres.",
    )
    allow_privileged_ports: bool = Field(
        default=False,
        validation_alias="TOWONEL_HUB_ALLOW_PRIVILEGED_PORTS",
        description="Whether tenants may publish ports below 1024.",
    )
    drain_timeout_secs: float = Field(
        default=10,
        gt=0,
        le=3600,
        validation_alias="TOWONEL_HUB_DRAIN_TIMEOUT_SECS",
        description="Seconds that requests in flight get when the hub stops.",
    )

    tenants: Annotated[tuple[DeclaredTenant, ...], BeforeValidator(_tenants)] = Field(
        default=(),
        validation_alias="TOWONEL_TENANTS",
        description="JSON array of tenants without an invite: `name`, `id`, `pq_public_key`, as"
        " `towonel tenant init` prints them, `hostnames`, `agent_node_ids`.",
    )
    trusted_proxies: CsvList = Field(
        default=(),
        validation_alias="TOWONEL_HUB_TRUSTED_PROXIES",
        description="Networks whose X-Forwarded-For, or PROXY v2 header, is believed, as in `10.0.0.0/8,fd00::/8`.",
    )
    rate_limit_per_sec: float = Field(
        default=5,
        gt=0,
        le=1_000_000,
        validation_alias="TOWONEL_HUB_RATE_LIMIT_PER_SEC",
        description="Requests a second that one address may make without an operator's or an API key.",
    )
    rate_limit_burst: int = Field(
        default=30,
        ge=1,
        le=1_000_000,
        validation_alias="TOWONEL_HUB_RATE_LIMIT_BURST",
        description="How many of them may come at once.",
    )
    key_rate_limit_per_sec: float = Field(
        default=50,
        gt=0,
        le=1_000_000,
        validation_alias="TOWONEL_HUB_KEY_RATE_LIMIT_PER_SEC",
        description="Requests a second that one operator's or API key may make; the burst is ten times that.",
    )
    body_memory_mib: int = Field(
        default=16,
        ge=2,
        le=1_000_000,
        validation_alias="TOWONEL_HUB_BODY_MEMORY_MIB",
        description="MiB of request bodies that are held before their sender is known. Above it, the"
        " address that sends most is told to come back.",
    )
    quota_services: int = Field(
        default=1_000,
        ge=0,
        le=_MAX_QUOTA,
        validation_alias="TOWONEL_HUB_QUOTA_SERVICES",
        description="Services that a tenant may publish, unless its own limit says otherwise.",
    )
    quota_agents: int = Field(
        default=100,
        ge=0,
        le=_MAX_QUOTA,
        validation_alias="TOWONEL_HUB_QUOTA_AGENTS",
        description="Agents that a tenant may run at once, unless its own limit says otherwise.",
    )
    quota_ports: int = Field(
        default=100,
        ge=0,
        le=_MAX_QUOTA,
        validation_alias="TOWONEL_HUB_QUOTA_PORTS",
        description="Ports that a tenant may publish or keep, unless its own limit says otherwise.",
    )
    quota_hostnames: int = Field(
        default=1_000,
        ge=0,
        le=_MAX_QUOTA,
        validation_alias="TOWONEL_HUB_QUOTA_HOSTNAMES",
        description="Hostnames that an invite may have, unless its own limit says otherwise.",
    )
    quota_groups: int = Field(
        default=32,
        ge=0,
        le=_MAX_QUOTA,
        validation_alias="TOWONEL_HUB_QUOTA_GROUPS",
        description="Groups of a tenant that may publish something.",
    )
    quota_group_services: int = Field(
        default=10_000,
        ge=0,
        le=_MAX_QUOTA,
        validation_alias="TOWONEL_HUB_QUOTA_GROUP_SERVICES",
        description="Services that all groups of a tenant may publish, where one that two groups publish counts twice.",
    )
    route_changes_per_sec: float = Field(
        default=10,
        gt=0,
        le=1_000_000,
        validation_alias="TOWONEL_HUB_ROUTE_CHANGES_PER_SEC",
        description="Services a second that a tenant may add, change or remove; of a range of ports each port counts.",
    )
    route_changes_burst: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        validation_alias="TOWONEL_HUB_ROUTE_CHANGES_BURST",
        description="How many of them may come at once.",
    )
    reserved_ports: CsvList = Field(
        default=("443", "8443", "9090", "9091"),
        validation_alias="TOWONEL_HUB_RESERVED_PORTS",
        description=(
            "TCP and UDP ports that no tenant gets: those of the hub and its edges. Those that agents reach edges at"
            " need not be named."
        ),
    )
    reserved_hostnames: CsvList = Field(
        default=(),
        validation_alias="TOWONEL_HUB_RESERVED_HOSTNAMES",
        description="Names that no tenant can publish: those of hubs that edges answer themselves (TOWONEL_EDGE_SELF_ROUTE)."
        " `towonel serve` adds its own.",
    )
    ports_require_reservation: bool = Field(
        default=False,
        validation_alias="TOWONEL_HUB_PORTS_REQUIRE_RESERVATION",
        description="Whether a port must be reserved for a tenant before it can publish it.",
    )
    open_tenant_logs: bool = Field(
        default=False,
        validation_alias="TOWONEL_HUB_OPEN_TENANT_LOGS",
        description="Whether anyone who knows a tenant's id may read its entries, as the original's"
        " agents and command line expect before its 0.1.",
    )
    audit_retention_days: int = Field(
        default=90,
        ge=1,
        le=36_500,
        validation_alias="TOWONEL_HUB_AUDIT_RETENTION_DAYS",
        description="For how many days the audit log remembers.",
    )

    @field_validator("health_listen_addr")
    @classmethod
    def _free_port(cls, value: tuple[str, int], info: ValidationInfo) -> tuple[str, int]:
        other = info.data.get("listen_addr")
        if clash := describe_clash(value, "TOWONEL_HUB_LISTEN_ADDR", other):
            raise ValueError(clash)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_networks(value)
        return value

    @field_validator("reserved_ports")
    @classmethod
    def _ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [item for item in value if not is_port(item)]
        if wrong:
            raise ValueError("\n".join(f"{item!r} is not a port, 1 to 65535" for item in wrong))
        return value

    @field_validator("reserved_hostnames")
    @classmethod
    def _hostnames(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        problems: list[str] = []
        for text in value:
            try:
                parse_hostname(text)
            except ProtocolError as error:
                problems.append(error.detail)
        if problems:
            raise ValueError("\n".join(problems))
        return value

    @field_validator("db_dsn")
    @classmethod
    def _usable_database(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        driver = info.data.get("db_driver")  # missing where it is wrong itself
        if driver == "postgres" and value is None:
            raise ValueError(
                "must be set for postgres, as in postgres://user:password@host:5432/database"
            )
        if driver is not None and value is not None:
            _ = _parse_database(driver, value.get_secret_value())
        return value

    @override
    def find_warnings(self) -> Iterator[str]:
        if (
            self.public_url is not None
            and parse_hub_url(self.public_url, allow_insecure=True).is_cleartext
        ):
            yield (
                "TOWONEL_HUB_PUBLIC_URL: is http://, which agents and edges refuse unless each has"
                " TOWONEL_ALLOW_INSECURE_HUB=true"
            )

    @property
    def database(self) -> Database:
        """The database."""
        dsn = self.db_dsn.get_secret_value() if self.db_dsn else str(self.data_dir / "hub.db")
        return _parse_database(self.db_driver, dsn)

    @property
    def database_variable(self) -> str:
        """The variable that the database's address is from."""
        return self.variable_of("db_dsn" if self.db_dsn else "data_dir")

    @property
    def key_paths(self) -> dict[str, Path]:
        """The key files, by the field of each; one may be missing."""
        return {
            field: getattr(self, field) or self.data_dir / name for field, name in KEY_FILES.items()
        }

    @property
    def max_connections(self) -> int:
        """Connections to the database at once."""
        return self.db_max_open_conns or (25 if self.db_driver == "postgres" else 4)

    @property
    def max_idle_connections(self) -> int:
        """How many of them stay open."""
        idle = self.db_max_idle_conns or (10 if self.db_driver == "postgres" else 4)
        return min(idle, self.max_connections)

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks whose X-Forwarded-For is believed."""
        return parse_networks(self.trusted_proxies)

    @property
    def ports_in_use(self) -> frozenset[int]:
        """Ports that no tenant gets."""
        own = {self.listen_addr[1], self.health_listen_addr[1]}
        return frozenset(own | {int(port) for port in self.reserved_ports})

    @property
    def hostnames_in_use(self) -> frozenset[Hostname]:
        """Names that no tenant can publish."""
        return frozenset(map(parse_hostname, self.reserved_hostnames))

    @property
    def url(self) -> str:
        """The hub's address for tokens."""
        return self.public_url or loopback_url(self.listen_addr)
