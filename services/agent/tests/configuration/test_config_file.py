"""Configuration files: TOML and YAML say the same, and what cannot be read says why."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from towonel.agent.configuration.config_file import (
    find_health_address,
    name_setting,
    read_config,
    write_value,
)

TOML = """
group = "home"
workers = 2
services = [{hostname = "a.eu", origin = "127.0.0.1:1"}]
[[tcp_services]]
name = "ssh"
origin = "forgejo:22"
listen_port = 2222
"""
YAML = """
group: home
workers: 2
services: [{hostname: a.eu, origin: "127.0.0.1:1"}]
tcp_services:
  - name: ssh
    origin: forgejo:22
    listen_port: 2222
"""
type Write = Callable[[str, str | bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_both_forms_have_the_same_values(write: Write) -> None:
    values = [
        read_config(write(f"a.{end}", text))
        for end, text in (("toml", TOML), ("YAML", YAML), ("yml", YAML))
    ]

    assert values[0] == values[1] == values[2]
    assert values[0]["tcp_services"] == [
        {"name": "ssh", "origin": "forgejo:22", "listen_port": 2222}
    ]
    assert read_config(write("empty.yaml", "# nothing")) == {}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.json", "{}", "must end in .toml, .yaml, .yml, which says how it is read"),
        ("a", "", "must end in .toml"),
        ("a.toml", "group = ", "is not TOML: "),
        ("a.toml", "group = 'a'\ngroup = 'b'", "is not TOML: "),
        ("a.yaml", "group: [", "is not YAML: "),
        ("a.yaml", "- a", "must have names of settings with values"),
        ("a.yaml", "[" * 5_000, "is nested too deeply"),
        ("a.toml", "a = " + "[" * 5_000, "is nested too deeply"),
        ("a.toml", b"\xff\xfe\xff", "is not text; save it as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    write: Write, name: str, content: str | bytes, problem: str
) -> None:
    path = write(name, content)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 looked at below
        read_config(path)

    assert path in str(caught.value)
    assert problem in str(caught.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"cannot read /nowhere/a\.toml: No such file"):
        read_config("/nowhere/a.toml")


def test_settings_are_called_as_their_variables_are_without_what_all_begin_with() -> None:
    variables = ("TOWONEL_AGENT_TCP_SERVICES", "TOWONEL_INVITE_TOKEN", "TOWONEL_LOG_LEVEL")

    assert [name_setting(each) for each in variables] == [
        "tcp_services",
        "invite_token",
        "log_level",
    ]


def test_values_become_what_a_variable_would_have() -> None:
    values = ("x", 2, 2.5, True, ["a"], [{"b": 1}], None)

    assert [write_value(each) for each in values] == [
        *("x", "2", "2.5", "true", '["a"]', '[{"b": 1}]', None)
    ]


def test_a_health_check_asks_where_the_file_says_unless_the_variable_does(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(text: str, **environ: str) -> object:
        for name in [name for name in os.environ if name.startswith("TOWONEL_")]:
            monkeypatch.delenv(name)
        for name, value in ({"TOWONEL_AGENT_CONFIG": write("a.yaml", text)} | environ).items():
            monkeypatch.setenv(name, value)
        return find_health_address()

    assert found("health_listen_addr: 127.0.0.7:99") == ("127.0.0.7", 99)
    assert found("health_listen_addr: x", TOWONEL_AGENT_HEALTH_LISTEN_ADDR="127.0.0.1:1") is None
    assert found("group: x") is None
    assert found("health_listen_addr: x") is None
    assert found("[") is None
    assert found("health_listen_addr: 127.0.0.7:99", TOWONEL_AGENT_CONFIG="") is None
