"""Each image by itself: whom it runs as, what is in it, how it starts, says that it is well, and ends."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from support.containers import Engine, execute, exit_code, health, is_ready
from support.stack import until

PROGRAMS = {"towonel-hub": "towonel-hub", "towonel": "towonel serve"}
IMAGES = ("towonel-hub", "towonel-edge", "towonel-agent", "towonel", "towonel-hub-caddy")
WITH_LOW_PORTS = ("towonel-edge", "towonel", "towonel-hub-caddy")
HUB = {"TOWONEL_HUB_PUBLIC_URL": "https://hub.example.eu"}
CONFINED: dict[str, Any] = {"cap_drop": ["ALL"], "cap_add": ["NET_BIND_SERVICE"], "read_only": True}
WRONG = {
    "towonel-hub": ("TOWONEL_HUB_DB_DRIVER", "mysql"),
    "towonel-edge": ("TOWONEL_EDGE_LISTEN_WORKERS", "none"),
    "towonel-agent": ("TOWONEL_AGENT_WORKERS", "none"),
    "towonel": ("TOWONEL_EDGE_LISTEN_WORKERS", "none"),
    "towonel-hub-caddy": ("TOWONEL_HUB_PUBLIC_URL", "https://hub.example.eu:8443"),
}
# A process that has been given a capability by its file may not read its own /proc, which edges need.
LISTEN = (
    "import os, socket; socket.socket().bind(('127.0.0.1', 987)); os.listdir('/proc/self/fd');"
    " print('bound')"
)


@pytest.mark.parametrize("image", IMAGES)
def test_a_wrong_setting_ends_it_with_78_and_is_named_in_its_log(
    engine: Engine, image: str
) -> None:
    variable, value = WRONG[image]
    ended = engine.run(image, environment={**HUB, variable: value})

    assert ended.code == 78, ended
    assert re.search(rf"^(towonel: bad_configuration: )?{variable}: ", ended.output, re.MULTILINE)


@pytest.mark.parametrize("image", IMAGES)
def test_it_has_labels_a_health_check_and_no_privileges(engine: Engine, image: str) -> None:
    config: dict[str, Any] = engine.client.images.get(image).attrs["Config"]
    labels = {
        name.removeprefix("org.opencontainers.image."): t for name, t in config["Labels"].items()
    }

    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][-1] == "--health"
    assert labels["title"] == image
    assert labels["licenses"] == "MIT"
    assert re.fullmatch(r"[0-9a-f]{40}", labels["revision"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["version"])
    assert "TOWONEL_DATA_DIR=/data" in config["Env"]


@pytest.mark.parametrize("image", IMAGES)
def test_nothing_that_builds_or_installs_is_in_it_and_nothing_secret(
    engine: Engine, image: str
) -> None:
    unwanted = "cc gcc ld go uv pip pip3 apt apt-get dpkg perl curl"
    script = f"for each in {unwanted}; do command -v $each; done; find / -xdev -name '*.key' -o -xdev -name '*.deb'"
    script += " -o -xdev -path '*/.cache/*' -o -xdev -path '/var/lib/apt/lists/*'; true"
    found = engine.run(image, ["-c", f"({script}) 2>/dev/null"], entrypoint="sh")
    history = json.dumps(engine.client.images.get(image).history())

    assert found.output == ""
    assert not re.search(r"tt_(inv|edge)_|(?i:password|secret|token)=", history)


@pytest.mark.parametrize("image", IMAGES)
def test_it_has_a_bill_of_materials(engine: Engine, image: str) -> None:
    read = engine.run(image, ["/opt/towonel/sbom.cdx.json"], entrypoint="cat")
    bill = json.loads(read.output)
    purls = {one["purl"].partition("@")[0] for one in bill["components"]}

    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", image)
    assert {"pkg:pypi/pydantic", "pkg:deb/debian/libc6", "pkg:generic/python"} <= purls
    assert ("pkg:golang/github.com/mholt/caddy-l4" in purls) == (image == "towonel-hub-caddy")


def test_the_image_of_the_agent_is_small(engine: Engine) -> None:
    assert engine.client.images.get("towonel-agent").attrs["Size"] <= 120_000_000


@pytest.mark.asyncio
@pytest.mark.parametrize("image", PROGRAMS)
async def test_it_runs_confined_becomes_healthy_and_drains_when_it_is_stopped(
    engine: Engine, image: str
) -> None:
    volumes = {engine.make_volume(): {"bind": "/data"}}
    often = {"interval": 2_000_000_000}  # of the image's own check, in ns
    container = engine.start(image, environment=HUB, volumes=volumes, healthcheck=often, **CONFINED)
    await is_ready(container, PROGRAMS[image])
    await until(lambda: health(container) == "healthy", 60)
    container.stop(timeout=40)

    assert exit_code(container) == 0
    assert container.logs().decode().rstrip().splitlines()[-1].startswith("{")


@pytest.mark.asyncio
async def test_a_folder_of_the_machine_can_be_its_data(engine: Engine, tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.chown(data, 10001, 10001)
    container = engine.start("towonel-hub", environment=HUB, volumes={str(data): {"bind": "/data"}})
    await is_ready(container, "towonel-hub")
    container.stop()

    assert {"node.key", "operator.key", "hub.db"} <= {path.name for path in data.iterdir()}


@pytest.mark.parametrize("image", WITH_LOW_PORTS)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="default"),
        pytest.param({"cap_drop": ["ALL"]}, id="no capabilities"),
        pytest.param(CONFINED, id="confined"),
        pytest.param({"security_opt": ["no-new-privileges"]}, id="no new privileges"),
        pytest.param(
            {"network": "host"}, id="network of the host", marks=pytest.mark.xdist_group("host")
        ),  # whose port they share
    ],
)
def test_a_port_below_1024_can_be_listened_on(
    engine: Engine, image: str, options: dict[str, Any]
) -> None:
    command = ["with-low-ports", "/opt/towonel/bin/python", "-c", LISTEN]
    ended = engine.run(image, command[1:], entrypoint=command[0], **options)

    assert (ended.code, ended.output) == (0, "bound\n"), ended


@pytest.mark.asyncio
async def test_the_quick_start_works_with_docker_run_and_docker_exec(engine: Engine) -> None:
    hub = engine.start(
        "towonel", environment=HUB, volumes={engine.make_volume(): {"bind": "/data"}}
    )
    await is_ready(hub, "towonel serve")
    create = ("towonel", "invite", "create", "--name", "home", "--hostnames", "app.example.eu")
    made = execute(hub, *create)
    token = re.search(r"tt_inv_2_\S+", made.output)

    assert made.code == 0, made
    assert token
    agent = engine.run("towonel-agent", ["--check"], environment={"TOWONEL_INVITE_TOKEN": token[0]})
    assert agent.code == 0, agent
