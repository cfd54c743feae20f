"""Health check of `towonel serve` by environment alone: the programs that it asks, and what it leaves to the settings."""

import pytest
from support.ports import free_port

from towonel.cli.serving.health import check_health

TOKEN = "TOWONEL_EDGE_INVITE_TOKEN"


def check(monkeypatch: pytest.MonkeyPatch, **environ: str) -> int | None:
    for program in ("HUB", "EDGE"):
        monkeypatch.setenv(f"TOWONEL_{program}_HEALTH_LISTEN_ADDR", f"127.0.0.1:{free_port()}")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return check_health()


@pytest.mark.parametrize(
    ("environ", "programs"),
    [
        ({}, ["hub", "edge"]),
        ({"TOWONEL_HUB_ENABLED": "false"}, ["edge"]),
        ({"TOWONEL_EDGE_ENABLED": "False"}, ["hub"]),
        ({TOKEN: "tt_edge_2_x", "TOWONEL_HUB_ENABLED": "true"}, ["hub", "edge"]),
    ],
)
def test_each_program_that_is_started_is_asked(
    environ: dict[str, str],
    programs: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = check(monkeypatch, **environ)
    asked = [
        line.partition(": nothing answers")[0] for line in capsys.readouterr().out.splitlines()
    ]

    assert (code, asked) == (1, programs)


def test_a_token_alone_makes_it_an_edge_of_another_hub(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOWONEL_EDGE_HEALTH_LISTEN_ADDR", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv(TOKEN, "tt_edge_2_x")

    assert check_health() == 1
    assert capsys.readouterr().out.startswith("edge: nothing answers")


@pytest.mark.parametrize(
    "environ",
    [
        {"TOWONEL_HUB_ENABLED": "no"},
        {"TOWONEL_EDGE_ENABLED_FILE": "/enabled"},
        {"TOWONEL_HUB_ENABLED": "false", "TOWONEL_EDGE_ENABLED": "false"},
        {"TOWONEL_EDGE_HEALTH_LISTEN_ADDR": "here"},
    ],
)
def test_what_takes_settings_is_left_to_them(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(monkeypatch, **environ) is None
    assert capsys.readouterr().out == ""
