"""TLS to an origin: each failure is explained by what is to be done about it."""

import pytest

from towonel.agent.core.tls.origin_tls import (
    NO_PROTOCOL,
    OriginTls,
    describe_ca_failure,
    describe_tls_failure,
)

TLS = OriginTls("app.internal")
OWN_CA = OriginTls("app.internal", "/etc/ca.pem")


@pytest.mark.parametrize(
    ("verify_code", "text"),
    [
        (
            62,
            "its certificate is not for app.internal: set origin_server_name to a name that it is for",
        ),
        (64, "not for app.internal"),
        (10, "has expired: renew it"),
        (9, "not valid yet: compare the clocks"),
        (20, "trusted here (why): name the PEM file of its authority in origin_ca"),
        (26, "not accepted (why): renew it there"),
    ],
)
def test_what_is_wrong_with_a_certificate_comes_with_its_fix(verify_code: int, text: str) -> None:
    assert text in describe_tls_failure(TLS, "why", verify_code, proxied=False)


def test_an_authority_that_is_missing_is_missing_in_the_file_that_is_named() -> None:
    found = describe_tls_failure(OWN_CA, "why", 20, proxied=False)

    assert found == (
        "its certificate is of no authority of /etc/ca.pem: put its own into that file"
    )


@pytest.mark.parametrize("proxied", [False, True])
def test_an_origin_that_does_not_answer_with_tls_may_want_no_header(*, proxied: bool) -> None:
    found = describe_tls_failure(TLS, "wrong version number", None, proxied=proxied)

    assert found.startswith("no handshake (wrong version number): does it speak TLS")
    assert ("PROXY v2" in found) is proxied


def test_an_origin_that_does_not_speak_what_the_client_does_is_no_stranger_to_tls() -> None:
    found = describe_tls_failure(TLS, f"tlsv1 alert {NO_PROTOCOL}", None, proxied=False)

    assert found.startswith("it does not speak what the client does (ALPN)")


def test_a_file_that_cannot_be_used_is_named_with_what_it_must_be() -> None:
    found = describe_ca_failure(OWN_CA, "Permission denied")

    assert found.startswith("origin_ca /etc/ca.pem cannot be used (Permission denied): it must be")
