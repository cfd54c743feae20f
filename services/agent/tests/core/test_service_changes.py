"""Changes of services: what is new, what differs, what ends, and what is served meanwhile."""

from towonel.agent.core.service_changes import ServiceChanges, compare_services, merge_services
from towonel.agent.core.services import MAX_SERVICES, Service, parse_services


def services(*items: tuple[str, int]) -> tuple[Service, ...]:
    entries = (f'{{"hostname": "{name}", "origin": "127.0.0.1:{port}"}}' for name, port in items)
    return parse_services(f"[{', '.join(entries)}]")


BEFORE = services(("same.eu", 1), ("moved.eu", 1), ("old.eu", 1))
AFTER = services(("new.eu", 1), ("moved.eu", 2), ("same.eu", 1))


def test_changes_are_named_by_what_they_are() -> None:
    assert compare_services(BEFORE, AFTER) == ServiceChanges(
        added=("https:new.eu",), changed=("https:moved.eu",), removed=("https:old.eu",)
    )
    assert compare_services(BEFORE, BEFORE[::-1]) == ServiceChanges((), (), ())


def test_until_a_change_is_published_both_are_served_with_the_new_origins() -> None:
    merged = {service.key.name: service.origin.port for service in merge_services(BEFORE, AFTER)}

    assert merged == {"same.eu": 1, "moved.eu": 2, "old.eu": 1, "new.eu": 1}


def test_more_than_an_edge_takes_are_not_served_together() -> None:
    many = services(*((f"n{number}.eu", 1) for number in range(MAX_SERVICES)))
    long = services(*((f"{'x' * 60}.{'y' * 60}.n{number}.eu", 1) for number in range(440)))

    assert merge_services(BEFORE, many) == many
    assert merge_services(long, many[:100]) == many[:100]
    assert len(merge_services(BEFORE, many[: MAX_SERVICES - 3])) == MAX_SERVICES
