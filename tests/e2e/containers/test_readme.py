"""Commands of README and of the page for users of the original, as they stand, on machines with nothing but Docker.

Names, ports, volumes and certificates are those of the documents: each machine has a network and an engine of its own.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.compose_project import find_missing, stand_in, until
from support.documents import MIGRATING, README, ROOT, Block, story
from support.machines import PATIENCE_S, Internet, Machine, internet

# Four engines and a certificate authority: beside others they are slow, and who orders a certificate asks again after minutes only.
pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]
ADDRESSES = {"example.eu": "10.78.0.2", "edge.example.eu": "10.78.0.4"}
IMAGES = {
    "vps": ["towonel"],
    "home": ["towonel-agent", "caddy:2"],
    "edge": ["towonel-edge"],
}
# All that documents cannot have, and the test fills in: secrets, which an earlier command has printed.
SECRETS = {
    mark: re.compile(rf"{mark.removesuffix('…')}[\w.-]{{20,}}")
    for mark in ("tt_inv_2_…", "tt_edge_2_…", "tt_key_1_…")
}
# These can be tried again: what they ask may still be starting, as the documents say.
REPEATABLE = re.compile(r"^(docker (compose )?exec|curl) ")
ORIGIN = """{
    admin off
    auto_https off
    servers {
        listener_wrappers {
            proxy_protocol {
                allow 127.0.0.1/32
            }
            tls
        }
    }
}
https://app.alice.example.eu:8443 {
    bind 127.0.0.1
    tls FOLDER/alice.pem FOLDER/alice.key
    respond "from home"
}
"""


@pytest.fixture(scope="module")
def machines() -> Iterator[Internet]:
    """The machines of all stories, which have a clone of the repository, too."""
    if (missing := find_missing()) is not None:
        pytest.skip(f"needs {missing}")
    stand_in("caddy:2", "caddy")
    with internet(ADDRESSES) as made:
        for name, images in IMAGES.items():
            machine = made.add(name, images)
            for part in ("deploy/compose", "examples"):
                shutil.copytree(ROOT / part, machine.folder / part)
        yield made


@pytest.fixture
def net(machines: Internet) -> Iterator[Internet]:
    """The same without what other stories have left."""
    yield machines
    for name in IMAGES:
        machines.machines[name].clear()


def fill_in(block: Block, secrets: dict[str, str]) -> str:
    """Return the commands with secrets in the place of marks."""
    text = block.text
    for mark, secret in secrets.items():
        text = text.replace(mark, secret)
    assert "…" not in text, f"{block.where}: nothing has printed this secret"
    return text


def run_block(machine: Machine, commands: str) -> str:
    """Run the commands of a block; those that can be tried again are, until they succeed."""
    if REPEATABLE.match(commands):
        return until(lambda: machine.run_block(commands) or "done", PATIENCE_S)
    return machine.run_block(commands)


def tell(net: Internet, name: str, document: Path = README) -> dict[str, str]:
    """Run a story from top to bottom, and return what the last block of each machine printed."""
    secrets, printed = dict[str, str](), dict[str, str]()
    for block in story(name, document):
        output = run_block(net.machines[block.machine], fill_in(block, secrets))
        printed[block.machine] = output
        secrets |= {
            mark: found[0] for mark, form in SECRETS.items() if (found := form.search(output))
        }
    return printed


def test_hub_agent_second_edge_and_api_by_docker_run(net: Internet) -> None:
    printed = tell(net, "docker")

    assert '"openapi":"3.1' in printed["anywhere"].replace(" ", "")


def test_hub_and_agent_by_docker_compose(net: Internet) -> None:
    printed = tell(net, "compose")

    assert "Through the tunnel, for 10.78.0.1" in printed["anywhere"]


def test_the_quick_start_of_the_original(net: Internet) -> None:
    [page] = [page for page in MIGRATING if page.stem == "original"]
    home = net.machines["home"]
    leaf = net.authority.issue_cert("app.alice.example.eu")
    leaf.private_key_pem.write_to_path(str(home.folder / "alice.key"))
    for part in leaf.cert_chain_pems:
        part.write_to_path(str(home.folder / "alice.pem"), append=True)
    (home.folder / "Caddyfile").write_text(ORIGIN.replace("FOLDER", str(home.folder)))
    caddy = (str(net.folder / "caddy"), "run", "--config", str(home.folder / "Caddyfile"))
    origin = home.start(*caddy, "--adapter", "caddyfile")
    printed = tell(net, "original", page)
    origin.kill()
    origin.wait()

    assert printed["anywhere"] == "from home"
