"""Compose files of deploy/compose, as `docker compose` reads them."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from conventions.tree import ROOT, files

from towonel.agent.settings import AgentSettings
from towonel.cli.settings import CommandSettings, ServeSettings
from towonel.edge.settings import EdgeSettings
from towonel.hub.settings import HubSettings
from towonel.runtime.settings import Settings, variables

FOLDER = ROOT / "deploy/compose"
# Those with services; the others are read by programs in containers.
COMPOSE_FILES = [path for path in files("deploy/compose/*.yaml") if path.name != "prometheus.yaml"]
NODE = (HubSettings, EdgeSettings, ServeSettings, CommandSettings)
PROGRAMS: dict[str, tuple[type[Settings], ...]] = {
    "towonel": NODE,
    "towonel-hub-caddy": NODE,
    "towonel-hub": (HubSettings,),
    "towonel-edge": (EdgeSettings,),
    "towonel-agent": (AgentSettings,),
}
# The innermost one first: a default may have a variable in it.
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?:(?P<sign>:-|:\?)(?P<rest>[^${}]*))?\}")


@dataclass(frozen=True)
class Service:
    """One service of a Compose file."""

    file: Path
    name: str
    body: dict[str, Any]

    @property
    def image(self) -> str:
        """Its image, without registry and tag where it is ours."""
        image = str(self.body["image"])
        return image.rpartition(":")[0] if image.startswith("towonel") else image

    @property
    def is_ours(self) -> bool:
        return self.image in PROGRAMS

    @property
    def environment(self) -> dict[str, str]:
        return dict(self.body.get("environment", {}))

    @property
    def where(self) -> str:
        """File and name, for messages."""
        return f"{self.file.name} {self.name}"

    def reads(self) -> set[str]:
        """Return the variables that its programs read."""
        found = {v.name for cls in PROGRAMS[self.image] for v in variables(cls)}
        of_caddy = {"CADDY_GLOBAL_OPTIONS"} if self.image.endswith("-caddy") else set[str]()
        return found | of_caddy | {f"{name}_FILE" for name in found}


def fill_in(text: str, values: dict[str, str]) -> str:
    """Return a file with its variables replaced: by these values, by their defaults, or by their names."""

    def replace(found: re.Match[str]) -> str:
        default = found["rest"] if found["sign"] == ":-" else found["name"].lower()
        return values.get(found["name"], default)

    while (filled := VARIABLE.sub(replace, text)) != text:
        text = filled
    return text


@cache
def read(path: Path) -> dict[str, Any]:
    """Return the content of a file, with its variables replaced."""
    found: dict[str, Any] = yaml.safe_load(fill_in(path.read_text(), {"SECRETS": "./secrets"}))
    return found


def services() -> list[Service]:
    """Return every service of every file."""
    return [
        Service(path, name, body)
        for path in COMPOSE_FILES
        for name, body in read(path)["services"].items()
    ]
