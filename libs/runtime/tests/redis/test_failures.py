"""Descriptions of failures of a real Redis: what is refused, and nothing secret."""

from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from support.ports import free_port
from support.redis_server import running_redis

from towonel.runtime.redis.failures import RedisFailure, describe_failure


async def fail_at(url: str) -> RedisFailure:
    async with Redis.from_url(url, socket_timeout=5) as redis:
        try:
            await redis.publish("news", "x")
        except (RedisError, OSError) as error:
            return describe_failure(redis, error)
    pytest.fail("the message was published")


@pytest.mark.parametrize("query", ["", "?protocol=2"])
async def test_what_redis_refuses_is_told_from_its_absence(tmp_path: Path, query: str) -> None:
    port = free_port()
    with_user = f"redis://reader:hunter2@127.0.0.1:{port}/0{query}"
    async with running_redis(tmp_path, port) as url, Redis.from_url(url) as operator:
        await operator.acl_setuser(
            "reader", enabled=True, passwords=["+hunter2"], commands=["+hello"]
        )
        no_right = await fail_at(with_user)
        wrong = await fail_at(with_user.replace("hunter2", "hunter3"))
        await operator.config_set("requirepass", "hunter2")
        missing = await fail_at(url + query)
    away = await fail_at(url + query)

    assert {failure.address for failure in (no_right, wrong, missing, away)} == {
        f"127.0.0.1:{port}"
    }
    assert wrong.reason == "refuses the user or password of TOWONEL_REDIS_URL: correct it there"
    assert missing.reason == "wants a password in TOWONEL_REDIS_URL: correct it there"
    assert no_right.reason.startswith("gives the user of TOWONEL_REDIS_URL too few rights: ")
    assert "publish" in no_right.reason
    assert str(away) == f"127.0.0.1:{port}: Connection refused"
    assert [f.is_refusal for f in (no_right, wrong, missing, away)] == [True, True, True, False]
    assert "hunter" not in f"{no_right}{wrong}{missing}{away}"


def test_a_text_that_echoes_a_command_is_not_shown() -> None:
    redis = Redis.from_url("unix:///run/redis.sock?password=hunter2")
    echoed = ResponseError("unknown command 'HELLO', with args beginning with: 'AUTH' 'hunter2'")

    assert str(describe_failure(redis, echoed)) == "/run/redis.sock: ResponseError"
    closed = describe_failure(redis, RedisConnectionError("Connection closed by server."))
    assert str(closed) == "/run/redis.sock: closed the connection"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "does not answer in time"),
        (OSError(-2, "Name or service not known"), "Name or service not known"),
        (OSError("Multiple exceptions: …"), "Multiple exceptions: …"),
    ],
)
def test_a_failure_of_the_network_is_told_in_its_own_words(error: OSError, reason: str) -> None:
    redis = Redis.from_url("redis://redis.example.eu:6379/0")

    assert str(describe_failure(redis, error)) == f"redis.example.eu:6379: {reason}"
