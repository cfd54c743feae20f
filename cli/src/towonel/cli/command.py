"""Decorators that make a function a command: one that calls a hub, or one that works here.

A command returns its output as data, and declares only flags of its own. Those that choose the hub,
the key and the format of the output are added here, the same for all.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from functools import wraps
from types import UnionType
from typing import Annotated, Any, TypeAliasType, Union, cast, get_args, get_origin

import typer

from towonel.cli.errors import UsageError, report_errors
from towonel.cli.options.choices import Format
from towonel.cli.options.flags import ApiKey, HubUrl, Json, OutputFormat, Profile, examples
from towonel.cli.output import Output, print_output
from towonel.cli.settings import CommandSettings
from towonel.cli.target import Target, open_client, resolve_target
from towonel.client.operator import OperatorClient
from towonel.runtime.settings import load

type Local = Callable[..., Output]
type Remote = Callable[..., Coroutine[Any, Any, Output]] | Callable[..., AsyncGenerator[Output]]

type Flags = dict[str, tuple[Any, object]]  # annotation and default, by parameter

_FORMAT_FLAGS: Flags = {
    "output": (OutputFormat, Format.TABLE),
    "as_json": (Json, False),
}
_TARGET_FLAGS: Flags = {
    "hub_url": (HubUrl, None),
    "api_key": (ApiKey, None),
    "profile": (Profile, None),
}


def local_command[C: Local](app: typer.Typer, name: str, *lines: str) -> Callable[[C], C]:
    """Add a command that needs no hub; `lines` are examples of its use."""

    def decorate(body: C) -> C:
        @wraps(body)
        def command(**arguments: Any) -> None:
            output_format = _pop_format(arguments)
            with report_errors(as_json=output_format is not Format.TABLE):
                _require_utf8(arguments)
                print_output(body(**arguments), output_format)

        _register(app, name, command, _parameters(body), _FORMAT_FLAGS, lines)
        return body

    return decorate


def hub_command[C: Remote](
    app: typer.Typer, name: str, *lines: str, needs_key: bool = True
) -> Callable[[C], C]:
    """Add a command that calls a hub: its first argument is a client of the one that flags choose.

    The annotation of that argument says which kind of client. The outputs of a generator are printed as they come, until it ends or Ctrl-C ends it.
    """

    def decorate(body: C) -> C:
        client, *own = _parameters(body)

        @wraps(body)
        def command(**arguments: Any) -> None:
            output_format = _pop_format(arguments)
            with report_errors(as_json=output_format is not Format.TABLE):
                _require_utf8(arguments)
                target = {flag: arguments.pop(flag) for flag in _TARGET_FLAGS}
                hub = resolve_target(load(CommandSettings), **target, needs_key=needs_key)
                asyncio.run(_run(body, hub, client.annotation, arguments, output_format))

        _register(app, name, command, own, _TARGET_FLAGS | _FORMAT_FLAGS, lines)
        return body

    return decorate


async def _run(
    body: Remote,
    hub: Target,
    kind: type[OperatorClient],
    arguments: dict[str, Any],
    output_format: Format,
) -> None:
    async with open_client(hub, kind) as client:
        result = body(client, **arguments)
        if isinstance(result, AsyncGenerator):
            async with aclosing(result) as outputs:
                async for output in outputs:
                    print_output(output, output_format)
        else:
            print_output(await result, output_format)


def _pop_format(arguments: dict[str, Any]) -> Format:
    form: Format = arguments.pop("output")
    return Format.JSON if arguments.pop("as_json") else form


def _require_utf8(arguments: dict[str, Any]) -> None:
    """Refuse bytes that are not text: no hub takes them, and no name has them.

    Raises:
        UsageError: naming the flag.
    """
    for name, value in arguments.items():
        texts = cast("Sequence[object]", value) if isinstance(value, list | tuple) else (value,)
        for text in texts:
            try:
                _ = text.encode() if isinstance(text, str) else None
            except UnicodeEncodeError:
                raise UsageError(f"{name.replace('_', '-')}: is not UTF-8") from None


def _register(
    app: typer.Typer,
    name: str,
    command: Callable[..., None],
    parameters: list[inspect.Parameter],
    flags: Flags,
    lines: tuple[str, ...],
) -> None:
    """Add a command to an app, with parameters of its own and the flags that all have."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [each.replace(kind=keyword, annotation=_expand(each.annotation)) for each in parameters]
    shared = [
        inspect.Parameter(flag, keyword, default=default, annotation=annotation)
        for flag, (annotation, default) in flags.items()
    ]
    signature = inspect.Signature([*own, *shared])
    command.__signature__ = signature  # type: ignore[attr-defined] # PEP 362
    command.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    app.command(name, epilog=examples(*lines))(command)


def _parameters(body: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(body, eval_str=True).parameters.values())


def _expand(annotation: Any) -> Any:
    """Return an annotation without aliases of the `type` statement, which typer cannot read."""
    if isinstance(annotation, TypeAliasType):
        return _expand(annotation.__value__)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[_expand(arguments[0]), *arguments[1:]]
    if origin in {Union, UnionType}:
        return Union[tuple(map(_expand, arguments))]  # noqa: UP007 of as many as there are
    return annotation
