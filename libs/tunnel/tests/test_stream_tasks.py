"""Tasks of a link's streams, where one meets a bug that no peer is known to reach."""

import asyncio
from typing import override

from support.tunnel import echo, listening_edge, until

from towonel.tunnel.stream import Stream
from towonel.tunnel.stream_requests import StreamTasks


class BrokenStream(Stream):
    """Stream that fails at its end."""

    @override
    async def close(self) -> None:
        await super().close()
        raise RuntimeError("a bug")


async def test_a_bug_that_a_stream_meets_at_its_end_is_logged_and_fails_no_link() -> None:
    told = list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: told.append(facts["message"]))
    async with listening_edge() as edge, edge.session() as (session, _):
        broken = session.channel.streams.open()
        broken.__class__ = BrokenStream
        async with asyncio.TaskGroup() as tasks, StreamTasks(tasks, echo, 0.01) as streams:
            streams.start(broken)
            await until(lambda: told)

    assert told == ["a stream failed"]
