"""Server-sent events."""

from collections.abc import AsyncGenerator

from fastapi.responses import StreamingResponse

# Proxies must pass each event at once: nginx would buffer a page of them.
_UNBUFFERED = {"cache-control": "no-store", "x-accel-buffering": "no"}


async def stream_events(events: AsyncGenerator[bytes]) -> StreamingResponse:
    """Return the response that streams events.

    The first item is awaited here and not sent: up to it, the generator registers the follower, so that
    concurrent requests are counted before one of them is answered.
    """
    await anext(events)
    return StreamingResponse(events, media_type="text/event-stream", headers=_UNBUFFERED)
