"""Handlers of SIGINT: who ends, who raises, and who is left alone."""

import signal
from collections.abc import Iterator

import pytest

from towonel.runtime.interrupts import end_at_interrupt, raise_at_interrupt


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_command_that_catches_interrupts_has_them_raised_again() -> None:
    end_at_interrupt()
    raise_at_interrupt()

    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_ignored_interrupt_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_at_interrupt()
    raise_at_interrupt()

    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
