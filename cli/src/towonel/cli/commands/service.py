"""`towonel service`: what groups of agents publish."""

from functools import partial

import typer

from towonel.api.services import Listener, ServiceDetail, ServiceItem
from towonel.cli.command import hub_command
from towonel.cli.errors import UsageError
from towonel.cli.options.routes import OfKind, RouteKey
from towonel.cli.output import Fields, Output, Rows
from towonel.cli.tables import (
    SHORT,
    Group,
    Limit,
    TenantId,
    agent_rows,
    fetch_all,
    format_tls,
    format_traffic,
    list_output,
)
from towonel.client.operator import OperatorClient
from towonel.wire.addresses import is_port
from towonel.wire.policy.port_ranges import parse_range

app = typer.Typer()


@hub_command(app, "list", "towonel service list", "towonel service list --kind tcp --group home")
async def list_all(
    hub: OperatorClient,
    tenant_id: TenantId = None,
    group_name: Group = None,
    kind: OfKind = None,
    limit: Limit = None,
) -> Output:
    """List what groups of agents publish, by key."""
    fetch = partial(hub.services.list, tenant_id=tenant_id, group=group_name, kind=kind)
    services = await fetch_all(fetch, lambda page: page.services, limit)
    columns = ("KEY", "NAME", "TLS", "GROUP", "AGENTS", "CLIENTS", "TENANT", "LISTENERS")
    return list_output("services", services, columns, _to_row, "Nothing is published.")


@hub_command(
    app, "show", "towonel service show https:app.example.eu", "towonel service show tcp:ssh"
)
async def show(hub: OperatorClient, key: RouteKey) -> Output:
    """Show one public name or port. Who publishes it, which agents serve it now, and which edges listen."""
    item = await hub.services.get(await _find_key(hub, key))
    fields = [
        ("service", item.key),
        ("name", item.name),
        ("tls", format_tls(item)),
        ("tenant", item.tenant_id.hex()),
        ("groups", ", ".join(item.groups)),
        ("traffic", format_traffic(item.traffic)),
    ]
    if item.kind == "https":  # all of them share one port
        return Output(item, Fields(fields), "", agent_rows(item.agents))
    fields.append(("listeners", format_listeners(item)))
    edges = _listener_rows(item.listeners)
    return Output(item, Fields(fields), "", agent_rows(item.agents), "", edges)


async def _find_key(hub: OperatorClient, key: str) -> str:
    """Return the key of a service; one on a port may be named as agents name it, too: `tcp:ssh`."""
    kind, _, name = key.partition(":")
    if kind not in {"tcp", "udp"} or is_port(name) or parse_range(name) is not None:
        return key
    fetch = partial(hub.services.list, kind=kind)
    listed = await fetch_all(fetch, lambda page: page.services)
    keys = sorted({item.key for item in listed if item.name == name})
    if len(keys) > 1:
        raise UsageError(f"KEY: {key} is the name of several services; use {' or '.join(keys)}")
    return keys[0] if keys else key


def format_listeners(item: ServiceItem | ServiceDetail) -> str:
    """Format how many edges listen on the port or the ports of a service, or how many of them do not, and why."""
    if not item.is_served:
        return "not served"
    if item.kind == "https":
        return ""
    count = len({it.edge_id for it in item.listeners})
    edges = "1 edge" if count == 1 else f"{count or 'no'} edges"
    failing = [it for it in item.listeners if it.code]
    if not failing:
        return edges
    at = len({it.edge_id for it in failing})
    codes, which = ", ".join(sorted({_describe_failure(it) for it in failing})), f"{at} of {edges}"
    verb = "fails" if at == 1 else "fail"
    return f"{edges if count == 1 else which} {verb}: {codes}"


def _describe_failure(listener: Listener) -> str:
    return f"{listener.code} ({listener.ports})" if listener.ports else str(listener.code)


def _listener_rows(listeners: list[Listener]) -> Rows:
    empty = "No edge has reported this port yet."
    rows = [(it.edge_id.hex(), it.code or "listening", it.detail) for it in listeners]
    if not any(it.ports for it in listeners):
        return Rows(("EDGE", "STATE", "DETAIL"), rows, empty)
    ports = [it.ports or "all" for it in listeners]
    by_ports = [(*row, text) for row, text in zip(rows, ports, strict=True)]
    return Rows(("EDGE", "STATE", "DETAIL", "PORTS"), by_ports, empty)


def _to_row(item: ServiceItem) -> tuple[str, ...]:
    tenant, live = item.tenant_id.hex()[:SHORT], str(item.agents_live)
    if item.agents_failing:
        live += f", {item.agents_failing} failing"
    clients = str(item.traffic.connections_active)
    listeners = format_listeners(item)
    return item.key, item.name, format_tls(item), item.group, live, clients, tenant, listeners
