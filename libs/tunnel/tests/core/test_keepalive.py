"""Keepalive: pings of a connection that is only kept, and of one on which somebody waits."""

from towonel.tunnel.core.failure_detector import FailureDetector
from towonel.tunnel.core.keepalive import Action, Keepalive
from towonel.tunnel.core.timing import Timing

TIMING = Timing(probe_s=2, dead_s=6)


class Peer:
    """Connection whose last packet came at 100 s."""

    def __init__(self) -> None:
        self.detector = FailureDetector()
        self.keepalive = Keepalive(self.detector, 10, TIMING, now=100)
        self.last_received_at = 100.0

    def check(self, now: float, *, has_streams: bool) -> Action:
        action = self.keepalive.check(now, self.last_received_at, has_streams=has_streams)
        if action is Action.PING:
            self.detector.record_ping(now)
        return action

    def run(self, until: float, *, has_streams: bool) -> list[tuple[float, Action]]:
        """What is done at the times that the checks ask for."""
        done: list[tuple[float, Action]] = []
        while (now := self.keepalive.next_at) <= until:
            action = self.check(now, has_streams=has_streams)
            if action is not Action.NONE:
                done.append((now, action))
            if action is Action.GIVE_UP:
                break
        return done


def test_without_streams_a_quiet_peer_is_pinged_and_never_given_up() -> None:
    assert Peer().run(200, has_streams=False) == [(110, Action.PING)]


def test_a_peer_that_sends_is_not_pinged() -> None:
    peer = Peer()
    peer.last_received_at = 107

    assert peer.check(110, has_streams=False) is Action.NONE
    assert peer.keepalive.next_at == 117


def test_with_streams_a_peer_without_an_answer_is_given_up_after_six_to_eight_seconds() -> None:
    peer = Peer()

    assert peer.keepalive.hasten(100)
    assert not peer.keepalive.hasten(100)
    assert peer.run(200, has_streams=True) == [(102, Action.PING), (108, Action.GIVE_UP)]


def test_a_peer_that_answers_each_ping_is_kept_with_its_streams() -> None:
    peer = Peer()
    peer.keepalive.hasten(100)
    for due in (102, 104, 106):
        assert peer.run(due, has_streams=True) == [(due, Action.PING)]
        peer.last_received_at = due
    assert peer.check(106.5, has_streams=True) is Action.NONE
    assert peer.keepalive.next_at == 108


def test_a_process_that_was_held_up_gives_its_peer_another_chance() -> None:
    peer = Peer()
    peer.keepalive.hasten(100)
    peer.check(102, has_streams=True)

    assert peer.check(300, has_streams=True) is Action.NONE
    assert peer.run(400, has_streams=True) == [(306, Action.GIVE_UP)]
