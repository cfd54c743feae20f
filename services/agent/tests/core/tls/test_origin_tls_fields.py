"""Fields about TLS to an origin: what they say together, and which do not go together."""

import pytest

from towonel.agent.core.service_items import Item
from towonel.agent.core.tls.origin_tls import OriginTls
from towonel.agent.core.tls.origin_tls_fields import MAX_PATH_BYTES, TLS_FIELDS, read_origin_tls

NAME: dict[str, object] = {"origin_server_name": "app.internal"}


def read(
    fields: dict[str, object], *, is_terminated: bool = True
) -> tuple[OriginTls | None, list[str]]:
    item = Item("[0]", fields, ("hostname", *TLS_FIELDS))
    return read_origin_tls(item, is_terminated=is_terminated), item.problems


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"origin_insecure": False}, None),
        (NAME, OriginTls("app.internal")),
        ({"origin_server_name": "NGINX"}, OriginTls("nginx")),
        ({"origin_server_name": "192.0.2.7"}, OriginTls("192.0.2.7")),
        ({**NAME, "origin_ca": "/etc/ca.pem"}, OriginTls("app.internal", "/etc/ca.pem")),
        ({**NAME, "origin_insecure": True}, OriginTls("app.internal", is_verified=False)),
    ],
)
def test_an_origin_is_verified_unless_it_is_spelled_out(
    fields: dict[str, object], expected: OriginTls | None
) -> None:
    assert read(fields) == (expected, [])


@pytest.mark.parametrize(
    "value", [None, 1, "", "a b", "*.a.eu", "a..b", "\u212a.eu", "x" * 64, "a." * 127]
)
def test_what_is_no_name_of_a_certificate_is_refused(value: object) -> None:
    tls, [problem] = read({"origin_server_name": value})

    assert tls is None
    assert problem.startswith("[0].origin_server_name: must be a name or an address")


@pytest.mark.parametrize("value", [None, 1, "", "a\nb", "x" * (MAX_PATH_BYTES + 1)])
def test_what_is_no_path_is_refused(value: object) -> None:
    _, [problem] = read({**NAME, "origin_ca": value})

    assert problem.startswith("[0].origin_ca: must be the path of a PEM file")


def test_a_word_is_no_switch() -> None:
    _, [problem] = read({**NAME, "origin_insecure": "yes"})

    assert problem == "[0].origin_insecure: must be true or false, not 'yes'"


@pytest.mark.parametrize("field", [{"origin_ca": "/etc/ca.pem"}, {"origin_insecure": True}])
def test_what_belongs_to_a_server_name_needs_one(field: dict[str, object]) -> None:
    tls, [problem] = read(field)

    assert tls is None
    assert problem.startswith(f"[0].{next(iter(field))}: needs origin_server_name, the name in")


def test_an_origin_is_verified_or_not() -> None:
    _, [problem] = read({**NAME, "origin_ca": "/etc/ca.pem", "origin_insecure": True})

    assert problem == (
        "[0].origin_ca: verifies the origin, which origin_insecure rules out; leave one of them out"
    )


def test_with_passthrough_it_is_the_client_who_speaks_tls() -> None:
    _, [problem] = read(NAME, is_terminated=False)

    assert problem == (
        '[0].origin_server_name: needs "tls_mode": "terminate": with passthrough the client speaks'
        " TLS to the origin; leave one of them out"
    )
