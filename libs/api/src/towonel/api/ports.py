"""Bodies about reserved ports."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from towonel.api.bodies import Answer, Page, Request
from towonel.api.fields import Hex32

MAX_RANGES = 100  # port ranges of one tenant

LAST_PORT = 65_535


type Protocol = Literal["tcp", "udp"]

type Port = Annotated[int, Field(ge=1, le=LAST_PORT)]


class PortRange(Request):
    """Ports of one protocol, both ends included; a single port is its own first and last."""

    protocol: Protocol
    first_port: Port
    last_port: Port

    @model_validator(mode="after")
    def _check_order(self) -> "PortRange":
        if self.first_port > self.last_port:
            raise ValueError("first_port must not be above last_port")
        return self


class ReservationIn(Request):
    """Ports to keep for a tenant; without `last_port` a single one, without ports a free one."""

    tenant_id: Hex32
    protocol: Protocol
    first_port: Port | None = None
    last_port: Port | None = None

    @model_validator(mode="after")
    def _check_order(self) -> "ReservationIn":
        if self.last_port is not None and (self.first_port or LAST_PORT + 1) > self.last_port:
            raise ValueError("last_port needs a first_port that is not above it")
        return self


class Reservation(Answer):
    """Ports that only one tenant may publish."""

    reservation_id: str
    tenant_id: Hex32
    protocol: Protocol
    first_port: int
    last_port: int
    created_at: AwareDatetime


class ReservationPage(Page):
    """Reservations, by protocol and port."""

    ports: list[Reservation]


class AvailablePorts(Answer):
    """Ports that nobody has or keeps, lowest first."""

    protocol: Protocol
    ports: list[int]


class ReleasedOut(Answer):
    """That a reservation is gone; services on its ports stay."""

    status: Literal["released"] = "released"
    reservation_id: str
