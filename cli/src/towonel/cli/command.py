"""How a command is made: it asks a hub or works here, and says what it has to say as data.

The flags that choose the hub, the key and the form of the output are the same everywhere; a command
lists only its own.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from functools import wraps
from typing import Any

import typer

from towonel.cli.options.choices import Format
from towonel.cli.options.flags import ApiKey, HubUrl, Json, Output, Profile, examples
from towonel.cli.output import Shown, reported, show
from towonel.cli.settings import CommandSettings
from towonel.cli.target import Target, resolve
from towonel.cli.usage import UsageError
from towonel.runtime.settings import load

type Local = Callable[..., Shown]
type Remote = Callable[..., Coroutine[Any, Any, Shown]] | Callable[..., AsyncGenerator[Shown]]

_FORM: dict[str, tuple[Any, object]] = {
    "output": (Output, Format.TABLE),
    "as_json": (Json, False),
}
_WHOM: dict[str, tuple[Any, object]] = {
    "hub_url": (HubUrl, None),
    "api_key": (ApiKey, None),
    "profile": (Profile, None),
}


def group() -> typer.Typer:
    """Return an empty group of commands; `parts` says what it is about."""
    return typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def local_command[C: Local](app: typer.Typer, name: str, *lines: str) -> Callable[[C], C]:
    """Add a command that needs no hub; `lines` are examples of its use."""

    def added(body: C) -> C:
        @wraps(body)
        def command(**given: Any) -> None:
            form = _form(given)
            with reported(as_json=form is not Format.TABLE):
                _check_text(given)
                show(body(**given), form)

        _add(app, name, command, body, lines, _FORM)
        return body

    return added


def hub_command[C: Remote](
    app: typer.Typer, name: str, *lines: str, needs_key: bool = True
) -> Callable[[C], C]:
    """Add a command whose first argument is the client of the hub that its flags choose.

    One that yields is printed as it goes, until it ends or Ctrl-C does.
    """

    def added(body: C) -> C:
        @wraps(body)
        def command(**given: Any) -> None:
            form = _form(given)
            with reported(as_json=form is not Format.TABLE):
                _check_text(given)
                whom = {flag: given.pop(flag) for flag in _WHOM}
                hub = resolve(load(CommandSettings), **whom, needs_key=needs_key)
                asyncio.run(_asked(body, hub, given, form))

        _add(app, name, command, body, lines, _WHOM | _FORM)
        return body

    return added


async def _asked(body: Remote, hub: Target, given: dict[str, Any], form: Format) -> None:
    async with hub.client() as client:
        said = body(client, **given)
        if isinstance(said, AsyncGenerator):
            async with aclosing(said) as parts:
                async for part in parts:
                    show(part, form)
        else:
            show(await said, form)


def _form(given: dict[str, Any]) -> Format:
    form: Format = given.pop("output")
    return Format.JSON if given.pop("as_json") else form


def _check_text(given: dict[str, Any]) -> None:
    """Refuse what is no text, but as a file's name: no hub takes it, and no name is like it."""
    for name, value in given.items():
        for text in value if isinstance(value, list | tuple) else (value,):
            try:
                _ = text.encode() if isinstance(text, str) else None
            except UnicodeEncodeError:
                raise UsageError(f"{name.replace('_', '-')}: is not UTF-8") from None


def _add(
    app: typer.Typer,
    name: str,
    command: Callable[..., None],
    body: Callable[..., Any],
    lines: tuple[str, ...],
    flags: dict[str, tuple[Any, object]],
) -> None:
    """Give a command the arguments of its body, less the client, and those that all have."""
    own = list(inspect.signature(body, eval_str=True).parameters.values())
    own = own[1:] if flags is not _FORM else own
    added = [
        inspect.Parameter(flag, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for flag, (kind, default) in flags.items()
    ]
    own = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
    command.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined] # PEP 362
    command.__annotations__ = {one.name: one.annotation for one in (*own, *added)}
    app.command(name, epilog=examples(*lines))(command)
