"""Starts of edge and agent that may make no file in memory: one line says what for, and what to do."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import seccomp
from support.boot import EDGE_INVITE, INVITE
from support.fork_server import CommandResult, run_command
from support.ports import free_port

from towonel.edge import snapshot
from towonel.edge.core.route_table import FEW_ROUTES
from towonel.wire.ids import HubId, TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta

pytestmark = pytest.mark.processes


def start(name: str, error: int, folder: Path, environ: Mapping[str, str]) -> CommandResult:
    listeners = ("LISTEN_ADDR", "HEALTH_LISTEN_ADDR") if name == "edge" else ("HEALTH_LISTEN_ADDR",)
    addresses = {f"TOWONEL_{name.upper()}_{one}": f"127.0.0.1:{free_port()}" for one in listeners}
    variables = {**environ, **addresses, "TOWONEL_DATA_DIR": str(folder)}
    return run_command(variables, name, str(error), folder=folder, program=seccomp.__file__)


def check(ended: CommandResult, problem: str, error: int, advice: str) -> None:
    lines = ended.stderr.splitlines() + ended.stdout.splitlines()
    reason = f"cannot make a file in memory for {problem}: {os.strerror(error)}; {advice}"

    assert ended.code == 1, ended
    assert [line for line in lines if "process.gave_up" in line and reason in line], lines
    assert not [line for line in lines if "Traceback" in line], lines


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (errno.EPERM, "let its sandbox allow memfd_create"),
        (errno.ENOMEM, "give it more memory"),
        (errno.EMFILE, "raise its limit of open files (ulimit -n, LimitNOFILE=)"),
    ],
)
def test_an_edge_says_what_its_stored_routes_need(error: int, advice: str, tmp_path: Path) -> None:
    routes = tuple(
        Route(ServiceKind.HTTPS, f"{number}.example.eu", TenantId(b"t" * 32))
        for number in range(FEW_ROUTES + 1)
    )
    stored = snapshot.Snapshot(HubId(b"h" * 32), RouteDelta(1, snapshot=True, routes=routes))
    (tmp_path / snapshot.SNAPSHOT_FILE).write_bytes(snapshot.encode(stored))

    environ = {"TOWONEL_EDGE_INVITE_TOKEN": EDGE_INVITE, "TOWONEL_EDGE_STATE_DIR": str(tmp_path)}
    ended = start("edge", error, tmp_path, environ)

    check(ended, "the routes of its last run", error, advice)


def test_an_edge_without_routes_says_what_its_certificate_needs(tmp_path: Path) -> None:
    ended = start("edge", errno.EPERM, tmp_path, {"TOWONEL_EDGE_INVITE_TOKEN": EDGE_INVITE})

    check(ended, "its certificate", errno.EPERM, "let its sandbox allow memfd_create")


def test_an_agent_says_what_its_workers_need(tmp_path: Path) -> None:
    services = '[{"hostname": "app.example.eu", "origin": "127.0.0.1:4443"}]'
    environ = {"TOWONEL_INVITE_TOKEN": INVITE, "TOWONEL_AGENT_SERVICES": services}

    ended = start("agent", errno.EPERM, tmp_path, environ)

    check(ended, "the counts that its workers share", errno.EPERM, "let its sandbox allow")
