"""Write the tables that come from the code (settings, messages, routes, codes, limits), and the picture.

    PYTHONPATH=tests python -m conventions.generated      (`make docs`)

A block between `<!-- generated: NAME -->` and `<!-- /generated -->` is replaced.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conventions.code_texts import CODE_TEXTS
from support import architecture, chart_schemas

from towonel.agent.settings import AgentSettings
from towonel.cli.settings import CommandSettings, ServeSettings, TokenSettings
from towonel.edge.certificates.settings import CertificateSettings
from towonel.edge.settings import EdgeSettings
from towonel.hub.api.application import create_app_without_hub
from towonel.hub.settings import HubSettings
from towonel.runtime.settings import Settings, Variable, variables
from towonel.tunnel.core.link_machine import LinkMachine
from towonel.tunnel.core.machine import Machine, State
from towonel.tunnel.core.session_machine import SessionMachine
from towonel.wire import clienthello, credit, messages, preamble, proxy, routes
from towonel.wire.policy.port_ranges import MAX_RANGE_PORTS
from towonel.wire.session import balance_hints, service_lists

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(<!-- generated: (?P<name>\w+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
ASKERS = {
    "bearerKey": "viewer",
    "agentSignature": "agent's signature",
    "edgeSignature": "edge's signature",
    "tenantSignature": "tenant's signature",
}
PROCESSES: dict[str, type[Settings]] = {
    "Hub": HubSettings,
    "Edge": EdgeSettings,
    "Agent": AgentSettings,
    "Command line": CommandSettings,
    "`towonel serve`": ServeSettings,
}
GENERATED = (
    "`make docs` writes this file from the code. Remove the # before a name to set it:"
    " `sed 's/^#//'` sets every default."
)
AGENT_EXAMPLE = """Every variable of an agent. TOWONEL_INVITE_TOKEN must be set, and an agent without TOWONEL_AGENT_SERVICES publishes none.
deploy/compose/agent.yaml reads a copy of this file, agent.env beside it; what it sets itself wins."""
NODE_EXAMPLE = """Every variable of a hub, of an edge, and of `towonel serve`, which runs both. None must be set but TOWONEL_DATA_DIR, which the images set to /data.
The files in deploy/compose read a copy of this file, node.env beside them; what they set themselves wins."""


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def by_process() -> dict[str, list[Variable]]:
    """All variables of each process, after those that every service has; defaults may differ."""
    each = {name: variables(cls) for name, cls in PROCESSES.items()}
    services = [{v.name for v in each[name]} for name in ("Hub", "Edge", "Agent")]
    shared = set.intersection(*services)
    tables = {"Every service": [v for v in each["Hub"] if v.name in shared]}
    own = {name: [v for v in found if v.name not in shared] for name, found in each.items()}
    of_certificates = {v.name for v in variables(CertificateSettings)}
    own["Edge"].sort(key=lambda v: v.name in of_certificates)  # inherited, and so the first
    return tables | own


def settings() -> str:
    parts: list[str] = []
    for name, found in by_process().items():
        rows = [(f"`{v.name}`", f"`{v.default}`" if v.default else "", described(v)) for v in found]
        parts.append(f"**{name}**\n\n{table(('variable', 'default', 'meaning'), rows)}\n")
    return "".join(parts)


def described(variable: Variable) -> str:
    old = ", ".join(f"`{name}`" for name in variable.deprecated)
    secret = f" A secret: better by `{variable.name}_FILE`." if variable.is_secret else ""
    return variable.description + secret + (f" Also read as {old}." if old else "")


def env_example(head: str, *processes: str) -> str:
    """Every variable of these processes, commented out, with its default, below lines that say what for."""
    lines = ["".join(f"## {line}\n" for line in (*head.splitlines(), GENERATED))]
    written = set[str]()
    for name, found in by_process().items():
        if name not in {"Every service", *processes}:
            continue
        new = [v for v in found if v.name not in written]
        written |= {v.name for v in new}
        lines.append(f"\n## --- {name} ---\n")
        lines += [f"## {v.description}\n#{v.name}={_example(v.default)}\n" for v in new]
    return "".join(lines)


def _example(default: str) -> str:
    """Return what stands in the file: of a required variable nothing, which no program takes for it."""
    return "" if default == "required" else default


def variable_names() -> str:
    """Return the module with the names of all variables, which no program can import from another."""
    classes: list[type[Settings]] = [*PROCESSES.values(), TokenSettings]
    found = {
        name
        for cls in classes
        for variable in variables(cls)
        for name in (variable.name, *variable.deprecated)
    }
    lines = "".join(f'        "{name}",\n' for name in sorted(found))
    return f'''"""Names of the environment variables of all programs; `make docs` writes this file.

Each program knows those of the others by it, and can name the variables that none of them reads.
"""

VARIABLES = frozenset(
    {{
{lines}    }}
)
'''


_MESSAGES = (
    messages.Challenge,
    messages.Hello,
    messages.Welcome,
    messages.Window,
    messages.Abandoned,
    messages.GoAway,
    messages.Renew,
    messages.LanesWanted,
    messages.ServicesChanged,
    messages.TlsLanesWanted,
    messages.DatagramSecret,
    balance_hints.Hints,
    messages.EdgesChanged,
)


def message_table() -> str:
    rows = [
        (
            str(kind.type),
            f"`{kind.__name__}`",
            ", ".join(f"`{field.name}`" for field in dataclasses.fields(kind)),
            (kind.__doc__ or "").strip(),
        )
        for kind in _MESSAGES
    ]
    return table(("type", "message", "keys", "meaning"), rows)


_ROUTE = (
    "`kind`, `name`, `port` (tcp, udp), `tls` (https), `tenant`; a range of ports has the kind `tcp_range` or `udp_range`,"
    f" and a `last_port`, at most {MAX_RANGE_PORTS} in all; `allow` and `deny` (arrays of CIDRs, 64 of both), missing"
    " where all clients are served: those of `deny` are not, nor, with any `allow`, those of none of them. An edge that"
    " does not understand one leaves the route out, as it does with a kind that it does not know"
)
_LIMITS = (
    "limits of the clients of tenants, missing where there are none: `tenant` (32 bytes), and those that"
    " there are of `connections`, `connection_rate` (a second) and `bandwidth` (bits a second); in a delta"
    " one without any says that its tenant has none any more, and a snapshot replaces all"
)


_ANOTHER = "another one as soon as the hub lists other edges"
_MISSING = "missing from hubs of older versions"


def route_table() -> str:
    rows = [
        ("`v`", "uint", f"{routes.FORMAT_VERSION}"),
        ("`revision`", "uint", "the revision that this leads to"),
        ("`snapshot`", "bool", "true: replaces the whole table and the list of blocked tenants"),
        ("`routes`", "array of maps", _ROUTE),
        (
            "`removed`",
            "array of text",
            "keys of routes that are gone: `https:app.example.eu`, `tcp:2222`, `udp:27015-27030` (each port of it)",
        ),
        (
            "`blocked`, `unblocked`",
            "array of 32 bytes",
            "tenants whose grants are void, and those that hold again",
        ),
        ("`limits`", "array of maps", _LIMITS),
        ("`tag`", f"{routes.TAG_BYTES} bytes", f"random for each revision; {_MISSING}"),
        ("`edge_list`", f"{routes.TAG_BYTES} bytes", f"{_ANOTHER}; {_MISSING}"),
    ]
    return table(("key", "form", "meaning"), rows)


def codes() -> str:
    rows = [
        (f"`{code.word}`", f"0x{code:02X}", text.source, text.meaning, text.action)
        for code, text in sorted(CODE_TEXTS.items())
    ]
    return table(("code", "number", "who says it", "means", "do"), rows)


def limits() -> str:
    found = {
        "ClientHello, record headers included": clienthello.MAX_HELLO_BYTES,
        "PROXY v2 header from a load balancer": proxy.MAX_HEADER_BYTES,
        "preamble": preamble.MAX_PREAMBLE_BYTES,
        "control frame": messages.MAX_FRAME_BYTES,
        "services in a Hello": service_lists.MAX_SERVICES,
        "stream window at first": credit.STREAM_WINDOW_BYTES,
        "stream window at most": credit.MAX_STREAM_WINDOW_BYTES,
        "session window": credit.SESSION_WINDOW_BYTES,
        "routes answer": routes.MAX_DELTA_BYTES,
    }
    return table(("what", "at most"), [(name, f"{value:,}") for name, value in found.items()])


def operations() -> str:
    """Every operation of the API, and whose key or signature it takes."""
    rows = [
        (f"`{method.upper()} {path}`", f"`{operation['operationId']}`", asker(operation))
        for path, methods in sorted(create_app_without_hub().openapi()["paths"].items())
        for method, operation in methods.items()
    ]
    return table(("request", "operation", "who may"), rows)


def bodies() -> str:
    """Every JSON body that a caller with a key sends: an example, and all its fields."""
    document = create_app_without_hub().openapi()
    schemas, rows = document["components"]["schemas"], list[tuple[str, ...]]()
    for path, methods in sorted(document["paths"].items()):
        for method, operation in methods.items():
            name = body_schema(operation)
            if name is None or "bearerKey" not in str(operation.get("security")):
                continue
            schema = schemas[name]
            example = json.dumps(schema["examples"][0], ensure_ascii=False)
            required = schema.get("required", [])
            fields = [f"**{it}**" if it in required else it for it in schema["properties"]]
            rows.append((f"`{method.upper()} {path}`", f"`{example}`", ", ".join(fields)))
    return table(("request", "body", "fields, those that must be sent in bold"), rows)


def body_schema(operation: dict[str, Any]) -> str | None:
    """Return the name of the schema of an operation's body, or None if it has none in JSON."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    found = re.search(r"#/components/schemas/(\w+)", str(content))
    return found[1] if found else None


def asker(operation: dict[str, Any]) -> str:
    """Return the roles and signatures that an operation takes."""
    found: list[str] = []
    for scheme in operation.get("security", []):
        for name, roles in scheme.items():
            found += roles or [ASKERS[name]]
    if not found:
        return "anybody: the body is signed" if "requestBody" in operation else "anybody"
    return " or ".join(found)


def state_machines() -> str:
    """A diagram and a table of the transitions at each end of a session."""
    ends: dict[str, type[Machine]] = {"Edge": SessionMachine, "Agent": LinkMachine}
    return "\n".join(
        f"**{end}**\n\n```mermaid\n{state_diagram(machine)}```\n\n{transition_table(machine)}"
        for end, machine in ends.items()
    )


def state_diagram(machine: type[Machine]) -> str:
    lines = ["stateDiagram-v2", *(f'state "{state.value}" as {state.name}' for state in State)]
    lines.append(f"[*] --> {State.CONNECTING.name}")
    lines += [
        f"{state.name} --> {transition.target.name}: {event_name(event).replace('`', '')}"
        for (state, event), transition in machine.TABLE.items()
        if state is not transition.target
    ]
    return "".join(f"{line}\n" for line in lines)


def transition_table(machine: type[Machine]) -> str:
    rows = [
        (state.value, event_name(event), str(transition.action.__doc__), transition.target.value)
        for (state, event), transition in machine.TABLE.items()
    ]
    return table(("state", "event", "action", "next state"), rows)


def event_name(event: type) -> str:
    """A message by its name, another event by its sentence."""
    return f"`{event.__name__}`" if hasattr(event, "type") else str(event.__doc__).rstrip(".")


BLOCKS = {
    "operations": operations,
    "bodies": bodies,
    "settings": settings,
    "messages": message_table,
    "state_machines": state_machines,
    "routes": route_table,
    "codes": codes,
    "limits": limits,
}


def documents() -> dict[Path, str]:
    """Every document with generated parts, as it should be."""
    wanted = {
        path: BLOCK.sub(lambda m: f"{m[1]}\n{BLOCKS[m['name']]()}\n{m[3]}", path.read_text())
        for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))
    }
    wanted |= chart_schemas.documents() | architecture.documents()
    return wanted | {
        ROOT / ".env.example": env_example("Every variable there is.", *PROCESSES),
        ROOT / "examples/agent.env.example": env_example(AGENT_EXAMPLE, "Agent"),
        ROOT / "examples/node.env.example": env_example(
            NODE_EXAMPLE, "Hub", "Edge", "`towonel serve`"
        ),
        ROOT / "libs/wire/src/towonel/wire/variables.py": variable_names(),
    }


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text)
