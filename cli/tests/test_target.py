from pathlib import Path

import pytest

from towonel.cli.errors import UsageError
from towonel.cli.settings import CommandSettings
from towonel.cli.target import Target, explain_denial, resolve_target
from towonel.runtime.addresses import loopback_url
from towonel.runtime.settings import SettingsError, load
from towonel.wire.errors import Code, Denied

SECRET = "bad key with spaces"


def decide(
    environ: dict[str, str], hub_url: str | None = None, api_key: str | None = None
) -> Target:
    return resolve_target(load(CommandSettings, environ), hub_url, api_key, needs_key=True)


def key_of(target: Target) -> str:
    assert target.operator_key is not None
    return target.operator_key.get_secret_value()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "operator.key"
    path.write_text("from-file\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("flag", "environ", "url"),
    [
        ("https://a.eu", {"TOWONEL_HUB_URL": "https://b.eu"}, "https://a.eu"),
        (None, {"TOWONEL_HUB_URL": "https://b.eu"}, "https://b.eu"),
        (None, {"TOWONEL_HUB_LISTEN_ADDR": "0.0.0.0:9999"}, "http://127.0.0.1:9999"),
        (None, {"TOWONEL_HUB_URL": ""}, "http://127.0.0.1:8443"),
        (None, {}, "http://127.0.0.1:8443"),
    ],
)
def test_the_hub_is_the_flags_then_the_environments_then_this_machines(
    flag: str | None, environ: dict[str, str], url: str
) -> None:
    assert decide(environ | {"TOWONEL_OPERATOR_KEY": "k"}, flag).hub_url == url


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (("0.0.0.0", 1), "http://127.0.0.1:1"),  # noqa: S104 a wildcard is what this is about
        (("::", 1), "http://[::1]:1"),
        (("127.0.0.2", 1), "http://127.0.0.2:1"),
        (("fd00::1", 1), "http://[fd00::1]:1"),
    ],
)
def test_a_hub_of_this_machine_is_found_where_it_listens(
    address: tuple[str, int], url: str
) -> None:
    assert loopback_url(address) == url


def test_the_key_is_the_flags_then_the_environments_then_the_files(key_file: Path) -> None:
    environ = {"TOWONEL_DATA_DIR": str(key_file.parent)}

    assert key_of(decide(environ | {"TOWONEL_OPERATOR_KEY": "env"}, api_key="flag")) == "flag"
    assert key_of(decide(environ | {"TOWONEL_OPERATOR_KEY": " env\n"})) == "env"
    assert key_of(decide(environ | {"TOWONEL_OPERATOR_KEY_FILE": str(key_file)})) == "from-file"
    assert key_of(decide(environ | {"TOWONEL_OPERATOR_KEY": ""})) == "from-file"


def test_where_a_key_is_from_is_told_if_the_hub_refuses_it_and_only_then(key_file: Path) -> None:
    environ = {"TOWONEL_DATA_DIR": str(key_file.parent)}
    refused, other = Denied(Code.UNAUTHORIZED, "wrong"), Denied(Code.NOT_FOUND, "no such invite")
    sources = [
        decide(environ, api_key="flag").key_source,
        decide(environ | {"TOWONEL_OPERATOR_KEY": "env"}).key_source,
        decide(environ).key_source,
    ]

    nothing = load(CommandSettings, {"TOWONEL_DATA_DIR": "/nowhere"})

    assert sources == ["--api-key", "TOWONEL_OPERATOR_KEY", str(key_file)]
    assert resolve_target(nothing, None, None, needs_key=False).key_source == ""
    assert explain_denial(refused, sources[0]).detail.startswith(
        "wrong (the key is from --api-key)"
    )
    assert explain_denial(other, sources[0]) is other
    assert explain_denial(refused, "") is refused


def test_an_explicit_key_path_comes_before_the_data_folder(key_file: Path) -> None:
    other = key_file.with_name("other.key")
    key_file.rename(other)
    environ = {"TOWONEL_DATA_DIR": "/nowhere", "TOWONEL_HUB_OPERATOR_API_KEY_PATH": str(other)}

    assert key_of(decide(environ)) == "from-file"


def test_without_any_key_the_ways_to_give_one_are_named() -> None:
    with pytest.raises(SettingsError, match="TOWONEL_OPERATOR_KEY_FILE") as caught:
        decide({"TOWONEL_DATA_DIR": "/nowhere"})

    assert "/nowhere/operator.key" in str(caught.value)


def test_where_a_key_is_optional_none_is_fine_but_a_broken_one_is_not(key_file: Path) -> None:
    lacking = load(CommandSettings, {"TOWONEL_DATA_DIR": "/nowhere"})
    broken = load(CommandSettings, {"TOWONEL_DATA_DIR": str(key_file.parent)})
    key_file.chmod(0o644)

    assert resolve_target(lacking, None, None, needs_key=False).operator_key is None
    with pytest.raises(SettingsError, match="chmod 600"):
        resolve_target(broken, None, None, needs_key=False)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"two words", b""])
def test_a_file_without_a_key_is_refused(key_file: Path, content: bytes) -> None:
    key_file.write_bytes(content)

    with pytest.raises(SettingsError, match="key"):
        decide({"TOWONEL_DATA_DIR": str(key_file.parent)})


@pytest.mark.parametrize(
    ("environ", "flag", "name"),
    [({"TOWONEL_OPERATOR_KEY": SECRET}, None, "TOWONEL_OPERATOR_KEY"), ({}, SECRET, "--api-key")],
)
def test_a_key_that_is_none_is_named_but_never_shown(
    environ: dict[str, str], flag: str | None, name: str
) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        decide(environ, api_key=flag)

    assert SECRET not in str(caught.value)


def test_a_wrong_url_is_a_usage_error_from_a_flag_and_a_setting_from_the_environment() -> None:
    key = {"TOWONEL_OPERATOR_KEY": "k"}

    with pytest.raises(UsageError, match="--hub-url"):
        decide(key, "http://hub.example.eu")
    with pytest.raises(SettingsError, match="TOWONEL_HUB_URL"):
        decide(key | {"TOWONEL_HUB_URL": "http://hub.example.eu"})
    assert decide(
        key | {"TOWONEL_HUB_URL": "http://h.eu", "TOWONEL_ALLOW_INSECURE_HUB": "true"}
    ).hub_url


def test_a_target_does_not_show_its_key() -> None:
    assert "hidden" not in repr(decide({"TOWONEL_OPERATOR_KEY": "hidden"}))
