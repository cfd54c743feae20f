"""Target of a command: the hub and the key, from flags, the environment, a login or this machine."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from pydantic import SecretStr

from towonel.cli.errors import UsageError
from towonel.cli.logins import FILE, Profile, Profiles
from towonel.cli.settings import CommandSettings, check_authorities, config_folder
from towonel.client.envelope import ForeignAnswer, NotConnected, printable
from towonel.client.operator import OperatorClient
from towonel.client.transport import to_httpx_url
from towonel.runtime import secretfile
from towonel.runtime.addresses import loopback_url
from towonel.runtime.settings import SettingsError
from towonel.wire.errors import Code, Denied, TowonelError, Unavailable
from towonel.wire.hub_urls import is_loopback, parse_hub_url

DEFAULT = (
    "the default of TOWONEL_HUB_LISTEN_ADDR; set that as the hub of this machine has it, set"
    " TOWONEL_HUB_URL, or log in"
)
# Statuses, without an envelope, with which older hubs answer operations that they do not have.
_OF_UNKNOWN_OPERATIONS = {
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.NOT_IMPLEMENTED,
}
KEY_FILE = "operator.key"
_NO_KEY = (
    "no operator key: {path} does not exist. Run this on the machine of the hub with its"
    " TOWONEL_DATA_DIR, log in with `towonel login URL`, or set TOWONEL_OPERATOR_KEY_FILE"
)


@dataclass(frozen=True, slots=True)
class Target:
    """Address of a hub, the key for it if there is one, and where each is from."""

    hub_url: str
    source: str
    operator_key: SecretStr | None
    key_source: str
    allow_insecure: bool

    def client[C: OperatorClient](self, kind: type[C]) -> C:
        key = None if self.operator_key is None else self.operator_key.get_secret_value()
        return kind(self.hub_url, operator_key=key, allow_insecure=self.allow_insecure)


@asynccontextmanager
async def open_client[C: OperatorClient](target: Target, kind: type[C]) -> AsyncGenerator[C]:
    """Yield a client of the hub; where there is no answer, tell why that may be.

    Raises:
        Denied: UNSUPPORTED_OP: the hub is there, but is too old for the operation; UNAUTHORIZED,
            naming what the key is from.
        Unavailable: naming what the hub's address is from.
    """
    async with target.client(kind) as client:
        try:
            yield client
        except Denied as error:
            raise explain_denial(error, target.key_source) from None
        except Unavailable as error:
            if error.code is not Code.HUB_UNAVAILABLE:
                raise
            if is_unknown_operation(error):
                await _refuse_old_hub(client, error)
            detail = f"{error.detail} (the address is from {target.source})"
            if isinstance(error, NotConnected):
                detail += _advise(target.hub_url)
            raise Unavailable(error.code, detail, retry_after_s=error.retry_after_s) from None


def explain_denial(error: Denied, key_source: str) -> Denied:
    """Return the error, with where the key is from if the hub does not take it."""
    if error.code is not Code.UNAUTHORIZED or not key_source:
        return error
    fix = "give the one of this hub: its operator.key, or what `towonel key create` printed there"
    return Denied(error.code, f"{error.detail} (the key is from {key_source}); {fix}")


def _advise(hub_url: str) -> str:
    if is_loopback(parse_hub_url(hub_url, allow_insecure=True).host):
        return ". Does the hub of this machine run? `towonel serve` starts it"
    return ". Check that the hub runs, and that this machine reaches it"


def is_unknown_operation(error: Unavailable) -> bool:
    """Tell whether the hub, if one is there, is too old for what it was asked."""
    return isinstance(error, ForeignAnswer) and error.status in _OF_UNKNOWN_OPERATIONS


async def _refuse_old_hub(client: OperatorClient, error: Unavailable) -> None:
    """Raise Denied if a hub is there all the same."""
    try:
        version = (await client.health()).version
    except TowonelError:
        return
    old = f"this hub is too old: version {printable(version)} has no such operation; upgrade it"
    raise Denied(Code.UNSUPPORTED_OP, f"{old} ({error.detail})") from None


def resolve_target(
    settings: CommandSettings,
    hub_url: str | None,
    api_key: str | None,
    profile: str | None = None,
    *,
    needs_key: bool,
) -> Target:
    """Choose hub and key.

    Args:
        settings: what the environment says.
        hub_url: the flag; before TOWONEL_HUB_URL, the profile, the hub on this machine.
        api_key: the flag; before TOWONEL_OPERATOR_KEY, the profile, the hub's key file.
        profile: the flag; before TOWONEL_PROFILE, before the login that is current.
        needs_key: refuse to go on without a key.

    Raises:
        UsageError: a flag is not a valid URL, or names an unknown profile.
        SettingsError: a variable is not a valid URL, or names no file of authorities where one is
            asked for; or there is no key and one is needed.
    Source: inventory §1.8.
    """
    login = _login(settings, hub_url, profile)
    key, key_source = _key(settings, api_key, login, needs_key=needs_key)
    url, where = _url(settings, hub_url, login)
    try:
        parsed = to_httpx_url(url, allow_insecure=settings.allow_insecure_hub)
    except Denied as error:
        if hub_url:
            raise UsageError(f"{where}: {error.detail}") from error
        raise SettingsError([f"{where}: {error.detail}"]) from error
    check_authorities(parsed.scheme)
    return Target(url, where, key, key_source, settings.allow_insecure_hub)


def _url(settings: CommandSettings, flag: str | None, login: Profile | None) -> tuple[str, str]:
    """Return the hub's URL, and the flag, variable or file that it is from."""
    if flag:
        return flag, "--hub-url"
    if settings.hub_url:
        return settings.hub_url, "TOWONEL_HUB_URL"
    if login:
        return login.hub_url, str(config_folder() / FILE)
    is_set = "hub_listen_addr" in settings.model_fields_set
    return loopback_url(settings.hub_listen_addr), "TOWONEL_HUB_LISTEN_ADDR" if is_set else DEFAULT


def _login(settings: CommandSettings, hub_url: str | None, name: str | None) -> Profile | None:
    """Return the named login, else the current one if it is of that hub."""
    name = name or settings.profile or None
    login = Profiles.read(config_folder()).find(name)
    url = hub_url or settings.hub_url
    if login is None or url is None or url.rstrip("/") == login.hub_url:
        return login
    if name is None:
        return None
    raise UsageError(f"--profile: {name} is a login of {login.hub_url}, and not of {url}")


def _key(
    settings: CommandSettings, flag: str | None, login: Profile | None, *, needs_key: bool
) -> tuple[SecretStr | None, str]:
    """Return the key, and the flag, variable or file that it is from."""
    if flag is not None:
        return parse_key(flag, "--api-key"), "--api-key"
    if settings.operator_key is not None and settings.operator_key.get_secret_value().strip():
        variable = settings.variable_of("operator_key")
        return parse_key(settings.operator_key.get_secret_value(), variable), variable
    if login is not None:
        return login.key, str(config_folder() / FILE)
    path = _key_path(settings)
    key = _key_in_file(path, required=needs_key)
    return key, "" if key is None else str(path)


def parse_key(text: str, where: str) -> SecretStr:
    """Check a key.

    Raises:
        SettingsError: naming where it is from.
    """
    text = text.strip()
    if not text or not (text.isascii() and text.isprintable()) or " " in text:
        raise SettingsError([f"{where}: is empty, or has characters that no key has"])
    return SecretStr(text)


def _key_path(settings: CommandSettings) -> Path:
    return settings.operator_key_path or (settings.data_dir or Path()) / KEY_FILE


def _key_in_file(path: Path, *, required: bool) -> SecretStr | None:
    try:
        if not path.exists():
            if required:
                raise SettingsError([_NO_KEY.format(path=path)])
            return None
        content = secretfile.read(path)
    except OSError as error:  # in a folder of another user
        raise SettingsError([f"{path}: cannot be read: {error.strerror}"]) from error
    except secretfile.SecretFileError as error:
        raise SettingsError([str(error)]) from error
    return parse_key(content.decode("ascii", errors="replace"), str(path))
