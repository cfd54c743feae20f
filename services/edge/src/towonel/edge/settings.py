"""Settings of an edge, read from its environment."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, override
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from towonel.client.transport import to_httpx_url
from towonel.edge.certificates.settings import CertificateSettings
from towonel.edge.core.admission import AdmissionLimits
from towonel.edge.core.http.hub_route import (
    OFF,
    HubRoute,
    find_direct_url,
    find_hub_route,
    parse_hub_route,
)
from towonel.edge.core.session_limits import (
    ADMISSIONS_PER_S,
    MAX_RECEIVE_MIB_PER_TENANT,
    MAX_SEND_MIB_PER_TENANT,
    MAX_SERVICES_PER_TENANT,
    MAX_SESSIONS,
    MAX_SESSIONS_PER_TENANT,
)
from towonel.edge.core.trusted_proxies import DEFAULT_NETWORKS
from towonel.edge.setting_rules import (
    IpPort,
    check_region,
    check_url,
    decode_hub,
    parse_share,
)
from towonel.relay.hop.choice import Engine, parse_engine
from towonel.runtime.addresses import WILDCARDS, Network, describe_clash, parse_networks
from towonel.runtime.environment.folders import Folder
from towonel.runtime.redis.url import RedisUrl
from towonel.runtime.settings import CsvList, HostPort, describe_undialable
from towonel.runtime.sockets import limit_by_descriptors
from towonel.tunnel.core.bounds.handshake_places import DEFAULT_LIMITS
from towonel.wire.addresses import HEALTH_LISTENERS, format_address
from towonel.wire.errors import TowonelError
from towonel.wire.legacy.variables import REPLACED_VARIABLES
from towonel.wire.tokens import EdgeToken
from towonel.wire.variables import VARIABLES

KEY_FILE = "node.key"
STATE_FOLDER = "edge"
CERTIFICATE_FOLDER = "certs"


class EdgeSettings(CertificateSettings):
    """Settings of an edge; a field stands before those that depend on it."""

    prefixes: ClassVar[tuple[str, ...]] = ("TOWONEL_",)
    foreign: ClassVar[frozenset[str]] = VARIABLES
    replaced: ClassVar[Mapping[str, str]] = REPLACED_VARIABLES
    verifies_hub: ClassVar[bool] = True

    invite_token: SecretStr | None = Field(
        default=None,
        validation_alias="TOWONEL_EDGE_INVITE_TOKEN",
        description="Token (tt_edge_2_…) that makes this machine an edge of a hub elsewhere.",
    )
    identity_key_path: Path | None = Field(
        default=None,
        validation_alias="TOWONEL_IDENTITY_KEY_PATH",
        description="Key of an edge without a token; beside a hub, the hub's own. "
        "Default: node.key in TOWONEL_DATA_DIR.",
    )
    data_dir: Folder | None = Field(
        default=None,
        validate_default=True,
        validation_alias="TOWONEL_DATA_DIR",
        description="Folder for keys and state; gives the other paths their defaults. Must be set,"
        " unless TOWONEL_EDGE_INVITE_TOKEN or TOWONEL_IDENTITY_KEY_PATH is.",
    )
    state_dir: Path | None = Field(
        default=None,
        validate_default=True,
        validation_alias="TOWONEL_EDGE_STATE_DIR",
        description="Folder for the last routes and the edge's certificate. Default: edge in TOWONEL_DATA_DIR, or in the current folder.",
    )
    enabled: bool = Field(
        default=True,
        validation_alias="TOWONEL_EDGE_ENABLED",
        description="Whether `towonel serve` starts an edge.",
    )
    listen: IpPort = Field(
        default=("0.0.0.0", 443),  # noqa: S104 an edge exists to be reached from outside
        validation_alias="TOWONEL_EDGE_LISTEN_ADDR",
        description="Where TLS clients connect (TCP).",
    )
    http_listen: IpPort | None = Field(
        default=None,
        validation_alias="TOWONEL_EDGE_HTTP_LISTEN_ADDR",
        description="Where plain HTTP is answered, as in 0.0.0.0:80: challenges of authorities (HTTP-01) by origins, all else of published names by "
        "a redirect to https. Off unless set.",
    )
    session_listen: IpPort | None = Field(
        default=None,
        validation_alias="TOWONEL_EDGE_SESSION_LISTEN_ADDR",
        description="Where agents connect: UDP, and TCP of the same port for lanes. Default: as TOWONEL_EDGE_LISTEN_ADDR.",
    )
    session_tcp: bool = Field(
        default=True,
        validation_alias="TOWONEL_EDGE_SESSION_TCP",
        description="Whether the edge itself listens for lanes where sessions are elsewhere than clients; false where a proxy has TCP of that port, and passes lanes on to TOWONEL_EDGE_LISTEN_ADDR.",
    )
    health_listen: HostPort = Field(
        default=HEALTH_LISTENERS["edge"][1],
        validation_alias="TOWONEL_EDGE_HEALTH_LISTEN_ADDR",
        description="Where /livez, /readyz, /metrics and /version are served.",
    )
    hub_public_url: Annotated[str, AfterValidator(check_url)] | None = Field(
        default=None,
        validation_alias="TOWONEL_HUB_PUBLIC_URL",
        description="Beside a hub: its host is what agents dial by default.",
    )
    hub_listen: HostPort = Field(
        default=("0.0.0.0", 8443),  # noqa: S104 the hub's default
        validation_alias="TOWONEL_HUB_LISTEN_ADDR",
        description="Beside a hub: where to find it.",
    )
    allow_insecure_hub: bool = Field(
        default=False,
        validation_alias="TOWONEL_ALLOW_INSECURE_HUB",
        description="Accept http:// for a hub that is not on this machine.",
    )
    self_route: str = Field(
        default="",
        validation_alias="TOWONEL_EDGE_SELF_ROUTE",
        description="The hub's own name, whose TLS ends at this edge, and where its API listens in plain HTTP, as in `hub.example.eu=http://127.0.0.1:8443`; "
        "`off` for none. Default: beside a hub, the name of TOWONEL_HUB_PUBLIC_URL, if that is https:// on port 443 or that of TOWONEL_EDGE_LISTEN_ADDR.",
    )
    hub_urls: CsvList = Field(
        default=(),
        validation_alias="TOWONEL_EDGE_HUB_URLS",
        description="Deprecated: the first of them is used as TOWONEL_EDGE_HUB_URL.",
    )
    hub_url: str = Field(
        default="",
        validate_default=True,
        validation_alias="TOWONEL_EDGE_HUB_URL",
        description="The hub. Default: the one in the token, or the one on this machine.",
    )
    advertised_addresses: CsvList = Field(
        default=(),
        validate_default=True,
        validation_alias=AliasChoices(
            "TOWONEL_EDGE_ADVERTISED_ADDRESSES", "TOWONEL_EDGE_PUBLIC_ADDRESSES"
        ),
        description="host:port list that agents dial. Default: the host of TOWONEL_HUB_PUBLIC_URL, or the listen address, or this machine's own, with the session port.",
    )
    region: Annotated[str, AfterValidator(check_region)] | None = Field(
        default=None,
        validation_alias="TOWONEL_EDGE_REGION",
        description="Where this edge is, as in eu or us-east-1: agents can choose by TOWONEL_AGENT_REGIONS.",
    )
    redis_url: RedisUrl = Field(
        default=None,
        validation_alias="TOWONEL_REDIS_URL",
        description="Redis that notifies of changed routes; without it the hub is long-polled.",
    )
    listen_workers: int = Field(
        default=1,
        ge=1,
        le=64,
        validation_alias="TOWONEL_EDGE_LISTEN_WORKERS",
        description="Worker processes that carry the bytes of clients.",
    )
    relay_engine: Annotated[Engine, BeforeValidator(parse_engine)] = Field(
        default=Engine.AUTO,
        validation_alias="TOWONEL_RELAY_ENGINE",
        description="What carries the bytes of clients in worker processes: compiled, or python, which does the same for more processor time; auto is compiled where that is installed.",
    )
    proxy_protocol: bool = Field(
        default=False,
        validation_alias="TOWONEL_EDGE_PROXY_PROTOCOL",
        description="Require a PROXY v2 header of trusted peers.",
    )
    proxy_protocol_trusted: CsvList = Field(
        default=DEFAULT_NETWORKS,
        validation_alias="TOWONEL_EDGE_PROXY_PROTOCOL_TRUSTED",
        description="Networks whose peers speak PROXY v2, where that is on.",
    )
    handshake_timeout_s: float = Field(
        default=10,
        gt=0,
        le=300,
        validation_alias="TOWONEL_EDGE_HANDSHAKE_TIMEOUT_SECS",
        description="From accept until the whole ClientHello is here, in seconds.",
    )
    idle_timeout_s: float = Field(
        default=0,
        ge=0,
        le=7 * 86400,
        validation_alias="TOWONEL_EDGE_IDLE_TIMEOUT_SECS",
        description="For how long a client may send and get nothing, in seconds; 0 is for ever.",
    )
    upgrade: bool = Field(
        default=False,
        validation_alias="TOWONEL_EDGE_UPGRADE",
        description="Take the listening sockets over from the edge that runs with the same state folder, which "
        "then ends as at SIGTERM.",
    )
    access_log: Annotated[float, BeforeValidator(parse_share)] = Field(
        default=0,
        validation_alias="TOWONEL_EDGE_ACCESS_LOG",
        description="Share of client connections that get a line in the log when they end: 1 is all (or `on`), "
        "0.01 one in a hundred, 0 none (or `off`).",
    )
    access_log_lines: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        validation_alias="TOWONEL_EDGE_ACCESS_LOG_LINES_PER_SECOND",
        description="Lines about client connections in a second, where that is on; further ones are counted.",
    )
    drain_timeout_s: float = Field(
        default=25,
        gt=0,
        le=3600,
        validation_alias="TOWONEL_EDGE_DRAIN_TIMEOUT_SECS",
        description="How long connections may go on after the first SIGTERM, in seconds.",
    )
    max_clients: int = Field(
        default=50_000,
        ge=1,
        le=10_000_000,
        validation_alias="TOWONEL_EDGE_MAX_INFLIGHT_CONNECTIONS",
        description="Client connections at once; fewer where the limit of open files is lower.",
    )
    max_per_source: int = Field(
        default=2_000,
        ge=1,
        le=10_000_000,
        validation_alias="TOWONEL_EDGE_MAX_CONNECTIONS_PER_SOURCE",
        description="Client connections at once from one IPv4 address or IPv6 /64.",
    )
    max_per_tenant: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        validation_alias="TOWONEL_EDGE_MAX_CONNECTIONS_PER_TENANT",
        description="Client connections at once to one tenant.",
    )
    max_source_share: float = Field(
        default=0.25,
        gt=0,
        le=1,
        validation_alias="TOWONEL_EDGE_MAX_SOURCE_SHARE",
        description="Share of all places, and of those to one tenant and to one service (1024 for each "
        "session of an agent), that one source may take; 1 behind a load balancer that hides its clients.",
    )

    max_sessions: int = Field(
        default=MAX_SESSIONS,
        ge=1,
        le=10_000_000,
        validation_alias="TOWONEL_EDGE_MAX_SESSIONS",
        description="Agent sessions at once.",
    )
    max_sessions_per_tenant: int = Field(
        default=MAX_SESSIONS_PER_TENANT,
        ge=1,
        le=10_000_000,
        validation_alias="TOWONEL_EDGE_MAX_SESSIONS_PER_TENANT",
        description="Agent sessions at once of one tenant; above the hub's "
        "TOWONEL_HUB_QUOTA_AGENTS, so that agents can be replaced.",
    )
    max_services_per_tenant: int = Field(
        default=MAX_SERVICES_PER_TENANT,
        ge=1,
        le=10_000_000,
        validation_alias="TOWONEL_EDGE_MAX_SERVICES_PER_TENANT",
        description="Different services of one tenant that its agents announce; above the hub's "
        "TOWONEL_HUB_QUOTA_GROUP_SERVICES, so that services can be replaced.",
    )
    admissions_per_sec: float = Field(
        default=ADMISSIONS_PER_S,
        gt=0,
        le=1_000_000,
        validation_alias="TOWONEL_EDGE_ADMISSIONS_PER_SEC",
        description="Agent sessions that one tenant may open in a second; at once twice "
        "TOWONEL_EDGE_MAX_SESSIONS_PER_TENANT.",
    )
    handshakes_per_sec: float = Field(
        default=DEFAULT_LIMITS.per_s,
        gt=0,
        le=1_000_000,
        validation_alias="TOWONEL_EDGE_HANDSHAKES_PER_SEC",
        description="Handshakes of sessions that one address (a /64 of IPv6) may begin in a second.",
    )
    handshakes_burst: int = Field(
        default=DEFAULT_LIMITS.burst,
        ge=1,
        le=1_000_000,
        validation_alias="TOWONEL_EDGE_HANDSHAKES_BURST",
        description="Handshakes of sessions that one address may begin at once: agents behind it.",
    )
    max_send_buffer_per_tenant_mib: int = Field(
        default=MAX_SEND_MIB_PER_TENANT,
        ge=1,
        le=1_000_000,
        validation_alias="TOWONEL_EDGE_MAX_SEND_BUFFER_PER_TENANT_MIB",
        description="Bytes, in MiB, sent to the agents of one tenant that none has acknowledged; "
        "above it clients wait.",
    )
    max_receive_buffer_per_tenant_mib: int = Field(
        default=MAX_RECEIVE_MIB_PER_TENANT,
        ge=1,
        le=1_000_000,
        validation_alias="TOWONEL_EDGE_MAX_RECEIVE_BUFFER_PER_TENANT_MIB",
        description="Bytes, in MiB, that the agents of one tenant may send beyond what its clients "
        "have taken; above it an agent waits, with 1 MiB at least.",
    )

    @field_validator("invite_token")
    @classmethod
    def _check_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value().strip():
            return None
        try:
            EdgeToken.decode(value.get_secret_value())
        except TowonelError as error:
            raise ValueError(error.detail) from None  # the cause could show the token
        return value

    @field_validator("data_dir")
    @classmethod
    def _check_key_source(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        others = ("invite_token", "identity_key_path")  # one that is wrong is reported already
        if value is None and all(info.data.get(one, 0) is None for one in others):
            raise ValueError(
                "must be set to a folder for keys and state, as in /var/lib/towonel. To serve a hub on"
                " another machine, set TOWONEL_EDGE_INVITE_TOKEN instead, to what"
                " `towonel edge-invite create` printed"
            )
        return value

    @field_validator("state_dir")
    @classmethod
    def _find_state(cls, value: Path | None, info: ValidationInfo) -> Path:
        return value or (info.data.get("data_dir") or Path()) / STATE_FOLDER

    @field_validator("health_listen")
    @classmethod
    def _check_port(cls, value: tuple[str, int], info: ValidationInfo) -> tuple[str, int]:
        for field, variable in (
            ("listen", "TOWONEL_EDGE_LISTEN_ADDR"),
            ("http_listen", "TOWONEL_EDGE_HTTP_LISTEN_ADDR"),
        ):
            if clash := describe_clash(value, variable, info.data.get(field)):
                raise ValueError(clash)
        return value

    @field_validator("http_listen")
    @classmethod
    def _check_http_port(
        cls, value: tuple[str, int] | None, info: ValidationInfo
    ) -> tuple[str, int] | None:
        clash = value and describe_clash(value, "TOWONEL_EDGE_LISTEN_ADDR", info.data.get("listen"))
        if clash:
            raise ValueError(clash)
        return value

    @field_validator("self_route")
    @classmethod
    def _check_self_route(cls, value: str, info: ValidationInfo) -> str:
        if value not in {"", OFF}:
            allow_insecure = info.data.get("allow_insecure_hub", False)
            _ = parse_hub_route(value, allow_insecure=allow_insecure)
        return value

    @field_validator("hub_url")
    @classmethod
    def _find_hub(cls, value: str, info: ValidationInfo) -> str:
        token: SecretStr | None = info.data.get("invite_token")
        source = ""
        if not value and info.data.get("hub_urls"):
            value, source = info.data["hub_urls"][0], "TOWONEL_EDGE_HUB_URLS: "
        elif not value and token is not None:
            value, source = decode_hub(token), "the one in TOWONEL_EDGE_INVITE_TOKEN: "
        elif not value:
            value = f"http://127.0.0.1:{info.data.get('hub_listen', ('', 8443))[1]}"
        try:
            allow_insecure = info.data.get("allow_insecure_hub", False)
            url = str(to_httpx_url(value, allow_insecure=allow_insecure))
        except TowonelError as error:
            raise ValueError(source + error.detail) from None
        return find_direct_url(url, info.data.get("self_route", ""))

    @field_validator("advertised_addresses")
    @classmethod
    def _check_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = ((text, describe_undialable(text, "edge.example.eu:443")) for text in value)
        if problems := [f"{text!r}: {problem}" for text, problem in found if problem]:
            raise ValueError("\n".join(problems))
        return value

    @field_validator("proxy_protocol_trusted")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_networks(value)
        return value

    @override
    def find_warnings(self) -> Iterator[str]:
        if self.hub_urls:
            more = f": {len(self.hub_urls) - 1} more are not used" * (len(self.hub_urls) > 1)
            yield f"TOWONEL_EDGE_HUB_URLS: deprecated; use TOWONEL_EDGE_HUB_URL, which is one hub{more}"

    @property
    def key_path(self) -> Path | None:
        """The key's file, which an edge with a token need not have."""
        in_folder = None if self.data_dir is None else self.data_dir / KEY_FILE
        return self.identity_key_path or in_folder

    @property
    def key_variable(self) -> str:
        """The variable that the path of the key's file is from."""
        return self.variable_of("identity_key_path" if self.identity_key_path else "data_dir")

    @property
    def state_folder(self) -> Path:
        """The folder for what outlives the process."""
        if self.state_dir is None:
            raise AssertionError("validated: it has a default, or loading fails")
        return self.state_dir

    @property
    def certificate_folder(self) -> Path:
        """The folder of certificates for clients, which need not exist."""
        return self.certificate_dir or (self.data_dir or self.state_folder) / CERTIFICATE_FOLDER

    @property
    def state_variable(self) -> str:
        """The variable that this folder's path is from."""
        is_given = "state_dir" in self.model_fields_set or self.data_dir is None
        return self.variable_of("state_dir" if is_given else "data_dir")

    @property
    def token(self) -> EdgeToken | None:
        """The invite, where this edge has one."""
        text = self.invite_token
        return None if text is None else EdgeToken.decode(text.get_secret_value())

    @property
    def limits(self) -> AdmissionLimits:
        """The limits on clients at once: no more than the limit of open files leaves, with a lane each."""
        clients = limit_by_descriptors(2 * self.max_clients) // 2
        return AdmissionLimits(
            clients, self.max_per_source, self.max_per_tenant, self.max_source_share
        )

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks whose peers must speak PROXY v2."""
        return parse_networks(self.proxy_protocol_trusted) if self.proxy_protocol else ()

    @property
    def hub_route(self) -> HubRoute | None:
        """The hub's own name, if its TLS ends here."""
        if self.self_route == OFF:
            return None
        if self.self_route:
            return parse_hub_route(self.self_route, allow_insecure=True)
        public_url = self.hub_public_url if self.token is None else None
        return find_hub_route(public_url, self.hub_url, self.listen[1])

    @property
    def session_address(self) -> IpPort:
        """Where agents connect (UDP)."""
        return self.session_listen or self.listen

    def agent_addresses(self, session_port: int) -> list[str]:
        """Return what agents dial, when sessions are taken on this port; none where it is unknown."""
        if self.advertised_addresses:
            return list(self.advertised_addresses)
        public = urlsplit(self.hub_public_url).hostname if self.hub_public_url else None
        hosts = (
            host
            for host in (public, self.session_address[0], self.listen[0])
            if host and host not in WILDCARDS
        )
        return [format_address(host, session_port) for host in hosts][:1]
