"""Commands of README and of the pages about moving are run by a test, as they stand."""

import re

import pytest
from support.documents import MARKED, README, ROOT, RUNNERS, blocks

# Files and output, which nobody runs.
OTHER_LANGUAGES = {"", "json", "yaml", "toml", "text"}
COMMANDS = re.compile(
    r"^(\w+=\S+ +)*(docker|helm|kubectl|towonel[\w-]*|curl|make|git|export|cd|uv) ", re.MULTILINE
)
ALL = [block for document in MARKED for block in blocks(document)]


def test_every_block_of_commands_belongs_to_one_story_that_a_test_runs() -> None:
    """Prevents a command that nobody has tried: a new block names its story, or this fails."""
    unclaimed = [
        block.where
        for block in ALL
        if (block.language not in OTHER_LANGUAGES or COMMANDS.search(block.text))
        and not (block.language == "sh" and block.story in RUNNERS and block.machine)
    ]

    assert len(ALL) > 10
    assert unclaimed == []


@pytest.mark.parametrize("name", RUNNERS)
def test_every_story_has_a_runner_and_is_told_in_a_document(name: str) -> None:
    """Prevents a story whose test was moved, or one that is not in the documents any more."""
    runner = ROOT / RUNNERS[name]

    assert any(block.story == name for block in ALL)
    assert f'"{name}"' in runner.read_text()


def test_links_of_the_documents_lead_to_files_and_headings_that_there_are() -> None:
    """Prevents a newcomer's first click from ending on nothing."""
    broken = [
        f"{document.name}: {target}"
        for document in MARKED
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", document.read_text())
        for path, _, heading in [target.partition("#")]
        for there in [(document.parent / path) if path else document]
        if not there.exists() or (heading and heading not in headings(there.read_text()))
    ]

    assert README in MARKED
    assert broken == []


def headings(text: str) -> set[str]:
    """Return the anchors that GitHub makes of headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}
