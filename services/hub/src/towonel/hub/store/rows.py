"""The tables. Ids and hashes are raw bytes, times Unix milliseconds."""

# SQLModel declares __tablename__ as a directive, and documents setting it as done here.
# pyright: reportIncompatibleVariableOverride=false, reportGeneralTypeIssues=false, reportAssignmentType=false

from typing import ClassVar

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, text
from sqlmodel import BigInteger, Field, SQLModel

PENDING, REVOKED = "pending", "revoked"


def _bytes(*, primary_key: bool = False, unique: bool = False) -> Column[bytes]:
    return Column(LargeBinary, primary_key=primary_key, unique=unique or None, nullable=False)


def _big(*, nullable: bool = False, index: bool = False) -> Column[int]:
    return Column(BigInteger, nullable=nullable, index=index or None)


class RevisionRow(SQLModel, table=True):
    """The number of the last change to the routes: one row, which every change locks."""

    __tablename__: ClassVar[str] = "revision"
    id: int = Field(default=1, primary_key=True)
    value: int = Field(default=0, sa_column=_big())
    pruned: int = Field(default=0, sa_column=_big())  # traces of deletions are gone up to here


class InviteRow(SQLModel, table=True):
    """One invite, which is one tenant."""

    __tablename__: ClassVar[str] = "invites"
    invite_id: bytes = Field(sa_column=_bytes(primary_key=True))
    name: str
    secret_hash: bytes = Field(sa_column=_bytes())
    expires_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))
    status: str = PENDING
    tenant_id: bytes = Field(sa_column=_bytes(unique=True))
    tenant_public_key: bytes = Field(sa_column=_bytes())
    created_at_ms: int = Field(sa_column=_big(index=True))


class InviteHostnameRow(SQLModel, table=True):
    """A pattern of an invite; of the active ones each is there once, whoever asks at the same time."""

    __tablename__: ClassVar[str] = "invite_hostnames"
    __table_args__ = (
        Index(
            "ux_invite_hostnames_active",
            "pattern",
            unique=True,
            sqlite_where=text("active"),
            postgresql_where=text("active"),
        ),
    )
    invite_id: bytes = Field(
        sa_column=Column(
            LargeBinary, ForeignKey("invites.invite_id", ondelete="CASCADE"), primary_key=True
        )
    )
    pattern: str = Field(primary_key=True)
    position: int
    active: bool = True


class EdgeInviteRow(SQLModel, table=True):
    """One edge that may register."""

    __tablename__: ClassVar[str] = "edge_invites"
    invite_id: bytes = Field(sa_column=_bytes(primary_key=True))
    name: str
    secret_hash: bytes = Field(sa_column=_bytes())
    status: str = PENDING
    edge_id: bytes = Field(sa_column=_bytes(unique=True))
    created_at_ms: int = Field(sa_column=_big(index=True))


class EdgeRow(SQLModel, table=True):
    """Where a registered edge listens, and the certificate it shows."""

    __tablename__: ClassVar[str] = "edges"
    edge_id: bytes = Field(sa_column=_bytes(primary_key=True))
    addresses: str  # JSON array of host:port
    certificate_pem: str
    certificate_sha256: bytes = Field(sa_column=_bytes())
    version: str
    last_seen_ms: int = Field(sa_column=_big())


class ServiceRow(SQLModel, table=True):
    """A service that a group of a tenant's agents publishes."""

    __tablename__: ClassVar[str] = "services"
    tenant_id: bytes = Field(sa_column=_bytes(primary_key=True))
    group: str = Field(primary_key=True)
    key: str = Field(primary_key=True)


class RouteRow(SQLModel, table=True):
    """A public name or port and whose it is; `removed_at_ms` marks what is left of a deleted one."""

    __tablename__: ClassVar[str] = "routes"
    key: str = Field(primary_key=True)
    kind: str
    name: str
    port: int | None = None
    tenant_id: bytes = Field(sa_column=Column(LargeBinary, nullable=False, index=True))
    tls_mode: str
    revision: int = Field(sa_column=_big(index=True))
    removed_at_ms: int | None = Field(default=None, sa_column=_big(nullable=True))


class BlockRow(SQLModel, table=True):
    """A tenant whose grants are void; kept for as long as a grant could live."""

    __tablename__: ClassVar[str] = "blocked_tenants"
    tenant_id: bytes = Field(sa_column=_bytes(primary_key=True))
    revision: int = Field(sa_column=_big(index=True))
    blocked_at_ms: int = Field(sa_column=_big())


class NonceRow(SQLModel, table=True):
    """A signed request that was accepted: the same one again is a replay."""

    __tablename__: ClassVar[str] = "nonces"
    domain: str = Field(primary_key=True)
    signer: bytes = Field(sa_column=_bytes(primary_key=True))
    timestamp_ms: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
