"""`towonel port`: public ports reserved for tenants."""

from functools import partial
from typing import Annotated

import typer

from towonel.api.ports import LAST_PORT, Protocol, Reservation, ReservationIn
from towonel.cli.command import hub_command
from towonel.cli.errors import UsageError
from towonel.cli.idempotent import create_once
from towonel.cli.options.flags import ItemId
from towonel.cli.options.ids import TenantIdFlag, parse_hex_id
from towonel.cli.options.port_ranges import format_ports, parse_range
from towonel.cli.output import Fields, Output, format_time
from towonel.cli.tables import fetch_all, list_output
from towonel.client.operator import OperatorClient

MAX_COUNT = 200  # the hub's

app = typer.Typer()


@hub_command(
    app,
    "list",
    "towonel port list",
    f"towonel port list --protocol udp --tenant-id {'b7' * 32}",
)
async def list_all(
    hub: OperatorClient,
    tenant_id: TenantIdFlag = None,
    protocol: Annotated[Protocol | None, typer.Option(help="Only its ports.")] = None,
) -> Output:
    """List reserved ports, by protocol and number."""
    tenant = None if tenant_id is None else parse_hex_id("--tenant-id", tenant_id)
    fetch = partial(hub.ports.list, tenant_id=tenant, protocol=protocol)
    reservations = await fetch_all(fetch, lambda page: page.ports)
    columns = ("ID", "PROTOCOL", "PORTS", "TENANT", "SINCE")
    return list_output("ports", reservations, columns, _to_row, "No port is reserved.")


@hub_command(
    app,
    "reserve",
    f"towonel port reserve --tenant-id {'b7' * 32} --protocol tcp --port 2222",
    f"towonel port reserve --tenant-id {'b7' * 32} --protocol udp --ports 30000-30015",
)
async def reserve(
    hub: OperatorClient,
    tenant_id: Annotated[
        str, typer.Option(metavar="HEX", help="The tenant to reserve them for.", show_default=False)
    ],
    protocol: Annotated[Protocol, typer.Option(show_default=False)],
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=1, max=LAST_PORT, help="One port. [default: the lowest free one]"
        ),
    ] = None,
    ports: Annotated[
        str | None, typer.Option(metavar="FIRST-LAST", help="Or a range of ports.")
    ] = None,
) -> Output:
    """Reserve a port or a range of ports for a tenant."""
    tenant = parse_hex_id("--tenant-id", tenant_id)
    first, last = _parse_range(port, ports)
    reservation = ReservationIn(
        tenant_id=tenant, protocol=protocol, first_port=first, last_port=last
    )
    reserved = await create_once(lambda key: hub.ports.reserve(reservation, idempotency_key=key))
    fields = [
        ("id", reserved.reservation_id),
        ("tenant", reserved.tenant_id.hex()),
        ("ports", f"{reserved.protocol}:{format_ports(reserved.first_port, reserved.last_port)}"),
    ]
    return Output(reserved, Fields(fields))


@hub_command(app, "release", "towonel port release --id pJ4yYx1sT0mQ8aWv7c2d3g")
async def release(hub: OperatorClient, reservation_id: ItemId) -> Output:
    """Release ports; what is published on them stays."""
    released = await hub.ports.release(reservation_id)
    return Output(released, f"released {reservation_id}")


@hub_command(
    app,
    "available",
    "towonel port available --protocol tcp",
    "towonel port available --protocol udp --count 16",
)
async def available(
    hub: OperatorClient,
    protocol: Annotated[Protocol, typer.Option(show_default=False)],
    count: Annotated[
        int, typer.Option(metavar="N", min=1, max=MAX_COUNT, help="How many to show.")
    ] = 1,
) -> Output:
    """Print the lowest free ports, one a line."""
    answer = await hub.ports.available(protocol, count)
    free = map(str, answer.ports)
    return Output(answer, *free) if answer.ports else Output(answer, "There is no free port left.")


def _parse_range(port: int | None, ports: str | None) -> tuple[int | None, int | None]:
    if ports is None:
        return port, port
    if port is not None:
        raise UsageError("--ports: give --port or --ports, not both")
    return parse_range("--ports", ports)


def _to_row(item: Reservation) -> tuple[str, ...]:
    ports = format_ports(item.first_port, item.last_port)
    since = format_time(item.created_at)
    return item.reservation_id, item.protocol, ports, item.tenant_id.hex(), since
