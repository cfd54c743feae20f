"""Settings of the agent; `configuration.reading` reads them."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Self, override

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from towonel.agent.core.edges import EdgeChoice
from towonel.agent.core.https_services import EXAMPLE, parse_https_services
from towonel.agent.core.services import Service, find_conflicts, find_excess
from towonel.agent.core.tcp_services import parse_tcp_services
from towonel.agent.core.udp_services import parse_udp_services
from towonel.relay.hop.choice import Engine, parse_engine
from towonel.runtime.environment.lists import split_list
from towonel.runtime.settings import HostPort, Settings
from towonel.wire.addresses import HEALTH_LISTENERS
from towonel.wire.errors import ProtocolError
from towonel.wire.ids import ID_HEX
from towonel.wire.legacy.variables import REPLACED_VARIABLES
from towonel.wire.names import parse_group, parse_region
from towonel.wire.session.balance_hints import DEFAULT_WEIGHT, MAX_WEIGHT
from towonel.wire.tokens import InviteToken
from towonel.wire.variables import VARIABLES

SERVICE_FIELDS: Final = ("services", "tcp_services", "udp_services")  # one of each kind
LIVE_FIELDS: Final = (*SERVICE_FIELDS, "weight")  # that may change while the agent runs


def _parse_token(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return InviteToken.decode(value)
    except ProtocolError as error:
        raise ValueError(error.detail) from None


def _parse_https(value: object) -> object:
    return parse_https_services(value) if isinstance(value, str) else value


def _parse_tcp(value: object) -> object:
    return parse_tcp_services(value) if isinstance(value, str) else value


def _parse_udp(value: object) -> object:
    return parse_udp_services(value) if isinstance(value, str) else value


def _check_group(value: str) -> str:
    try:
        return parse_group(value)
    except ProtocolError as error:
        raise ValueError(error.detail) from None


def _parse_edge_ids(value: object) -> object:
    if not isinstance(value, str):
        return value
    ids = split_list(value)
    wrong = [number for number, text in enumerate(ids) if not ID_HEX.fullmatch(text)]
    if wrong:
        rule = "must be the id of an edge, 64 hexadecimal digits; the list a,b or a JSON array of edge ids"
        raise ValueError("\n".join(f"[{number}] {rule}" for number in wrong))
    return frozenset(bytes.fromhex(text) for text in ids)


def _parse_edges(value: object) -> object:
    return frozenset(split_list(value)) if isinstance(value, str) else value


def _parse_regions(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return frozenset(map(parse_region, split_list(value)))
    except ProtocolError as error:
        raise ValueError(error.detail) from None


class LaneMode(StrEnum):
    """Mode of the lanes of an agent."""

    AUTO = "auto"
    TLS = "tls"
    OFF = "off"


def _parse_lane_mode(value: object) -> object:
    if isinstance(value, str) and value not in {*LaneMode}:
        raise ValueError("must be auto, tls or off")
    return value


class AgentSettings(Settings):
    """Settings of the agent; names and defaults are the original's where it has them."""

    prefixes: ClassVar[tuple[str, ...]] = ("TOWONEL_",)
    foreign: ClassVar[frozenset[str]] = VARIABLES
    replaced: ClassVar[Mapping[str, str]] = REPLACED_VARIABLES
    verifies_hub: ClassVar[bool] = True

    invite_token: Annotated[InviteToken, BeforeValidator(_parse_token)] = Field(
        validation_alias="TOWONEL_INVITE_TOKEN",
        description="The token that `towonel invite create` printed, tt_inv_2_…",
        repr=False,
    )
    services: Annotated[tuple[Service, ...], BeforeValidator(_parse_https)] = Field(
        default=(),
        validation_alias="TOWONEL_AGENT_SERVICES",
        description=(
            "JSON array of HTTPS services: `hostname`, `origin` (host:port), `proxy_protocol` "
            "(v2 unless none; with terminate none unless v2), `tls_mode` (passthrough, or terminate: TLS ends at the edge, which "
            "has the certificate, and the origin gets what is inside), with terminate `http2` (true: the origin speaks it, too), "
            "`origin_server_name` (TLS to the origin, which has to prove this name), `origin_ca` (PEM file of its authorities) and "
            "`origin_insecure` (true: anybody's certificate will do), `allow_cidrs` and `deny_cidrs` (networks of clients), "
            "`check` of the origin (tcp, tls, http:/path or https:/path, or an object), `affinity` (client: each stays "
            "with one agent). In a file, it may change while the agent runs."
        ),
    )
    tcp_services: Annotated[tuple[Service, ...], BeforeValidator(_parse_tcp)] = Field(
        default=(),
        validation_alias="TOWONEL_AGENT_TCP_SERVICES",
        description=(
            "JSON array of TCP services: `name`, `origin` (host:port), `listen_port` (the public port, or auto), "
            "or `listen_port_range` (27015-27030, each to the same port of `origin`, a host alone), "
            "`proxy_protocol` (none unless v2), `idle_timeout_secs` (no limit unless set), `allow_cidrs` and "
            "`deny_cidrs` (networks of clients), `check` and `affinity` as of HTTPS services. In a file, it may change while the agent runs."
        ),
    )
    udp_services: Annotated[tuple[Service, ...], BeforeValidator(_parse_udp)] = Field(
        default=(),
        validation_alias="TOWONEL_AGENT_UDP_SERVICES",
        description=(
            "JSON array of UDP services: `name`, `origin` (host:port), `listen_port` (the public port, or auto), "
            "or `listen_port_range` (40000-40100, each to the same port of `origin`, a host alone), "
            "`idle_timeout_secs` (60 unless set), `max_unanswered_bytes` (that the origin may send to a client that "
            "is not heard again; 67108864 unless set), `check` (over TCP) and `affinity` as of HTTPS services. In a file, it may change while the agent runs."
        ),
    )
    config: str | None = Field(
        default=None,
        validation_alias="TOWONEL_AGENT_CONFIG",
        description=(
            "Path of a TOML or YAML file (.toml, .yaml) with settings by their names in lower case, as in services, "
            "tcp_services, udp_services, group; variables win over it. Its services may change while the agent runs."
        ),
    )
    group: Annotated[str, AfterValidator(_check_group)] = Field(
        default="default",
        validation_alias="TOWONEL_AGENT_GROUP",
        description="Agents of one group are replicas: they share one environment.",
    )
    weight: int = Field(
        default=DEFAULT_WEIGHT,
        ge=0,
        le=MAX_WEIGHT,
        validation_alias="TOWONEL_AGENT_WEIGHT",
        description=(
            "Share of the group beside other groups that publish the same service, 0 to 1000; a group of 0 is on standby: "
            "it gets clients while no other group can take them. In a file, it may change while the agent runs."
        ),
    )
    trusted_edges: Annotated[frozenset[bytes], BeforeValidator(_parse_edge_ids)] | None = Field(
        default=None,
        validation_alias="TOWONEL_AGENT_TRUSTED_EDGES",
        description="List of edge ids: of the hub's edges only these are dialled.",
    )
    edges: Annotated[frozenset[str], BeforeValidator(_parse_edges)] = Field(
        default=frozenset(),
        validation_alias="TOWONEL_AGENT_EDGES",
        description=(
            "List of names of edges, or ids: only these are dialled, and those of TOWONEL_AGENT_REGIONS. "
            "Default: all that the hub names."
        ),
    )
    regions: Annotated[frozenset[str], BeforeValidator(_parse_regions)] = Field(
        default=frozenset(),
        validation_alias="TOWONEL_AGENT_REGIONS",
        description=(
            "List of regions, as in eu,us-east-1: only edges of these are dialled (their TOWONEL_EDGE_REGION), and "
            "those of TOWONEL_AGENT_EDGES. Default: all that the hub names."
        ),
    )
    health_listen_addr: HostPort = Field(
        default=HEALTH_LISTENERS["agent"][1],
        validation_alias="TOWONEL_AGENT_HEALTH_LISTEN_ADDR",
        description="Where /livez, /readyz, /metrics and /version are served.",
    )
    origin_timeout_secs: float = Field(
        default=10,
        gt=0,
        le=300,
        validation_alias="TOWONEL_AGENT_ORIGIN_TIMEOUT_SECS",
        description="Seconds that connecting to an origin may take, its name's look-up included.",
    )
    max_streams: int = Field(
        default=4096,
        gt=0,
        le=1_000_000,
        validation_alias="TOWONEL_AGENT_MAX_STREAMS",
        description="Client connections that this agent carries at once; more are sent elsewhere.",
    )
    lanes: Annotated[LaneMode, BeforeValidator(_parse_lane_mode)] = Field(
        default=LaneMode.AUTO,
        validation_alias="TOWONEL_AGENT_LANES",
        description=(
            "auto: carry clients over lanes, which are TCP connections to the edges, dialled ahead, where that "
            "works; tls: over lanes inside TLS, which hide more and cost more; off: over QUIC only."
        ),
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        validation_alias="TOWONEL_AGENT_WORKERS",
        description="Worker processes that carry the bytes of clients; each has its share of the lanes.",
    )
    relay_engine: Annotated[Engine, BeforeValidator(parse_engine)] = Field(
        default=Engine.AUTO,
        validation_alias="TOWONEL_RELAY_ENGINE",
        description="What carries the bytes of clients in worker processes: compiled, or python, which does the same"
        " for more processor time; auto is compiled where that is installed.",
    )
    drain_timeout_secs: float = Field(
        default=25,
        gt=0,
        le=3600,
        validation_alias="TOWONEL_AGENT_DRAIN_TIMEOUT_SECS",
        description="Seconds that connections in flight get when the agent is told to stop.",
    )
    verify_public: bool = Field(
        default=False,
        validation_alias="TOWONEL_AGENT_VERIFY_PUBLIC",
        description=(
            "Fetch the certificates of the agent's passthrough names through their public addresses, every ten minutes, and compare "
            "them with the origins': a difference is an error in log, metrics and `towonel status`."
        ),
    )
    verify_public_port: int = Field(
        default=443,
        ge=1,
        le=65535,
        validation_alias="TOWONEL_AGENT_VERIFY_PUBLIC_PORT",
        description="The port that clients connect to, for TOWONEL_AGENT_VERIFY_PUBLIC.",
    )
    allow_insecure_hub: bool = Field(
        default=False,
        validation_alias="TOWONEL_ALLOW_INSECURE_HUB",
        description="Accept an http:// hub that is not on this machine: secrets travel in the clear.",
    )

    @property
    @override
    def files(self) -> tuple[str, ...]:
        return super().files + (() if self.config is None else (self.config,))

    @property
    def edge_choice(self) -> EdgeChoice:
        """The edges to dial, of those that the hub names."""
        return EdgeChoice(self.trusted_edges, self.edges, self.regions)

    @property
    def all_services(self) -> tuple[Service, ...]:
        """Services of all kinds."""
        return self.services + self.tcp_services + self.udp_services

    @property
    def publicly_verified(self) -> tuple[Service, ...]:
        """Services whose public certificates are compared with the origins'."""
        return self.services if self.verify_public else ()

    @model_validator(mode="after")
    def _check_services(self) -> Self:
        problems = [
            f"{self.variable_of(field)}: {problem}"
            for field in SERVICE_FIELDS[1:]
            for problem in find_conflicts(self.services, getattr(self, field))
        ]
        excess = find_excess(self.all_services)
        if excess is not None:
            last = next(field for field in reversed(SERVICE_FIELDS) if getattr(self, field))
            problems.append(f"{self.variable_of(last)}: {excess}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @override
    def find_warnings(self) -> Iterator[str]:
        if not self.all_services:
            yield (
                "TOWONEL_AGENT_SERVICES: has no service, nor has TOWONEL_AGENT_TCP_SERVICES or"
                " TOWONEL_AGENT_UDP_SERVICES, so this agent publishes none and withdraws all that agents of"
                f" TOWONEL_AGENT_GROUP={self.group} with its token publish; set it as in [{EXAMPLE}]"
            )
