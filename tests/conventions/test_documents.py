"""Documents say what the code does."""

from conventions.generated import PROCESSES, documents

from towonel.runtime.settings import variables


def test_generated_parts_of_the_documents_are_up_to_date() -> None:
    """Prevents a table that tells of last month's code: run `make docs`."""
    stale = [path.name for path, wanted in documents().items() if path.read_text() != wanted]

    assert stale == []


def test_every_setting_is_described_and_keeps_the_naming() -> None:
    """Prevents a variable that only its author can use."""
    found = [variable for cls in PROCESSES.values() for variable in variables(cls)]

    assert len(found) > 30
    assert [v.name for v in found if len(v.description) < 20] == []
    # Those of OpenTelemetry are told by its standard.
    assert [v.name for v in found if not v.name.startswith(("TOWONEL_", "OTEL_"))] == []
