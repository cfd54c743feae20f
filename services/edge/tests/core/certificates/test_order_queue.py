"""Queue of orders: clients do not wait behind names that nobody waits for."""

from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.certificates.order_queue import OrderQueue


def queue_of(places: int = 3, reserved: int = 1, capacity: int = 4) -> OrderQueue[str, str]:
    return OrderQueue(places, reserved, capacity)


def take_all(queue: OrderQueue[str, str]) -> list[str]:
    taken: list[str] = []
    while (key := queue.take()) is not None:
        taken.append(key)
    return taken


def test_names_that_clients_wait_for_go_before_others() -> None:
    queue = queue_of(places=4)
    for key in ("a", "b"):
        queue.add_eager(key, "us")
    for key in ("c", "d"):
        queue.add_waited_for(key, "us")

    assert len(queue) == 4
    assert take_all(queue) == ["c", "d", "a"]


def test_a_name_that_a_client_asks_for_moves_up_and_is_ordered_once() -> None:
    queue = queue_of(places=4)
    for key in ("a", "b", "c"):
        queue.add_eager(key, "us")
    for _ in range(2):
        queue.move_up("c")
    queue.add_eager("c", "us")

    assert take_all(queue) == ["c", "a", "b"]
    assert len(queue) == 0


def test_an_order_under_way_is_not_begun_again() -> None:
    queue = queue_of()
    queue.add_eager("a", "us")
    assert queue.take() == "a"
    queue.add_waited_for("a", "us")
    queue.add_eager("a", "us")

    assert "a" in queue
    assert queue.take() is None
    queue.end("a")
    assert "a" not in queue


def test_some_places_are_kept_for_clients() -> None:
    queue = queue_of(places=3, reserved=1)
    for key in ("a", "b", "c"):
        queue.add_eager(key, "us")
    assert take_all(queue) == ["a", "b"]
    for key in ("d", "e"):
        queue.add_waited_for(key, "us")

    assert take_all(queue) == ["d"]
    queue.end("a")
    assert take_all(queue) == ["e"]
    queue.end("b")
    queue.end("d")
    assert take_all(queue) == ["c"]


def test_each_line_has_an_end_and_what_is_beyond_it_waits_where_it_was() -> None:
    queue = queue_of(capacity=2)
    for key in ("a", "b", "c"):
        queue.add_eager(key, "us")
    for key in ("d", "e"):
        queue.add_waited_for(key, f"of {key}")
    queue.move_up("a")
    queue.add_waited_for("f", "of f")

    assert not queue.has_room_for("us")
    assert [key for key in "abcdef" if key in queue] == ["a", "b", "d", "e"]


def test_one_owner_takes_half_of_the_room_and_others_have_their_turn() -> None:
    queue = queue_of(places=2, reserved=0, capacity=6)
    for key in "abcdef":
        queue.add_waited_for(key, "a slow one")
    queue.add_waited_for("x", "another")
    room = queue.has_room_for("a slow one"), queue.has_room_for("another")
    begun = take_all(queue)
    queue.end("a")

    assert room == (False, True)
    assert [*begun, *take_all(queue)] == ["a", "x", "b"]


@given(st.lists(st.tuples(st.sampled_from("wet."), st.sampled_from("abcdef"))))
def test_no_name_is_twice_under_way_and_no_place_is_taken_twice(
    steps: list[tuple[str, str]],
) -> None:
    queue, begun = queue_of(), set[str]()
    for kind, key in steps:
        if kind == "w":
            queue.move_up(key)
            queue.add_waited_for(key, "us")
        elif kind == "e":
            queue.add_eager(key, "us")
        elif kind == "t" and (taken := queue.take()) is not None:
            assert taken not in begun
            begun.add(taken)
        elif kind == ".":
            queue.end(key)
            begun.discard(key)

        assert len(begun) <= 3
