"""Authorities that lie: what they answer costs an order, and neither memory nor threads without end."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from towonel.edge.certificates.acme import threads
from towonel.edge.certificates.acme.authority import Authority, OrderError
from towonel.edge.certificates.acme.client import MAX_ANSWER_BYTES
from towonel.edge.certificates.acme.orders import Orders

ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
REDIRECT = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
NAME = "app.example.eu"


@contextlib.asynccontextmanager
async def lying(authority: trustme.CA, folder: Path, head: bytes) -> AsyncIterator[Orders]:
    """Run an authority that answers with this, and no end of spaces."""
    root, context = folder / "root.crt", ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.cert_pem.write_to_path(str(root))
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(head)
            for _ in range(64 * MAX_ANSWER_BYTES // 4096):
                writer.write(b" " * 4096)
                await writer.drain()
        writer.transport.abort()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        yield Orders(Authority(f"https://127.0.0.1:{port}/dir", None, root), folder / "certs")


@pytest.mark.parametrize(
    ("head", "reason"), [(ENDLESS, "has more than"), (REDIRECT, "No connection adapters")]
)
async def test_an_answer_without_end_and_a_way_out_of_https_fail_the_order(
    authority: trustme.CA, tmp_path: Path, head: bytes, reason: str
) -> None:
    async with lying(authority, tmp_path, head) as orders:
        with pytest.raises(OrderError, match=reason):
            await asyncio.to_thread(orders.order, NAME, lambda _: None)


async def test_an_order_whose_time_is_over_begins_nothing(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = Orders(Authority("https://127.0.0.1:1/dir", None), tmp_path, order_s=0.0)
    monkeypatch.setattr("towonel.edge.certificates.acme.account.AccountStore.open", lambda _: None)

    with pytest.raises(OrderError, match="has not opened the account in time"):
        orders.order(NAME, lambda _: None)


async def test_calls_that_nobody_waits_for_any_more_are_of_bounded_number() -> None:
    may_end = threading.Event()
    calls = [
        asyncio.ensure_future(threads.call_in_thread(may_end.wait))
        for _ in range(threads.MAX_CALLS + 1)
    ]
    with pytest.raises(OrderError, match="calls before have not ended"):
        await calls[-1]
    may_end.set()

    assert all(await asyncio.gather(*calls[:-1]))
    assert await threads.call_in_thread(lambda: 1) == 1
