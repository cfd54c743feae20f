"""Answer to a challenge HTTP-01: an edge names the token, and the agent itself asks the origin for it.

No byte that an edge sends reaches the origin but the token, and the origin is asked for nothing but the challenge.
"""

import asyncio
from typing import Final

from towonel.agent.core.services import Origin, ProxyProtocol
from towonel.agent.origin_dialer import OriginDialer
from towonel.tunnel.stream_requests import StreamRequest
from towonel.wire.errors import Code, Unavailable
from towonel.wire.policy.challenge import MAX_ANSWER_BYTES, encode_challenge_request

HTTP_PORT: Final = 80
ANSWER_S: Final = 10.0


async def answer_challenge(
    request: StreamRequest, origin: Origin, dialer: OriginDialer, answer_s: float = ANSWER_S
) -> None:
    """Ask an origin about a challenge, and pass its answer on as it is, whole.

    Args:
        request: of the edge, whose preamble has a challenge.
        origin: of the service.
        dialer: of origins.
        answer_s: for the whole answer, once the origin is connected.

    Raises:
        TowonelError: NO_SERVICE without a name, or the origin or the edge failed.
    """
    name, token = request.preamble.authority, request.preamble.challenge
    if name is None or token is None:
        raise Unavailable(Code.NO_SERVICE, "a challenge needs a name and a token")
    host, port = origin.http or (origin.host, HTTP_PORT)
    pipe = await dialer.dial(Origin(host, port, ProxyProtocol.NONE), request.preamble)
    try:
        async with asyncio.timeout(answer_s):
            await pipe.write(encode_challenge_request(name, token))
            answer = b""
            while data := await pipe.read():
                answer += data
                if len(answer) > MAX_ANSWER_BYTES:
                    detail = f"an answer to a challenge of more than {MAX_ANSWER_BYTES} bytes"
                    raise Unavailable(Code.ORIGIN_RESET, detail)
    except TimeoutError as error:
        raise Unavailable(Code.ORIGIN_TIMEOUT, "no whole answer to a challenge in time") from error
    finally:
        await pipe.close()
    stream = await request.accept()
    await stream.write(answer)
    await stream.write_eof()
