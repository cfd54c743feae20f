"""Names of variables that all programs know: none can be taken for another's."""

from towonel.wire.legacy.variables import REPLACED_VARIABLES
from towonel.wire.variables import VARIABLES


def test_names_are_plain_and_none_ends_as_one_of_a_file_does() -> None:
    assert len(VARIABLES) > 50
    assert [name for name in VARIABLES if name.endswith("_FILE") or name != name.upper()] == []


def test_what_is_replaced_is_not_read_and_what_replaces_it_is() -> None:
    named = {
        word.strip(",.;:")
        for advice in REPLACED_VARIABLES.values()
        for word in advice.split()
        if word.startswith("TOWONEL_")
    }

    assert VARIABLES & REPLACED_VARIABLES.keys() == set()
    assert named - VARIABLES == set()
    families = tuple(name for name in REPLACED_VARIABLES if name.endswith("_"))
    assert [name for name in VARIABLES if name.startswith(families)] == []
