"""Server-sent events: answers that have no end."""

from collections.abc import AsyncGenerator

from fastapi.responses import StreamingResponse

# A stream passes a proxy event by event: nginx would keep them until it has a page of them.
_UNBUFFERED = {"cache-control": "no-store", "x-accel-buffering": "no"}


async def streamed(events: AsyncGenerator[bytes]) -> StreamingResponse:
    """Answer with events.

    What comes first is asked for here and told to nobody: up to there, `events` enters whoever
    follows in the hub's lists, so that many who ask at once are counted before one is answered.
    """
    await anext(events)
    return StreamingResponse(events, media_type="text/event-stream", headers=_UNBUFFERED)
