"""Settings: every mistake at once, and no secret in any of them."""

import json
from pathlib import Path
from typing import ClassVar

import pytest
import structlog
from pydantic import AliasChoices, Field, SecretStr

from towonel.runtime.environment.rules import MAX_ITEMS_NAMED
from towonel.runtime.settings import (
    CsvList,
    HostPort,
    Settings,
    SettingsError,
    load,
    load_partly,
    log_warnings,
    variables,
)


class Example(Settings):
    prefixes: ClassVar[tuple[str, ...]] = ("EXAMPLE_",)
    port: int = Field(default=80, ge=1, validation_alias="EXAMPLE_PORT", description="Where.")
    key: SecretStr = Field(validation_alias="EXAMPLE_KEY", description="A secret.")
    names: CsvList = Field(default=(), validation_alias="EXAMPLE_NAMES", description="Names.")
    listen: HostPort = Field(
        default=("127.0.0.1", 1),
        validation_alias=AliasChoices("EXAMPLE_LISTEN", "EXAMPLE_BIND"),
        description="Address.",
    )


GOOD = {"EXAMPLE_KEY": "sesame", "OTHER": "1"}


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(Example, environ)
    return caught.value.problems


def test_what_is_given_is_read_and_the_rest_has_its_default() -> None:
    settings = load(Example, {**GOOD, "EXAMPLE_NAMES": " a, b,,", "EXAMPLE_LISTEN": "[::1]:443"})

    assert settings.names == ("a", "b")
    assert settings.listen == ("::1", 443)
    assert settings.port == 80
    assert settings.key.get_secret_value() == "sesame"


def test_an_older_name_still_works_and_the_newer_wins() -> None:
    old = {**GOOD, "EXAMPLE_BIND": "a:1"}

    assert load(Example, old).listen == ("a", 1)
    assert load(Example, {**old, "EXAMPLE_LISTEN": "b:2"}).listen == ("b", 2)


def test_an_older_name_is_deprecated_and_an_empty_file_questioned(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    environ = {**GOOD, "EXAMPLE_BIND": "a:1", "EXAMPLE_NAMES_FILE": str(tmp_path / "empty")}
    settings = load(Example, environ)
    with structlog.testing.capture_logs() as logged:
        log_warnings(settings)

    assert settings.warnings == (
        f"EXAMPLE_NAMES_FILE: {tmp_path}/empty is empty, which counts as not set",
        "EXAMPLE_BIND: deprecated; use EXAMPLE_LISTEN",
    )
    assert logged[1] == {
        "event": "setting.questioned",
        "log_level": "warning",
        "variable": "EXAMPLE_BIND",
        "reason": "deprecated; use EXAMPLE_LISTEN",
    }


def test_an_empty_file_of_what_must_be_set_is_the_mistake(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    assert problems({"EXAMPLE_KEY_FILE": str(tmp_path / "empty")}) == [
        f"EXAMPLE_KEY_FILE: {tmp_path}/empty is empty, which counts as not set"
    ]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PORT", "x", "must be a whole number, at least 1"),
        (
            "PORT",
            "“1”",
            "must be a whole number, at least 1 (it has a typographic quote (U+201C) at",
        ),
        ("NAMES", '["a"', "is not JSON"),
        ("LISTEN", "a" * 64 + ":1", "the host must be a name or an IP address"),
        ("LISTEN", "a:" + "1" * 5_000, "the port must be at most 65535, as in 127.0.0.1:1"),
        ("LISTEN", "a", "must be host:port, as in 127.0.0.1:1"),  # the default
        ("LISTEN", "::1:1", "an IPv6 address needs brackets, as in [::1]:443"),
    ],
)
def test_a_rule_is_in_words_with_what_may_have_gone_wrong(name: str, value: str, line: str) -> None:
    (problem,) = problems({**GOOD, f"EXAMPLE_{name}": value})

    assert problem.startswith(f"EXAMPLE_{name}: {line}")


def test_a_choice_names_what_there_is() -> None:
    assert problems({**GOOD, "TOWONEL_LOG_LEVEL": "loud"}) == [
        "TOWONEL_LOG_LEVEL: must be debug, info, warning or error"
    ]


def test_of_a_thousand_mistakes_in_one_list_some_are_named_and_the_rest_counted() -> None:
    found = problems({**GOOD, "EXAMPLE_NAMES": json.dumps([None] * 1_000)})

    assert len(found) == MAX_ITEMS_NAMED + 1
    assert found[-1] == f"EXAMPLE_NAMES: has {1_000 - MAX_ITEMS_NAMED} more mistakes"


def test_every_mistake_is_named_at_once() -> None:
    found = problems({"EXAMPLE_PORT": "0", "EXAMPLE_LISTEN": "nowhere", "EXAMPLE_PROT": "1"})

    assert [line.partition(":")[0] for line in found] == [
        "EXAMPLE_PROT",
        "EXAMPLE_PORT",
        "EXAMPLE_KEY",
        "EXAMPLE_LISTEN",
    ]
    assert "did you mean EXAMPLE_PORT?" in found[0]
    assert found[2].startswith("EXAMPLE_KEY: must be set, or EXAMPLE_KEY_FILE. ")
    assert "host:port" in found[3]


def test_an_unknown_variable_with_our_prefix_is_refused_and_others_are_ignored() -> None:
    assert "remove it" in problems({**GOOD, "EXAMPLE_ZZZZZZ": "1"})[0]
    assert load(Example, {**GOOD, "UNRELATED_PORT": "1"}).port == 80


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("port", "listen")}
    files["port"].write_text("many")
    files["listen"].write_text("a\1b:1")
    environ = {f"EXAMPLE_{name.upper()}_FILE": str(path) for name, path in files.items()}

    assert sorted(problems({**GOOD, "EXAMPLE_LISTEN": "", **environ})) == [
        (
            "EXAMPLE_LISTEN: has a control character (U+0001) at character 2; remove it"
            f" (in {files['listen']}, which EXAMPLE_LISTEN_FILE names)"
        ),
        (
            f"EXAMPLE_PORT: must be a whole number, at least 1 (in {files['port']}, which"
            " EXAMPLE_PORT_FILE names)"
        ),
    ]


def test_a_value_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sesame\n")

    settings = load(Example, {"EXAMPLE_KEY_FILE": str(tmp_path / "key")})

    assert settings.key.get_secret_value() == "sesame"


def test_a_file_and_a_value_or_a_missing_file_are_mistakes(tmp_path: Path) -> None:
    missing = problems({"EXAMPLE_KEY_FILE": str(tmp_path / "none")})
    (tmp_path / "binary").write_bytes(b"\xff\x00")

    assert missing[0].startswith("EXAMPLE_KEY_FILE: cannot read")
    assert "not both" in problems({**GOOD, "EXAMPLE_KEY_FILE": "/x"})[0]
    assert "not text" in problems({"EXAMPLE_KEY_FILE": str(tmp_path / "binary")})[0]


def test_a_mistake_never_shows_the_value() -> None:
    found = problems(
        {"EXAMPLE_KEY": "sesame", "EXAMPLE_PORT": "sesame", "EXAMPLE_LISTEN": "sesame"}
    )

    assert not any("sesame" in line for line in found)


def test_settings_cannot_be_changed_and_hide_their_secrets() -> None:
    settings = load(Example, GOOD)

    assert "sesame" not in repr(settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_the_environment_is_read_where_nothing_is_handed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EXAMPLE_KEY", "sesame")
    monkeypatch.setenv("EXAMPLE_PORT", "81")

    assert load(Example).port == 81


def test_what_is_right_is_read_beside_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"EXAMPLE_PORT": "x", "EXAMPLE_PORTS": "1", "EXAMPLE_NAMES_FILE": "/nowhere"}
    for name, value in {"EXAMPLE_KEY": "sesame", "EXAMPLE_LISTEN": "b:2", **wrong}.items():
        monkeypatch.setenv(name, value)
    settings, found = load_partly(Example)

    assert (settings.port, settings.listen, settings.names) == (80, ("b", 2), ())
    assert {line.partition(":")[0] for line in found} == set(wrong)


def test_what_must_be_set_is_asked_for_even_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_PORT", "x")
    with pytest.raises(SettingsError, match="EXAMPLE_KEY: must be set"):
        load_partly(Example)


def test_a_set_of_texts_is_shown_as_a_list_and_nothing_where_it_is_empty() -> None:
    class Sets(Settings):
        """Settings with sets."""

        prefixes: ClassVar[tuple[str, ...]] = ("EXAMPLE_",)
        none: frozenset[str] = Field(
            default=frozenset(), validation_alias="EXAMPLE_NONE", description="None."
        )
        some: frozenset[str] = Field(
            default=frozenset({"b", "a"}), validation_alias="EXAMPLE_SOME", description="Some."
        )

    found = {variable.name: variable.default for variable in variables(Sets)}

    assert (found["EXAMPLE_NONE"], found["EXAMPLE_SOME"]) == ("", "a,b")


def test_variables_lists_every_setting() -> None:
    found = {variable.name: variable for variable in variables(Example)}

    assert found["EXAMPLE_KEY"].is_secret
    assert found["EXAMPLE_KEY"].default == "required"
    assert found["EXAMPLE_LISTEN"].default == "127.0.0.1:1"
    assert found["EXAMPLE_LISTEN"].deprecated == ("EXAMPLE_BIND",)
    assert found["EXAMPLE_NAMES"].default == ""
    assert found["TOWONEL_LOG_LEVEL"].default == "info"
