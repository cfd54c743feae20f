"""Codec of the messages of control and a worker: dataclasses by name, as a channel carries them."""

from collections.abc import Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, TypeAliasType, cast, get_args, get_origin

from towonel.relay.channel import ChannelMessage
from towonel.wire.errors import Code, ProtocolError


class MessageCodec[M]:
    """Codec of messages.

    Args:
        types: dataclasses by the name that travels.
    """

    def __init__(self, types: Mapping[str, type[M]]) -> None:
        self._types = types
        self._kinds = {made: kind for kind, made in types.items()}
        every = {made: fields(made) for made in self._kinds}  # type: ignore[arg-type]  # dataclasses, all of them
        self._fields = {made: tuple(each.name for each in found) for made, found in every.items()}
        self._tuples = {
            made: tuple(each.name for each in found if _is_tuple(each.type))
            for made, found in every.items()
        }

    def encode(self, message: M) -> tuple[str, Mapping[str, Any]]:
        """Return a message's type and map, as a channel sends them."""
        made = type(message)
        return self._kinds[made], {name: getattr(message, name) for name in self._fields[made]}

    def decode(self, message: ChannelMessage) -> M:
        """Return what came on the channel.

        Raises:
            ProtocolError: UNEXPECTED_MESSAGE for a type, MALFORMED for fields that are not known.
        """
        made = self._types.get(message.kind)
        if made is None:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, message.kind)
        values = dict(message.fields)
        for name in self._tuples[made]:
            if name in values:
                values[name] = _freeze(values[name])
        try:
            return made(**values)
        except TypeError as error:
            raise ProtocolError(Code.MALFORMED, f"{message.kind}: {error}") from error


def _is_tuple(annotation: object) -> bool:
    """Whether a field is a tuple, which travels as an array, or may be one."""
    if isinstance(annotation, TypeAliasType):
        return _is_tuple(annotation.__value__)
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return any(get_origin(kind) is tuple for kind in kinds)


def _freeze(value: object) -> object:
    """Return arrays as tuples, those in arrays as well."""
    if isinstance(value, list):
        return tuple(map(_freeze, cast("list[object]", value)))
    return value
