import asyncio
import json
import re
import shlex
import ssl
import subprocess
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from support.scripted_server import Server, serving

from towonel.api.invites import InviteIn
from towonel.client.hub import HubClient
from towonel.client.request import MAX_ANSWER_BYTES, MAX_PAGE_BYTES, HubRequest
from towonel.client.transport import to_httpx_url
from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError, Unavailable

HEALTH = {"status": "ok", "node_id": "ab" * 32, "version": "1.2.3", "protocol_version": 1}
README = Path(__file__).parents[3] / "README.md"
KEY = "operator-key-that-must-not-leak"


@pytest.mark.parametrize(
    "text",
    [
        "https://hub.example.eu",
        "https://hub.example.eu:8443/towonel/",
        "http://127.0.0.1:8443",
        "http://127.9.9.9",
        "http://[::1]:8443",
        " http://localhost ",
    ],
)
def test_https_anywhere_and_http_to_this_host_are_hubs(text: str) -> None:
    assert str(to_httpx_url(text)) == str(to_httpx_url(text.strip()))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("http://hub.example.eu", "loopback"),
        ("http://localhost.example.eu", "loopback"),
        ("http://10.0.0.1", "loopback"),
        ("ftp://hub.example.eu", "https"),
        ("hub.example.eu", "https"),
        ("", "https"),
        ("https://", "no host"),
        ("https://me:secret@hub.example.eu", "password"),
        ("https://hub.example.eu/?a=b", "query"),
        ("https://hub.example.eu:99999", "65535"),
        ("https://hub.example.eu:0", "65535"),
        ("https://hub.example.eu:https", "65535"),
        ("https://xn--999999999.example.eu", "neither a name"),
        ("https://xn--0.example.eu", "invalid"),  # decodes, and IDNA has no such name
    ],
)
def test_an_unsafe_or_broken_address_is_refused_by_its_rule(text: str, rule: str) -> None:
    with pytest.raises(Denied, match=rule) as caught:
        to_httpx_url(text)

    assert caught.value.code is Code.INVALID_REQUEST
    assert "secret" not in str(caught.value)


def test_http_elsewhere_is_a_choice_that_has_to_be_made() -> None:
    url = to_httpx_url("http://hub.example.eu", allow_insecure=True)

    assert url.host == "hub.example.eu"
    assert url.scheme == "http"


async def test_an_answer_becomes_a_model(server: Server) -> None:
    server.reply(200, json.dumps(HEALTH | {"news": 1}))

    async with HubClient(f"{server.url}/base/") as hub:
        health = await hub.health()

    assert health.version == "1.2.3"
    assert server.requests[0].target == "/base/v1/health"
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"status": "ok"}', b'{"node_id": 5}', b"\xff"]
)
async def test_a_success_that_is_not_a_hubs_is_malformed_and_quotes_nothing(
    server: Server, body: bytes
) -> None:
    server.reply(200, body)

    async with HubClient(server.url) as hub:
        with pytest.raises(ProtocolError, match="/v1/health") as caught:
            await hub.health()

    assert caught.value.code is Code.MALFORMED


async def test_an_answer_above_the_limit_is_not_read_to_its_end(server: Server) -> None:
    server.reply(200, b" " * (MAX_ANSWER_BYTES + 1))

    async with HubClient(server.url) as hub:
        with pytest.raises(ProtocolError) as caught:
            await hub.health()

    assert caught.value.code is Code.TOO_LARGE


async def test_a_page_may_be_larger_but_has_a_limit_too(server: Server) -> None:
    async with HubClient(server.url, operator_key=KEY) as hub:
        server.reply(200, b'{"invites": []}' + b" " * MAX_ANSWER_BYTES)
        assert (await hub.invites.list()).invites == []
        server.reply(200, b" " * (MAX_PAGE_BYTES + 1))
        with pytest.raises(ProtocolError) as caught:
            await hub.invites.list()

    assert caught.value.code is Code.TOO_LARGE


async def test_a_compressed_answer_is_not_unpacked(server: Server) -> None:
    server.reply(200, b"\x1f\x8b\x08\x00", content_encoding="gzip")

    async with HubClient(server.url) as hub:
        with pytest.raises(ProtocolError):
            await hub.health()


async def test_a_redirect_is_not_followed(server: Server) -> None:
    server.reply(302, location=server.url + "/elsewhere")

    async with HubClient(server.url) as hub:
        with pytest.raises(Unavailable):
            await hub.health()

    assert len(server.requests) == 1


async def test_a_hub_that_says_nothing_is_unavailable_at_the_deadline(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = None
    call = HubRequest("GET", "/v1/health", timeout_s=0.2)

    async with HubClient(server.url) as hub, asyncio.timeout(20):
        with pytest.raises(Unavailable) as caught:
            await hub._transport.fetch_bytes(call)

    assert caught.value.code is Code.HUB_UNAVAILABLE


async def failure(url: str) -> TowonelError:
    async with HubClient(url, operator_key=KEY) as hub:
        with pytest.raises(TowonelError) as caught:
            await hub.invites.create(InviteIn(hostnames=["a.example.eu"]))
    return caught.value


@pytest.mark.parametrize(
    "answer", [b"", b"junk\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"]
)
async def test_a_broken_connection_is_an_unavailable_hub_named_by_its_url(
    server: Server, answer: bytes
) -> None:
    server.answer = answer

    error = await failure(server.url)

    assert isinstance(error, Unavailable)
    assert error.code is Code.HUB_UNAVAILABLE
    assert server.url in error.detail


async def test_a_port_where_nobody_listens_is_an_unavailable_hub() -> None:
    async with serving(lambda r, w: w.close()) as port:
        url = f"http://127.0.0.1:{port}"

    assert (await failure(url)).code is Code.HUB_UNAVAILABLE


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"])
async def test_no_failure_carries_the_operator_key(server: Server, answer: bytes) -> None:
    server.answer = answer

    error = await failure(server.url)

    assert KEY not in "".join(traceback.format_exception(error))
    assert error.__context__ is None or error.__suppress_context__
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_without_a_key_an_operators_request_is_not_even_sent(server: Server) -> None:
    async with HubClient(server.url) as hub:
        with pytest.raises(Denied) as caught:
            await hub.invites.list()

    assert caught.value.code is Code.UNAUTHORIZED
    assert server.requests == []


async def tls_health(server: Server, authority: trustme.CA) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.reply(200, json.dumps(HEALTH))
    async with (
        serving(server.serve, context) as port,
        HubClient(f"https://127.0.0.1:{port}") as hub,
    ):
        return (await hub.health()).status


async def test_a_hub_with_an_unknown_certificate_is_not_talked_to(server: Server) -> None:
    with pytest.raises(Unavailable, match=r"CERTIFICATE_VERIFY_FAILED.*; .*set SSL_CERT_FILE"):
        await tls_health(server, trustme.CA())

    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "days", "fix"),
    [
        ("hub.example.eu", 9, "must be for the name in the hub's address"),
        ("127.0.0.1", -9, "renew the certificate"),
    ],
)
async def test_a_certificate_that_is_wrong_by_itself_is_told_with_what_to_do(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, days: int, fix: str
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    ends = datetime.now(UTC) + timedelta(days=days)
    authority.issue_cert(name, not_after=ends).configure_cert(context)

    with pytest.raises(Unavailable, match=fix):
        async with (
            serving(server.serve, context) as port,
            HubClient(f"https://127.0.0.1:{port}") as hub,
        ):
            await hub.health()


async def test_a_private_authority_is_named_by_the_usual_variable(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    assert await tls_health(server, authority) == "ok"


async def test_the_authority_that_the_readme_makes_is_trusted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(r"`(openssl req -x509 [^`]+)`", README.read_text())
    assert found
    subprocess.run(shlex.split(found[1]), cwd=tmp_path, check=True, capture_output=True)
    cert, key = (tmp_path / "ca.pem", tmp_path / "ca.key")
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))

    assert (
        await tls_health(server, trustme.CA.from_pem(cert.read_bytes(), key.read_bytes())) == "ok"
    )


async def test_proxies_of_the_environment_are_not_asked_for_this_host(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.reply(200, json.dumps(HEALTH))

    async with HubClient(server.url) as hub:
        assert (await hub.health()).status == "ok"


def test_an_unusable_proxy_setting_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:1")

    with pytest.raises(Denied, match="proxy"):
        HubClient("https://hub.example.eu")


@pytest.mark.parametrize("key", ["a\r\nx-more: 1", "schlüssel", " "])
async def test_a_key_that_could_change_the_headers_is_not_sent_or_shown(
    server: Server, key: str
) -> None:
    async with HubClient(server.url, operator_key=key) as hub:
        with pytest.raises(Denied) as caught:
            await hub.invites.list()

    assert caught.value.code is Code.UNAUTHORIZED
    assert key.strip() == "" or key not in str(caught.value)
    assert server.requests == []
