"""`towonel tenant leave`: withdraw all that a tenant's signed entries publish."""

from collections.abc import AsyncGenerator

import typer

from towonel.cli.command import hub_command
from towonel.cli.key_files import (
    TENANT_KEY,
    KeyPath,
    read_tenant_key,
)
from towonel.cli.legacy.op_syntax import format_op, op_to_json
from towonel.cli.legacy.tenant_log import TenantLog, withdrawals
from towonel.cli.output import Output
from towonel.client.hub import HubClient
from towonel.wire.errors import Code, Denied

_NOT_OWNED = {Code.HOSTNAME_NOT_OWNED, Code.HOSTNAME_CONFLICT}

app = typer.Typer()


@hub_command(
    app,
    "leave",
    "towonel tenant leave --key-path home.key",
    "towonel tenant leave --key-path home.key --hub-url https://hub.example.eu",
    needs_key=False,
)
async def leave(hub: HubClient, key_path: KeyPath = TENANT_KEY) -> AsyncGenerator[Output]:
    """Take back all that a tenant's entries publish. What its agents publish ends with its invite."""
    tenant = read_tenant_key(key_path)
    log = TenantLog(hub, tenant)
    ops = withdrawals(payload.op for payload in await log.read())
    document: dict[str, object] = {
        "tenant_id": tenant.tenant_id.hex(),
        "planned": [op_to_json(op) for op in ops],
    }
    if not ops:
        yield Output(document, "There is nothing to take back.")
        return
    yield Output(
        document,
        f"tenant {tenant.tenant_id.hex()} leaves {hub.base_url}:",
        *(f"  {format_op(op)}" for op in ops),
    )
    for op in ops:
        try:
            sequence = await log.append(op)
        except Denied as error:
            # A name that was taken from the tenant is not published any more: nothing to undo.
            if error.code not in _NOT_OWNED:
                raise
            yield Output(
                op_to_json(op) | {"skipped": error.code.word},
                f"skipped {format_op(op)}: {error.detail}",
            )
        else:
            yield Output(op_to_json(op) | {"sequence": sequence}, f"done {format_op(op)}")
