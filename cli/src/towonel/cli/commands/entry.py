"""`towonel entry`: a tenant's log of signed entries, as the original has it."""

from pathlib import Path
from typing import Annotated

import typer

from towonel.api.ports import LAST_PORT
from towonel.cli.command import hub_command
from towonel.cli.errors import UsageError
from towonel.cli.key_files import TENANT_KEY, KeyPath, read_tenant_key
from towonel.cli.legacy.op_syntax import (
    OpFlags,
    OpName,
    format_op,
    format_op_subject,
    op_to_json,
    parse_op,
)
from towonel.cli.legacy.tenant_log import TenantLog
from towonel.cli.options.choices import TlsEnd
from towonel.cli.options.ids import TenantIdFlag, parse_hex_id
from towonel.cli.output import Output, Rows, format_time
from towonel.client.hub import HubClient
from towonel.wire.ids import TenantId
from towonel.wire.legacy.entries import EntryPayload, decode_payload
from towonel.wire.legacy.ops import UpsertTcpService, UpsertUdpService

app = typer.Typer()


@hub_command(
    app,
    "submit",
    "towonel entry submit --key-path home.key --op upsert-hostname --hostname app.example.eu",
    "towonel entry submit --key-path home.key --op upsert-tcp-service --service ssh --listen-port 2222",
    needs_key=False,
)
async def submit(
    hub: HubClient,
    name: Annotated[OpName, typer.Option("--op", help="What to change.", show_default=False)],
    key_path: KeyPath = TENANT_KEY,
    hostname: Annotated[str | None, typer.Option(metavar="NAME", help="Quote a *.")] = None,
    agent_id: Annotated[
        str | None, typer.Option(metavar="HEX", help="64 hexadecimal digits.")
    ] = None,
    service: Annotated[str | None, typer.Option(metavar="NAME", help="Of tcp or udp.")] = None,
    listen_port: Annotated[
        int | None, typer.Option(metavar="PORT", min=1, max=LAST_PORT, help="Its public port.")
    ] = None,
    mode: Annotated[TlsEnd | None, typer.Option(help="Where a hostname's TLS ends.")] = None,
) -> Output:
    """Sign one change with the tenant's key. It goes to the end of the tenant's log."""
    op = parse_op(name, OpFlags(hostname, agent_id, service, listen_port, mode))
    tenant = read_tenant_key(key_path)
    sequence = await TenantLog(hub, tenant).append(op)
    document = {"tenant_id": tenant.tenant_id.hex(), "sequence": sequence, **op_to_json(op)}
    is_reserved = isinstance(op, UpsertTcpService | UpsertUdpService)
    note = (
        "\nIts port is kept for it; edges do not listen on ports of services yet."
        if is_reserved
        else ""
    )
    return Output(document, f"entry {sequence}: {format_op(op)}{note}")


@hub_command(
    app,
    "list",
    "towonel entry list --key-path home.key",
    f"towonel entry list --tenant-id {'b7' * 32}     # with the operator's key",
    needs_key=False,
)
async def list_all(
    hub: HubClient,
    key_path: Annotated[
        Path | None,
        typer.Option(
            "--key-path", metavar="FILE", help=f"The tenant's key. [default: {TENANT_KEY}]"
        ),
    ] = None,
    tenant_id: TenantIdFlag = None,
) -> Output:
    """List a tenant's entries that still matter, by sequence."""
    if tenant_id is None:
        tenant = read_tenant_key(key_path or TENANT_KEY)
        owner, entries = tenant.tenant_id, await TenantLog(hub, tenant).read()
    elif key_path is not None:
        raise UsageError("--tenant-id: needs the operator's key, so give it without --key-path")
    else:
        owner = TenantId(parse_hex_id("--tenant-id", tenant_id))
        entries = [decode_payload(entry.payload) for entry in await hub.entries.list(owner)]
    document: dict[str, object] = {"tenant_id": owner.hex(), "entries": [*map(_to_json, entries)]}
    columns = ("SEQUENCE", "SIGNED", "OP", "WHAT")
    return Output(document, Rows(columns, [*map(_to_row, entries)], "There is no entry yet."))


def _to_json(entry: EntryPayload) -> dict[str, object]:
    place = {"sequence": entry.sequence, "timestamp_ms": entry.timestamp_ms}
    return {**place, **op_to_json(entry.op)}


def _to_row(entry: EntryPayload) -> tuple[str, ...]:
    name = str(op_to_json(entry.op)["op"])
    return str(entry.sequence), format_time(entry.timestamp_ms), name, format_op_subject(entry.op)
