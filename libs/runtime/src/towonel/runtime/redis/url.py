"""Setting for the URL of a Redis, checked without ever showing the password in it."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr


def _blank_to_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _check(value: SecretStr | None) -> SecretStr | None:
    if value is None:
        return None
    # Importing takes 8 MB, which only processes with a Redis pay.
    from redis.connection import (  # noqa: PLC0415
        parse_url,  # pyright: ignore[reportUnknownVariableType] # untyped
    )

    try:
        parse_url(value.get_secret_value())  # type: ignore[no-untyped-call] # redis has no types here
    except ValueError:  # its text could show a password
        raise ValueError(
            "must be redis://, rediss:// or unix://, as in redis://host:6379/0"
        ) from None
    return value


RedisUrl = Annotated[SecretStr | None, BeforeValidator(_blank_to_none), AfterValidator(_check)]
