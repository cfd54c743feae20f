"""Renewal information: asked for in time, and an authority without an answer costs nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from towonel.edge.certificates.acme.authority import OrderError, Suggestion
from towonel.edge.certificates.acme.client import make_identifier
from towonel.edge.certificates.acme.renewals import AFTER_FAILURE_S, Renewals
from towonel.edge.certificates.certificate import Certificate
from towonel.edge.core.certificates.issuance import Window
from towonel.wire.names import Hostname

NOW = datetime(2026, 11, 1, tzinfo=UTC)
WINDOW = Window(NOW, NOW + timedelta(days=2))


def make_certificate(name: str, pem: bytes = b"first") -> Certificate:
    return Certificate(Hostname(name), pem, NOW, NOW + timedelta(days=90), "test", True, "01")


class Authority:
    """Authority that answers about renewals, or does not."""

    def __init__(self, *certificates: Certificate) -> None:
        self.certificates = list(certificates)
        self.answer: Suggestion | None = Suggestion(WINDOW, 100.0)
        self.asked: list[bytes] = []
        self.now_s = 1000.0
        self.renewals = Renewals(self.suggest, self.find, lambda: self.now_s)

    def suggest(self, pem: bytes) -> Suggestion:
        self.asked.append(pem)
        if self.answer is None:
            raise OrderError("no answer")
        return self.answer

    def find(self) -> Iterator[Certificate]:
        yield from self.certificates


async def test_an_authority_is_asked_again_when_it_says() -> None:
    certificate = make_certificate("a.eu")
    authority = Authority(certificate)
    before = authority.renewals.find_window(certificate)
    for _ in range(2):
        await authority.renewals.ask()
    authority.now_s += 101
    await authority.renewals.ask()

    assert before is None
    assert authority.renewals.find_window(certificate) == WINDOW
    assert len(authority.asked) == 2


async def test_a_new_certificate_is_asked_for_anew_and_has_no_window_until_then() -> None:
    authority = Authority(make_certificate("a.eu"))
    await authority.renewals.ask()
    renewed = make_certificate("a.eu", b"second")
    authority.certificates = [renewed]
    before = authority.renewals.find_window(renewed)
    await authority.renewals.ask()

    assert before is None
    assert authority.asked == [b"first", b"second"]
    assert authority.renewals.find_window(renewed) == WINDOW


async def test_what_does_not_answer_is_asked_once_a_round_and_its_last_word_counts() -> None:
    first, second = make_certificate("a.eu"), make_certificate("b.eu", b"second")
    authority = Authority(first)
    await authority.renewals.ask()
    authority.answer, authority.certificates = None, [second, first]
    authority.now_s += 101
    for _ in range(3):
        await authority.renewals.ask()
    asked = len(authority.asked)
    authority.now_s += AFTER_FAILURE_S
    await authority.renewals.ask()

    assert asked == 3
    assert len(authority.asked) == 4
    assert authority.renewals.find_window(first) == WINDOW
    assert authority.renewals.find_window(second) is None


def test_the_identifier_is_that_of_the_specification() -> None:
    """Source: RFC 9773 §4.1."""
    key = bytes.fromhex("69885b6b87464041e1b37b847ba0ae2cde01c8d4")

    assert make_identifier(key, 0x87654321) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
    assert make_identifier(key, 0x127F).endswith(".En8")
