"""The image with Caddy: its own name is the hub's, everything else on port 443 is the edge's."""

import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from docker.models.containers import Container
from support.container_stack import EDGE_PORT, Deployment, fetch_as_guest
from support.containers import Engine, execute, exit_code, is_ready, translation
from support.stack import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("caddy")]
HUB = "hub.example.test"
ENVIRON = {
    "TOWONEL_HUB_PUBLIC_URL": f"https://{HUB}",
    "CADDY_GLOBAL_OPTIONS": "local_certs\nskip_install_trust",  # there is no public authority here
}
ROOT = "/data/caddy/pki/authorities/local/root.crt"
KILL = "import os, signal, sys; [os.kill(int(p), signal.SIGKILL) for p in os.listdir('/proc') if p.isdigit() and"
KILL += " sys.argv[1] in open(f'/proc/{p}/cmdline').read().split('\\0')[:2]]"


class Front(Deployment):
    """A deployment whose hub and edge are one container, behind Caddy."""

    async def start_caddy(self) -> None:
        ports = {f"{EDGE_PORT}/{each}": (self.address, EDGE_PORT) for each in ("tcp", "udp")}
        self.hub = self.engine.start(
            "towonel-hub-caddy", "hub", network=self.public, environment=ENVIRON, ports=ports
        )
        await is_ready(self.hub, "towonel serve")
        await until(lambda: execute(self.hub, "cat", ROOT).code == 0)
        (self.folder / "caddy.pem").write_text(execute(self.hub, "cat", ROOT).output)

    async def start_agent_of(self, hostname: str, origin: str) -> Container:
        create = ("towonel", "invite", "create", "--hostnames", hostname)
        token = next(w for w in execute(self.hub, *create).output.split() if w.startswith("tt_inv"))
        return await self.start_agent(token, hostname, origin, proxy_protocol="v2")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(own_engine: Engine, make_deployment: Callable[..., Front]) -> AsyncIterator[Front]:
    with translation():
        stack = make_deployment(Front, own_engine)
        stack.agent_options = {
            "extra_hosts": {HUB: stack.address},
            "volumes": {str(stack.folder): {"bind": "/certificates", "mode": "ro"}},
        }
        stack.agent_environ = {"SSL_CERT_FILE": "/certificates/caddy.pem"}
        await stack.start_caddy()
        yield stack


async def test_the_hub_is_reached_by_its_name_and_the_edge_by_all_others(
    front: Front, hostname: str
) -> None:
    front.start_origin("home", hostname, proxied=True)
    agent = await front.start_agent_of(hostname, "home")
    await front.answers(hostname, "home")
    answer, own = fetch_as_guest(front, front.public, "hub", hostname)
    context = ssl.create_default_context(cafile=str(front.folder / "caddy.pem"))
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        url, host = f"https://{front.address}/v1/health", {"Host": HUB}
        health = await client.get(url, headers=host, extensions={"sni_hostname": HUB})

    assert answer == f"home {own}"
    assert (health.status_code, health.headers["via"]) == (200, "1.1 Caddy")
    await until(lambda: has_idle_lanes(agent))  # they go through Caddy, too


def has_idle_lanes(agent: Container) -> bool:
    """Whether an agent has lanes that wait for clients."""
    read = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9090/metrics').read().decode())"
    lines = execute(agent, "python3", "-c", read).output.splitlines()
    found = [one for one in lines if one.startswith('towonel_agent_lanes{state="idle"}')]
    return bool(found) and float(found[0].split()[1]) > 0


async def test_it_drains_and_ends_with_0_when_it_is_stopped(engine: Engine) -> None:
    container = engine.start("towonel-hub-caddy", environment=ENVIRON, read_only=True)
    await is_ready(container, "towonel serve")
    container.stop(timeout=40)

    assert exit_code(container) == 0, container.logs().decode()


@pytest.mark.parametrize("program", ["caddy", "/opt/towonel/bin/towonel"])
async def test_it_ends_when_one_of_its_programs_does(engine: Engine, program: str) -> None:
    container = engine.start("towonel-hub-caddy", environment=ENVIRON)
    await is_ready(container, "towonel serve")
    execute(container, "python3", "-c", KILL, program)
    await until(lambda: exit_code(container) is not None, 40)

    assert exit_code(container) == 137


async def test_another_caddyfile_can_be_mounted(engine: Engine, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "Caddyfile").write_text('http://:8080 {\n\trespond "mine"\n}\n')
    mount = {str(tmp_path / "Caddyfile"): {"bind": "/etc/caddy/Caddyfile", "mode": "ro"}}
    container = engine.start("towonel-hub-caddy", environment=ENVIRON, volumes=mount)
    await is_ready(container, "towonel serve")
    read = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080').read().decode())"

    assert execute(container, "python3", "-c", read).output.strip() == "mine"
