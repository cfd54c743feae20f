"""Structured logging: one JSON line an event, and never a secret."""

import json
import logging

import pytest
import structlog

from towonel.runtime import logs


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_line_with_its_keys_and_the_service(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", "json", "example")
    structlog.get_logger().info("thing.happened", count=2)
    structlog.get_logger().debug("thing.hidden")

    (line,) = lines(capsys)
    assert line["event"] == "thing.happened"
    assert (line["count"], line["service"], line["level"]) == (2, "example", "info")
    assert str(line["timestamp"]).endswith("Z")


def test_secrets_are_hidden_by_their_key_and_by_their_mark(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", "json", "example", redact=("tok_",))
    structlog.get_logger().info("thing.failed", token="abc", detail="bad tok_abc", other="fine")

    (line,) = lines(capsys)
    assert line["token"] == line["detail"] == "[hidden]"
    assert line["other"] == "fine"


def test_a_trace_that_contains_a_secret_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json", "example", redact=("tok_",))
    try:
        int("tok_abc")
    except ValueError:
        structlog.get_logger().exception("thing.crashed")

    assert "tok_abc" not in capsys.readouterr().err


def test_people_get_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "console", "example")
    structlog.get_logger().info("thing.happened")

    assert "thing.happened" in capsys.readouterr().err


def test_people_get_a_trace_as_python_writes_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "console", "example")
    a_local = "hidden"
    try:
        int(f"{a_local} no number")
    except ValueError:
        structlog.get_logger().exception("thing.crashed")

    written = capsys.readouterr().err
    assert 'int(f"{a_local} no number")' in written
    assert "a_local = " not in written


def test_what_a_library_logs_is_an_event_of_the_same_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", "json", "example", redact=("tok_",))
    library = logging.getLogger("asyncio")
    library.warning("slow %s\nand more", "callback")
    library.info("not of interest")
    try:
        int("x")
    except ValueError:
        library.exception("with tok_abc")
    library.error("wrong %d", "no number")

    written = capsys.readouterr().err.splitlines()
    slow, failed = (json.loads(line) for line in written[:2])
    assert (slow["event"], slow["level"]) == ("library.logged", "warning")
    assert (slow["logger"], slow["detail"]) == ("asyncio", "slow callback\nand more")
    assert slow["service"] == "example"
    assert failed["detail"] == "[hidden]"
    assert "ValueError" in failed["exception"]


def test_control_characters_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "console", "example")
    structlog.get_logger().info("thing.refused", path="/\x1b]0;mine\x07\u202e\x9b2J")

    written = capsys.readouterr().err
    assert r"/\x1b]0;mine\x07\u202e\x9b2J" in written
    assert "\x1b]" not in written


def test_an_error_without_a_text_is_described_by_its_kind() -> None:
    described = [
        logs.describe_error(error) for error in (TimeoutError(), OSError(2, "gone"), OSError(" "))
    ]

    assert described == ["TimeoutError", "[Errno 2] gone", "OSError"]
