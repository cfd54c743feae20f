"""Contexts for origins: made once, and anew when the file of authorities changes."""

import os
import ssl
from pathlib import Path

import pytest
from support.origins import Certificates

from towonel.agent.core.tls.origin_tls import OriginTls
from towonel.agent.tls.origin_contexts import (
    LOOK_S,
    MAX_CONTEXTS,
    OriginContexts,
    describe_handshake_error,
)
from towonel.wire.errors import Code, Unavailable


@pytest.fixture
def tls(tmp_path: Path) -> OriginTls:
    return OriginTls("app.internal", str(Certificates(tmp_path).ca_file))


def list_authorities(context: ssl.SSLContext) -> list[object]:
    return [each["serialNumber"] for each in context.get_ca_certs()]


def test_a_context_serves_all_origins_of_its_authorities(tls: OriginTls) -> None:
    contexts = OriginContexts()
    context = contexts.find(tls, 0.0)

    assert contexts.find(OriginTls("b.internal", tls.ca), LOOK_S) is context
    assert contexts.find(OriginTls("app.internal"), 0.0) is not context
    assert contexts.find(tls, 0.0, "h2") is not context
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_an_origin_that_is_not_verified_needs_no_authority(
    tls: OriginTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    context = OriginContexts().find(OriginTls("app.internal", is_verified=False), 0.0)

    assert context.verify_mode is ssl.CERT_NONE


def test_a_file_that_has_changed_is_read_within_a_second(tls: OriginTls, tmp_path: Path) -> None:
    contexts = OriginContexts()
    before = list_authorities(contexts.find(tls, 0.0))
    Certificates(tmp_path)  # writes the file

    assert list_authorities(contexts.find(tls, LOOK_S / 2)) == before
    after = list_authorities(contexts.find(tls, LOOK_S))
    assert len(after) == 1
    assert after != before


@pytest.mark.parametrize("content", [None, b"half of a fi"])
def test_a_file_that_is_gone_or_broken_changes_nothing_until_it_is_whole(
    tls: OriginTls, tmp_path: Path, content: bytes | None
) -> None:
    contexts = OriginContexts()
    context = contexts.find(tls, 0.0)
    path = tmp_path / "ca.pem"
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    assert contexts.find(tls, LOOK_S) is context
    Certificates(tmp_path)
    assert contexts.find(tls, 2 * LOOK_S) is not context


def test_the_file_that_the_machine_trusts_is_followed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(Certificates(tmp_path).ca_file))
    contexts, tls = OriginContexts(), OriginTls("app.internal")
    before = list_authorities(contexts.find(tls, 0.0))
    Certificates(tmp_path)

    assert before not in ([], list_authorities(contexts.find(tls, LOOK_S)))


def test_a_file_that_cannot_be_used_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"missing\.pem cannot be used \(No such file") as caught:
        OriginContexts().find(OriginTls("app.internal", str(tmp_path / "missing.pem")), 0.0)
    assert caught.value.code is Code.ORIGIN_TLS_FAILED

    (tmp_path / "empty.pem").touch()
    with pytest.raises(Unavailable, match=r"empty\.pem cannot be used \(no certificate"):
        OriginContexts().find(OriginTls("app.internal", str(tmp_path / "empty.pem")), 0.0)


def test_only_so_many_are_in_memory(tls: OriginTls, tmp_path: Path) -> None:
    contexts = OriginContexts()
    first = contexts.find(tls, 0.0)
    for number in range(MAX_CONTEXTS):
        path = tmp_path / f"{number}.pem"
        os.link(tmp_path / "ca.pem", path)
        contexts.find(OriginTls("app.internal", str(path)), 0.0)

    assert contexts.find(tls, 0.0) is not first


def test_what_the_system_says_of_a_connection_is_the_reason(tls: OriginTls) -> None:
    error = ConnectionResetError(104, "Connection reset by peer")

    assert "(Connection reset by peer)" in describe_handshake_error(tls, error, proxied=False)
