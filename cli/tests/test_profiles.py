"""Logins: what is kept where, and which hub gets which key."""

import json
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.commands import CommandedHub, towonel
from typer.testing import Result

from towonel.cli.errors import UsageError
from towonel.cli.logins import MAX_PROFILES, Profile, Profiles


@dataclass(frozen=True)
class Person:
    """Somebody who works on a machine where no hub runs."""

    hub: CommandedHub
    home: Path

    @property
    def file(self) -> Path:
        return self.home / "towonel" / "profiles.json"

    def run(self, *arguments: str, stdin: str | None = None, **environ: str) -> Result:
        apart = {"XDG_CONFIG_HOME": str(self.home), "TOWONEL_DATA_DIR": str(self.home)}
        return towonel(*arguments, stdin=stdin, **(apart | environ))

    def login(self, *arguments: str, key: str | None = None) -> Result:
        text = self.hub.key if key is None else key
        return self.run("login", self.hub.url, "--key-file", "-", *arguments, stdin=text)


@pytest.fixture
def person(hub: CommandedHub, tmp_path: Path) -> Person:
    return Person(hub, tmp_path)


def test_a_login_is_checked_and_kept_for_its_owner_only(person: Person) -> None:
    said = person.login()

    assert said.exit_code == 0, said.output
    assert said.stdout == f"logged in to {person.hub.url} as operator, role admin\n"
    assert stat.S_IMODE(person.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(person.file.parent.stat().st_mode) == 0o700
    assert person.run("invite", "list").exit_code == 0


def test_a_login_that_the_hub_refuses_is_not_kept(person: Person) -> None:
    said = person.login(key="wrong")

    assert said.exit_code == 1
    assert said.stderr.startswith(
        "towonel: unauthorized: the operator key is wrong (the key is from "
    )
    assert "`towonel key create`" in said.stderr
    assert not person.file.exists()


@pytest.mark.parametrize(
    ("arguments", "stdin", "exit_code"),
    [
        (("http://hub.example.eu",), "k", 2),
        (("nonsense",), "k", 2),
        (("http://127.0.0.1:1", "--profile", "a/b"), "k", 2),
        (("http://127.0.0.1:1", "--key-file", "/nowhere"), "k", 2),
        (("http://127.0.0.1:1",), "", 2),
        (("http://127.0.0.1:1",), "two words", 78),
        (("http://127.0.0.1:1",), "k", 75),
    ],
)
def test_a_login_that_cannot_be_is_told_and_not_kept(
    person: Person, arguments: tuple[str, ...], stdin: str, exit_code: int
) -> None:
    said = person.run("login", *arguments, stdin=stdin)

    assert said.exit_code == exit_code
    assert said.stderr.count("\n") == 1
    assert not person.file.exists()


def test_profiles_are_listed_without_their_keys_used_and_forgotten(person: Person) -> None:
    person.login("--profile", "one")
    person.login("--profile", "two")
    used = person.run("profile", "use", "one")
    listed = person.run("profile", "list")
    out = person.run("logout")
    left = json.loads(person.run("profile", "list", "--json").stdout)

    assert used.stdout == "using one\n"
    assert [line.split() for line in listed.stdout.splitlines()[1:]] == [
        ["*", "one", person.hub.url],
        ["two", person.hub.url],
    ]
    assert person.hub.key not in listed.stdout
    assert out.stdout == "logged out of one\n"
    assert left == {"current": "two", "profiles": [{"name": "two", "hub_url": person.hub.url}]}


def test_an_unknown_profile_is_told_with_those_there_are(person: Person) -> None:
    person.login("--profile", "one")
    for said in (
        person.run("whoami", "--profile", "two"),
        person.run("whoami", TOWONEL_PROFILE="two"),
        person.run("profile", "use", "two"),
        person.run("logout", "--profile", "two"),
    ):
        assert said.exit_code == 2
        assert said.stderr == "towonel: usage: --profile: there is no 'two'; there is: one\n"


def test_who_is_not_logged_in_cannot_log_out(person: Person) -> None:
    assert person.run("logout").exit_code == 2


def test_a_key_goes_to_no_other_hub_than_its_own(person: Person) -> None:
    person.login("--profile", "one")
    elsewhere = person.run("whoami", "--hub-url", "http://127.0.0.1:1")
    by_environment = person.run("whoami", TOWONEL_HUB_URL="http://127.0.0.1:1")
    by_name = person.run("whoami", "--profile", "one", "--hub-url", "http://127.0.0.1:1")

    assert elsewhere.exit_code == by_environment.exit_code == 78
    assert "no operator key" in elsewhere.stderr
    assert by_name.exit_code == 2
    assert f"one is a login of {person.hub.url}" in by_name.stderr


def test_the_environment_comes_before_a_login_and_flags_before_both(person: Person) -> None:
    person.login()
    by_environment = person.run("whoami", TOWONEL_OPERATOR_KEY="wrong")
    by_flag = person.run("whoami", "--api-key", person.hub.key, TOWONEL_OPERATOR_KEY="wrong")

    assert by_environment.exit_code == 1
    assert by_flag.exit_code == 0
    assert by_flag.stdout.splitlines()[1:3] == ["you        operator", "role       admin"]


@pytest.mark.parametrize("content", ["", "{", '{"profiles": {"a": {"hub_url": "x"}}}', "[]"])
def test_a_broken_file_stops_with_its_name_and_without_what_it_holds(
    person: Person, content: str
) -> None:
    person.file.parent.mkdir()
    person.file.write_text(content)
    person.file.chmod(0o600)
    said = person.run("whoami")

    assert said.exit_code == 78
    assert f"{person.file}: is broken" in said.stderr


def test_a_file_that_others_may_read_is_refused(person: Person) -> None:
    person.login()
    person.file.chmod(0o644)
    said = person.run("whoami")

    assert said.exit_code == 78
    assert f"chmod 600 {person.file}" in said.stderr


def test_an_address_that_was_broken_by_hand_is_blamed_on_the_file(person: Person) -> None:
    person.login()
    person.file.write_text(person.file.read_text().replace(person.hub.url, "http://hub.example.eu"))
    said = person.run("whoami")

    assert said.exit_code == 78
    assert f"{person.file}: the hub's URL must start with https://" in said.stderr


def test_there_are_only_so_many() -> None:
    retained = Profiles()
    profile = Profile.model_validate({"hub_url": "https://hub.example.eu", "key": "secret"})
    for number in range(MAX_PROFILES):
        retained.add(str(number), profile)

    with pytest.raises(UsageError, match="log out of one"):
        retained.add("more", profile)
    retained.add("0", profile)
    assert retained.current == "0"
    assert "secret" not in repr(retained)
