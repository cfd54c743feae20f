"""Stateless reset: tokens that a restart does not change, and datagrams that end with one."""

from towonel.tunnel.quic.stateless_reset import (
    MAX_RESET_BYTES,
    MIN_RESET_BYTES,
    StatelessResetter,
    is_reset,
)

KEY, ID = b"k" * 32, b"connects"
PACKET = bytes([0x40]) + ID + bytes(100)


def test_a_token_is_the_same_after_a_restart_and_another_for_another_id_or_key() -> None:
    token = StatelessResetter(KEY, now=0).make_token(ID)

    assert len(token) == 16
    assert StatelessResetter(KEY, now=100).make_token(ID) == token
    assert StatelessResetter(KEY, now=0).make_token(b"another.") != token
    assert StatelessResetter(b"l" * 32, now=0).make_token(ID) != token


def test_the_answer_looks_like_a_packet_and_is_known_by_its_token() -> None:
    resetter = StatelessResetter(KEY, now=0)
    answer = resetter.answer(PACKET, ID, now=0)

    assert answer
    assert len(answer) == MAX_RESET_BYTES
    assert answer[0] & 0xC0 == 0x40
    assert is_reset(answer, [b"", resetter.make_token(ID)])
    assert not is_reset(answer, [b"", resetter.make_token(b"another.")])
    assert not is_reset(answer[1:], [])


def test_an_answer_is_shorter_than_its_cause_so_that_two_fall_silent() -> None:
    resetter = StatelessResetter(KEY, now=0)
    sizes = []
    data = PACKET
    while answer := resetter.answer(data, data[1:9], now=0):
        data = answer
        sizes.append(len(data))

    assert sizes == list(range(MAX_RESET_BYTES, MIN_RESET_BYTES - 1, -1))


def test_long_packets_get_no_answer_and_so_many_a_second_do() -> None:
    resetter = StatelessResetter(KEY, now=0, per_s=2)

    assert resetter.answer(bytes([0xC0]) + PACKET[1:], ID, now=0) is None
    answers = [resetter.answer(PACKET, ID, now=0) is not None for _ in range(4)]
    assert answers == [True, True, False, False]
    assert resetter.answer(PACKET, ID, now=0.5)


def test_what_is_too_short_or_long_is_no_reset() -> None:
    token = b"t" * 16

    assert is_reset(bytes([0x40, 0, 0, 0, 0]) + token, [token])
    assert not is_reset(bytes([0x40, 0, 0, 0]) + token, [token])
    assert not is_reset(bytes([0xC0, 0, 0, 0, 0]) + token, [token])
