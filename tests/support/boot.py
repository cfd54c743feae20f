"""Settings of every program, and values that nobody should give them."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from towonel.agent.settings import AgentSettings
from towonel.cli.settings import CommandSettings, ServeSettings, TokenSettings
from towonel.edge.settings import EdgeSettings
from towonel.hub.settings import HubSettings
from towonel.runtime.settings import Settings, SettingsError, load, variables
from towonel.wire.tokens import EdgeToken, InviteToken

SECRET = "hunter2"  # what no message may show
INVITE = InviteToken("https://hub.example.eu", bytes(16), bytes(32), bytes(32)).encode()
EDGE_INVITE = EdgeToken("https://hub.example.eu", bytes(16), bytes(32), bytes(32)).encode()

# Each class of settings, and the least that it needs.
PROGRAMS: dict[type[Settings], dict[str, str]] = {
    HubSettings: {},
    EdgeSettings: {"TOWONEL_DATA_DIR": "/state"},
    AgentSettings: {"TOWONEL_INVITE_TOKEN": INVITE},
    CommandSettings: {},
    ServeSettings: {},
    TokenSettings: {},
}

WRONG = (
    *(
        "x",
        "nan",
        "inf",
        "-1",
        "1e309",
        "9" * 300,
        "9" * 5_000,
        "maybe",
        "No Group",
        "nowhere",
        ":memory:",
    ),
    *("https://hub.example.eu:99999", "https://me:pw@hub.eu", "http://[", "redis:/x", "ftp://x"),
    *("[", "[1, null]", '{"a": 1}', "[" * 100_000, '[{"hostname": []}]', '["10.0.0.0/33"]'),
    *(
        "tt_inv_2_a.b.c.d",
        "tt_edge_2_" + "A" * 5_000,
        "“true”",
        "a\x1b[0m",
        "\udcff",
        "0.0.0.0:99999",
    ),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["hostname", "origin", "proxy_protocol", "tls_mode", "name", "id", "x"])
            | st.just("pq_public_key"),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
).map(json.dumps)

TYPED = (
    st.integers().map(str)
    | st.floats().map(str)
    | st.booleans().map(str)
    | st.ip_addresses().map(str)
    | st.lists(st.text(max_size=6), max_size=3).map(",".join)
    | st.sampled_from(["", " ", "0.0.0.0:443", "[::1]:443", "https://hub.example.eu", "10.0.0.0/8"])
    | st.sampled_from(["postgres", "debug", "json", INVITE, EDGE_INVITE, "a.eu:1,b.eu:2", "0" * 64])
)
# What an environment can hold: anything but zero bytes; what is not UTF-8 comes as surrogates.
TEXT = st.text(st.characters(exclude_characters="\0") | st.just("\udcff"), max_size=40)


def _disguise(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(
        [text, f"\ufeff{text}", f"{text}\r\n", f'"{text}"', f"'{text}'", f"“{text}”", f" {text}\t"]
    )


VALUES = (TEXT | JSON | TYPED | st.sampled_from(WRONG)).flatmap(_disguise)


@dataclass(frozen=True)
class Files:
    """Files that a variable may name by mistake."""

    folder: Path

    def path(self, content: bytes | str) -> str:
        """Return a file with this content, or what a name stands for."""
        if isinstance(content, bytes):
            path = self.folder / "content"
            path.write_bytes(content)
            return str(path)
        if content == "pipe" and not (self.folder / content).exists():
            os.mkfifo(self.folder / content)
        return {"folder": str(self.folder), "zero": "/dev/zero", "pipe": f"{self.folder}/pipe"}.get(
            content, content
        )


CONTENTS: st.SearchStrategy[bytes | str] = st.one_of(
    st.binary(max_size=40),
    VALUES.map(lambda text: text.encode("utf-8", "surrogatepass")),
    VALUES.map(lambda text: text.encode("utf-16", "surrogatepass")),
    st.sampled_from(["/missing/file", "folder", "pipe", SECRET, "x" * 5_000, "/proc/self/mem"]),
)


def names_of(cls: type[Settings]) -> list[str]:
    """Return every variable that a class reads, older names included."""
    return [name for one in variables(cls) for name in (one.name, *one.deprecated)]


def problems_of(cls: type[Settings], environ: Mapping[str, str]) -> list[str]:
    """Return what is wrong with an environment; whatever else loading it raises is a defect."""
    try:
        settings = load(cls, environ)
    except SettingsError as error:
        assert error.problems
        return error.problems
    _use(settings)
    return []


def variable_of(problem: str) -> str:
    """Return the variable that a problem is about."""
    return problem.partition(":")[0].partition("[")[0]


def _use(settings: Settings) -> None:
    """Read what follows from settings, as a program does when it starts."""
    match settings:
        case HubSettings():
            _ = (settings.database, settings.proxies, settings.url, settings.ports_in_use)
        case EdgeSettings():
            _ = (settings.agent_addresses(1), settings.token, settings.proxies, settings.limits)
        case _:
            pass
    assert all(": " in line for line in settings.warnings)
