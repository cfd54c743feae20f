"""Tables. Ids and hashes are raw bytes, times Unix milliseconds."""

# SQLModel declares __tablename__ as a directive, and documents setting it as done here.
# pyright: reportIncompatibleVariableOverride=false, reportGeneralTypeIssues=false, reportAssignmentType=false

from typing import ClassVar

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, text
from sqlmodel import BigInteger, Field, SQLModel

PENDING, REVOKED = "pending", "revoked"
SERVED = text(
    "status = 'pending' AND ended_at_ms IS NULL"
)  # as in queries: SQLite compares the text
LIMITED = text("limits_revision IS NOT NULL")  # as in queries


def _bytes(*, primary_key: bool = False, unique: bool = False) -> Column[bytes]:
    return Column(LargeBinary, primary_key=primary_key, unique=unique or None, nullable=False)


def _big(*, nullable: bool = False, index: bool = False) -> Column[int]:
    return Column(BigInteger, nullable=nullable, index=index or None)


class RevisionRow(SQLModel, table=True):
    """Revision of the routes: one row, which every write locks."""

    __tablename__: ClassVar[str] = "revision"
    id: int = Field(default=1, primary_key=True)
    value: int = Field(default=0, sa_column=_big())
    pruned: int = Field(default=0, sa_column=_big())  # tombstones up to here were deleted


class RevisionTagRow(SQLModel, table=True):
    """Random tag of a revision: the same number with another tag is of another history."""

    __tablename__: ClassVar[str] = "revision_tags"
    revision: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    tag: bytes = Field(sa_column=_bytes())


class InviteRow(SQLModel, table=True):
    """Invite, which is one tenant."""

    __tablename__: ClassVar[str] = "invites"
    __table_args__ = (
        Index("ix_invites_newest", "created_at_ms", "invite_id"),
        Index("ix_invites_ending", "serves_until_ms", sqlite_where=SERVED, postgresql_where=SERVED),
        Index(
            "ix_invites_limited", "limits_revision", sqlite_where=LIMITED, postgresql_where=LIMITED
        ),
    )
    invite_id: bytes = Field(sa_column=_bytes(primary_key=True))
    name: str
    secret_hash: bytes = Field(sa_column=_bytes())
    expires_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    status: str = PENDING
    tenant_id: bytes = Field(sa_column=_bytes(unique=True))
    tenant_public_key: bytes = Field(sa_column=_bytes())
    created_at_ms: int = Field(sa_column=_big())
    version: int = 1  # the ETag, for If-Match of edits
    suspended_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    last_sequence: int | None = Field(default=None, sa_column=_big(nullable=True))
    used_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    serves_until_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    ended_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))  # not by the clock
    max_services: int | None = None
    max_agents: int | None = None
    max_ports: int | None = None
    max_hostnames: int | None = None
    max_connections: int | None = None  # this one and those below hold at edges
    max_connection_rate: int | None = None
    max_bandwidth: int | None = Field(default=None, sa_column=_big(nullable=True))
    limits_revision: int | None = Field(default=None, sa_column=_big(nullable=True))


class InviteHostnameRow(SQLModel, table=True):
    """Hostname pattern of an invite; an active one is unique, also among concurrent writes."""

    __tablename__: ClassVar[str] = "invite_hostnames"
    __table_args__ = (
        Index(
            "ux_invite_hostnames_active",
            "pattern",
            unique=True,
            sqlite_where=text("active = 1"),  # as in queries: SQLite compares the text
            postgresql_where=text("active"),
        ),
        Index("ix_invite_hostnames_parent", "parent"),
        Index("ix_invite_hostnames_pattern", "pattern"),
    )
    invite_id: bytes = Field(
        sa_column=Column(
            LargeBinary, ForeignKey("invites.invite_id", ondelete="CASCADE"), primary_key=True
        )
    )
    pattern: str = Field(primary_key=True)
    position: int
    active: bool = True
    parent: str | None = (
        None  # the wildcard that would serve it, `*.example.eu`; null for a wildcard
    )


class EdgeInviteRow(SQLModel, table=True):
    """Invite of one edge."""

    __tablename__: ClassVar[str] = "edge_invites"
    invite_id: bytes = Field(sa_column=_bytes(primary_key=True))
    name: str
    secret_hash: bytes = Field(sa_column=_bytes())
    status: str = PENDING
    edge_id: bytes = Field(sa_column=_bytes(unique=True))
    created_at_ms: int = Field(sa_column=_big(index=True))
    used_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))


class EdgeRow(SQLModel, table=True):
    """Registered edge: its public addresses and its certificate."""

    __tablename__: ClassVar[str] = "edges"
    edge_id: bytes = Field(sa_column=_bytes(primary_key=True))
    addresses: str  # JSON array of host:port
    certificate_pem: str
    certificate_sha256: bytes = Field(sa_column=_bytes())
    version: str
    last_seen_ms: int = Field(sa_column=_big())
    region: str | None = None


class ServiceRow(SQLModel, table=True):
    """Service that a group of a tenant's agents publishes."""

    __tablename__: ClassVar[str] = "services"
    __table_args__ = (Index("ix_services_key", "key", "tenant_id", "group"),)
    tenant_id: bytes = Field(sa_column=_bytes(primary_key=True))
    group: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    created_at_ms: int = Field(default=0, sa_column=_big())


class PublicationRow(SQLModel, table=True):
    """Newest desired state that agents of a group published; what stands of it are the services."""

    __tablename__: ClassVar[str] = "publications"
    tenant_id: bytes = Field(sa_column=_bytes(primary_key=True))
    group: str = Field(primary_key=True)
    number: int = Field(sa_column=_big())  # grows with each other one
    digest: bytes = Field(sa_column=_bytes())
    services: int  # that it had when it was published
    agent_id: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))


class RouteRow(SQLModel, table=True):
    """Route: a public name, a port or a range of ports, and its tenant; a tombstone if `removed_at_ms` is set."""

    __tablename__: ClassVar[str] = "routes"
    __table_args__ = (
        Index(
            "ix_routes_removed",
            "removed_at_ms",
            sqlite_where=text("removed_at_ms IS NOT NULL"),
            postgresql_where=text("removed_at_ms IS NOT NULL"),
        ),
        Index(
            "ix_routes_port",
            "kind",
            "port",
            sqlite_where=text("port IS NOT NULL"),
            postgresql_where=text("port IS NOT NULL"),
        ),
    )
    key: str = Field(primary_key=True)
    kind: str
    name: str
    port: int | None = None
    last_port: int | None = None  # of a range, of which `port` is the first
    tenant_id: bytes = Field(sa_column=Column(LargeBinary, nullable=False, index=True))
    tls_mode: str
    http2: bool = False
    client_networks: str | None = None  # as of `ClientNetworks.encode`
    revision: int = Field(sa_column=_big(index=True))
    removed_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))


class BlockRow(SQLModel, table=True):
    """Block of a tenant's grants, lifted or not; kept as long as a grant can be valid."""

    __tablename__: ClassVar[str] = "blocked_tenants"
    tenant_id: bytes = Field(sa_column=_bytes(primary_key=True))
    revision: int = Field(sa_column=_big(index=True))
    blocked_at_ms: int = Field(sa_column=_big())
    lifted: bool = False


class NonceRow(SQLModel, table=True):
    """Nonce of an accepted signed request: the same one again is a replay."""

    __tablename__: ClassVar[str] = "nonces"
    domain: str = Field(primary_key=True)
    signer: bytes = Field(sa_column=_bytes(primary_key=True))
    timestamp_ms: int = Field(
        sa_column=Column(BigInteger, primary_key=True, autoincrement=False, index=True)
    )


class RemovalRow(SQLModel, table=True):
    """Removed tenant, known to this hub or not; its entries are refused for ever."""

    __tablename__: ClassVar[str] = "tenant_removals"
    tenant_id: bytes = Field(sa_column=_bytes(primary_key=True))
    removed_at_ms: int = Field(sa_column=_big())


class EntryRow(SQLModel, table=True):
    """Signed entry of the original's log: the newest of its subject, or the newest of all."""

    __tablename__: ClassVar[str] = "entries"
    __table_args__ = (Index("ix_entries_subject", "tenant_id", "subject"),)
    tenant_id: bytes = Field(sa_column=_bytes(primary_key=True))
    sequence: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    subject: str
    payload: bytes = Field(sa_column=_bytes())
    signature: bytes = Field(sa_column=_bytes())


class AgentRow(SQLModel, table=True):
    """Agent that proved an invite, sent a heartbeat, or was named by an entry."""

    __tablename__: ClassVar[str] = "agents"
    __table_args__ = (
        Index("ix_agents_newest", "first_seen_ms", "agent_id"),
        Index("ix_agents_of_tenant", "tenant_id", "last_seen_ms"),
        Index("ix_agents_seen", "last_seen_ms"),
    )
    agent_id: bytes = Field(sa_column=_bytes(primary_key=True))
    tenant_id: bytes = Field(sa_column=_bytes())
    group: str
    first_seen_ms: int = Field(sa_column=_big())
    last_seen_ms: int = Field(sa_column=_big())
    revoked_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    grant_until_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    left_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    session_seen_ms: int | None = Field(
        default=None, sa_column=_big(nullable=True)
    )  # when an edge first reported a session of it
    published_digest: bytes | None = Field(
        default=None, sa_column=Column(LargeBinary, nullable=True)
    )  # of the desired state that it serves
    clock_skew_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    certificate_mismatches: str | None = None  # keys of services, one a line


class ReportRow(SQLModel, table=True):
    """Newest report of an edge."""

    __tablename__: ClassVar[str] = "edge_reports"
    edge_id: bytes = Field(sa_column=_bytes(primary_key=True))
    reported_at_ms: int = Field(sa_column=_big(index=True))
    body: bytes = Field(sa_column=_bytes())  # JSON of an EdgeReport, deflated


class CertificateRequestRow(SQLModel, table=True):
    """Request to renew or revoke a name's certificate, until its edge has been told; the newest of each name."""

    __tablename__: ClassVar[str] = "certificate_requests"
    edge_id: bytes = Field(sa_column=_bytes(primary_key=True))
    hostname: str = Field(primary_key=True)
    action: str
    reason: str
    requested_at_ms: int = Field(sa_column=_big(index=True))


class ReservationRow(SQLModel, table=True):
    """Port reservation of a tenant, both ends included."""

    __tablename__: ClassVar[str] = "port_reservations"
    __table_args__ = (
        Index("ix_port_reservations_ports", "protocol", "first_port", "reservation_id"),
    )
    reservation_id: bytes = Field(sa_column=_bytes(primary_key=True))
    protocol: str
    first_port: int
    last_port: int
    tenant_id: bytes = Field(sa_column=Column(LargeBinary, nullable=False, index=True))
    created_at_ms: int = Field(sa_column=_big())


class KeyRow(SQLModel, table=True):
    """API key: hashes of its secret and, for a while, of the previous one."""

    __tablename__: ClassVar[str] = "api_keys"
    __table_args__ = (Index("ix_api_keys_newest", "created_at_ms", "key_id"),)
    key_id: bytes = Field(sa_column=_bytes(primary_key=True))
    name: str
    role: str
    tenant_id: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    secret_hash: bytes = Field(sa_column=_bytes())
    old_secret_hash: bytes | None = Field(
        default=None, sa_column=Column(LargeBinary, nullable=True)
    )
    old_until_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    created_at_ms: int = Field(sa_column=_big())
    rotated_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    expires_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    revoked_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    last_used_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    version: int = 1


class AuditRow(SQLModel, table=True):
    """Event of the audit log. Ids grow in the order of commits, and are never reused."""

    __tablename__: ClassVar[str] = "audit"
    __table_args__ = (
        Index("ix_audit_at", "at_ms"),
        Index("ix_audit_tenant", "tenant_id", "id"),
        Index("ix_audit_actor", "actor", "id"),
        Index("ix_audit_action", "action", "id"),
        Index("ix_audit_subject", "subject", "id"),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    )
    at_ms: int = Field(sa_column=_big())
    actor: str
    action: str
    subject: str
    tenant_id: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    before: str | None = None  # JSON, as `after`
    after: str | None = None
    request_id: str
    address: str


class AnswerRow(SQLModel, table=True):
    """Answer to a request with an Idempotency-Key, encrypted under the caller's own secret."""

    __tablename__: ClassVar[str] = "idempotent_answers"
    answer_id: bytes = Field(sa_column=_bytes(primary_key=True))
    request_hash: bytes = Field(sa_column=_bytes())
    sealed: bytes = Field(sa_column=_bytes())
    created_at_ms: int = Field(sa_column=_big(index=True))
