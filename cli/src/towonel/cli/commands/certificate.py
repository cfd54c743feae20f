"""`towonel certificate`: certificates of names whose TLS ends at edges."""

from functools import partial
from typing import Annotated

import typer

from towonel.api.certificates.items import CertificateItem, RevocationIn
from towonel.api.certificates.reports import CertificateState, RevocationReason
from towonel.cli.certificates import (
    COLUMNS,
    Seen,
    certificate_row,
    fetch_seen,
    format_end,
    format_state,
    wait_renewed,
)
from towonel.cli.command import hub_command
from towonel.cli.idempotent import create_once
from towonel.cli.options.ids import parse_hex_id
from towonel.cli.output import Block, Fields, Output, format_time
from towonel.cli.tables import Limit, TenantId, fetch_all, list_output
from towonel.client.operator import OperatorClient

WAIT_S = 120.0  # an edge is told within ten seconds, and orders for ninety at most

Hostname = Annotated[
    str,
    typer.Argument(metavar="HOSTNAME", help="The name that clients ask for.", show_default=False),
]

app = typer.Typer()


@hub_command(
    app,
    "list",
    "towonel certificates list",
    "towonel certificate list --state failed",
    "towonel certificate list --hostname app.example.eu --json",
)
async def list_all(
    hub: OperatorClient,
    hostname: Annotated[
        str | None,
        typer.Option(metavar="HOSTNAME", help="Only of this name.", show_default=False),
    ] = None,
    state: Annotated[CertificateState | None, typer.Option(help="Only those in it.")] = None,
    tenant_id: TenantId = None,
    edge: Annotated[
        str | None, typer.Option(metavar="HEX", help="Only on this edge.", show_default=False)
    ] = None,
    limit: Limit = None,
) -> Output:
    """List the certificates that edges have or want, by hostname and edge."""
    edge_id = None if edge is None else parse_hex_id("--edge", edge)
    fetch = partial(
        hub.certificates.list,
        hostname=hostname,
        state=state,
        tenant_id=tenant_id,
        edge_id=edge_id,
    )
    found = await fetch_all(fetch, lambda page: page.certificates, limit)
    empty = "No edge has or wants a certificate."
    return list_output("certificates", found, COLUMNS, certificate_row, empty)


@hub_command(app, "show", "towonel certificate show app.example.eu")
async def show(hub: OperatorClient, hostname: Hostname) -> Output:
    """Show the certificate of a name on each edge. What is wrong with it, and what to do."""
    detail = await hub.certificates.get(hostname)
    owner = "none" if detail.tenant_id is None else detail.tenant_id.hex()
    blocks: list[Block] = [Fields([("hostname", detail.hostname), ("tenant", owner)])]
    for item in detail.certificates:
        blocks += ["", Fields(_to_fields(item))]
    return Output(detail, *blocks)


@hub_command(
    app,
    "renew",
    "towonel certificate renew app.example.eu",
    "towonel certificate renew app.example.eu --wait --timeout 60",
)
async def renew(
    hub: OperatorClient,
    hostname: Hostname,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until edges have the new one; exit 1 if not.")
    ] = False,
    timeout: Annotated[  # noqa: ASYNC109 a flag, which is how long somebody waits
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", min=1, max=3600, help="How long, with --wait."
        ),
    ] = WAIT_S,
) -> Output:
    """Have edges order a certificate anew. Also after failures, or after it was revoked."""
    before: Seen = await fetch_seen(hub, hostname) if wait else {}
    requested = await create_once(lambda key: hub.certificates.renew(hostname, idempotency_key=key))
    if not wait:
        return Output(
            requested, f"{len(requested.edges)} edges are told within 10 s: {requested.hostname}"
        )
    seen = await wait_renewed(hub, hostname, before, requested.edges, timeout)
    items = [seen[edge_id] for edge_id in requested.edges if edge_id in seen]
    return list_output("certificates", items, COLUMNS, certificate_row, "")


@hub_command(
    app,
    "revoke",
    "towonel certificate revoke app.example.eu --reason key_compromise",
)
async def revoke(
    hub: OperatorClient,
    hostname: Hostname,
    reason: Annotated[
        RevocationReason, typer.Option(help="Why; the authority publishes it.")
    ] = "unspecified",
) -> Output:
    """Have edges revoke a certificate. None is ordered for the name until `renew`."""
    revocation = RevocationIn(reason=reason)
    requested = await create_once(
        lambda key: hub.certificates.revoke(hostname, revocation, idempotency_key=key)
    )
    return Output(
        requested, f"{len(requested.edges)} edges are told within 10 s: {requested.hostname}"
    )


def _to_fields(item: CertificateItem) -> list[tuple[str, str]]:
    fields = [("edge", item.edge_id.hex()), ("state", format_state(item))]
    if item.not_after is not None:
        fields += [
            ("source", "ordered by ACME" if item.source == "acme" else "files of its folder"),
            ("issuer", item.issuer),
            ("serial", item.serial),
            ("valid from", format_time(item.not_before)),
            ("expires", format_end(item)),
            ("renews", "by nobody" if item.renews_at is None else format_time(item.renews_at)),
        ]
    if item.error:
        fields += [("error", item.error), ("fix", item.fix)]
    if item.retry_at is not None:
        fields.append(("next try", format_time(item.retry_at)))
    return fields
