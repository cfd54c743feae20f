"""Addresses of an origin: how long they are used, and when they are asked for."""

from towonel.agent.core.origin_addresses import OriginAddresses

ONE, TWO = (("192.0.2.1", 1),), (("192.0.2.2", 1),)


def test_an_address_needs_no_look_up() -> None:
    addresses = OriginAddresses(ONE)

    assert addresses.are_fresh(10**9)
    assert not addresses.is_to_ask(10**9)
    assert not addresses.are_doubtful(10**9)
    assert not addresses.is_to_ask_again(10**9)


def test_a_name_is_asked_for_before_the_first_use_and_once_at_a_time() -> None:
    addresses = OriginAddresses(None)

    assert not addresses.are_fresh(100)
    assert addresses.is_to_ask(100)
    assert not addresses.is_to_ask(101)
    assert not addresses.is_to_ask_again(101)
    addresses.learn(ONE, 102)
    assert (addresses.known, addresses.are_fresh(102)) == (ONE, True)


def test_an_answer_is_used_for_five_seconds_and_asked_for_again_before_they_are_over() -> None:
    addresses = OriginAddresses(None)
    addresses.learn(ONE, 100)

    assert not addresses.is_to_ask(102.4)
    assert addresses.is_to_ask(102.5)
    assert addresses.are_fresh(104.9)
    assert not addresses.are_fresh(105)
    addresses.learn(TWO, 105)
    assert addresses.are_fresh(106)
    assert not addresses.is_to_ask(107.4)


def test_addresses_at_which_nothing_answers_are_asked_for_again_but_not_at_once() -> None:
    addresses = OriginAddresses(None)
    addresses.learn(ONE, 100)

    assert not addresses.are_doubtful(100.9)
    assert not addresses.is_to_ask_again(100.9)
    assert addresses.are_doubtful(101)
    assert addresses.is_to_ask_again(101)
    assert not addresses.is_to_ask_again(101), "it is asked for"
