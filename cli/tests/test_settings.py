"""Settings of the command: where its own files are, and which variables it knows."""

from pathlib import Path

import pytest

from towonel.cli.settings import CommandSettings, config_folder
from towonel.runtime.settings import SettingsError, load


@pytest.mark.parametrize("given", ["", "relative"])
def test_an_empty_or_relative_folder_of_configuration_is_none(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", given)

    assert config_folder() == Path.home() / ".config" / "towonel"


def test_a_command_names_unknown_variables_and_knows_those_of_all_programs() -> None:
    known = {"TOWONEL_AGENT_GROUP": "x", "TOWONEL_EDGE_LISTEN_ADDR": "x", "TOWONEL_PROFILE": ""}
    with pytest.raises(SettingsError) as caught:
        load(CommandSettings, {**known, "TOWONEL_DATADIR": "/data", "TOWONEL_MAIL_FROM": "a"})

    unknown, replaced = caught.value.problems
    assert unknown == "TOWONEL_DATADIR: unknown variable; did you mean TOWONEL_DATA_DIR?"
    assert replaced.startswith("TOWONEL_MAIL_FROM: is not read; the hub has API keys instead")
