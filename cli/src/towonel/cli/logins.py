"""Saved logins: hubs and their keys, in a file that only its user can read.

A key is sent to its own hub and to no other.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_serializer

from towonel.cli.errors import UsageError
from towonel.runtime import secretfile
from towonel.runtime.settings import SettingsError

FILE = "profiles.json"
DEFAULT = "default"
MAX_PROFILES = 100
NAME = r"^[A-Za-z0-9._-]{1,64}$"


class Profile(BaseModel):
    """A hub and the key for it."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    hub_url: str
    key: SecretStr

    @field_serializer("key")
    def serialize_key(self, key: SecretStr) -> str:
        return key.get_secret_value()


class Profiles(BaseModel):
    """All logins of a user, and the current one."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    current: str | None = None
    profiles: dict[str, Profile] = Field(default_factory=dict[str, Profile])

    @classmethod
    def read(cls, folder: Path) -> "Profiles":
        """Read the file; no logins if it does not exist.

        Raises:
            SettingsError: the file is broken, or other users may read it.
        """
        path = folder / FILE
        try:
            if not path.exists():
                return cls()
            return cls.model_validate_json(secretfile.read(path))
        except secretfile.SecretFileError as error:
            raise SettingsError([str(error)]) from error
        except OSError as error:
            raise SettingsError([f"{path}: cannot be read: {error.strerror}"]) from error
        except ValidationError:  # its text shows what the file holds
            raise SettingsError([f"{path}: is broken; remove it and log in again"]) from None

    def write(self, folder: Path) -> None:
        """Replace the file, or leave it as it was.

        Raises:
            SettingsError: the folder cannot be written.
        """
        path = folder / FILE
        try:
            secretfile.replace(path, self.model_dump_json(indent=1).encode() + b"\n")
        except OSError as error:
            raise SettingsError([f"{path}: cannot be written: {error.strerror}"]) from error

    def find(self, name: str | None) -> Profile | None:
        """Return the login of this name, or the current one for None; None if there are no logins.

        Raises:
            UsageError: listing the names, if this is not one of them.
        """
        chosen = name or self.current
        if chosen is None:
            return None
        login = self.profiles.get(chosen)
        if login is None and name is not None:
            names = ", ".join(sorted(self.profiles)) or "none; log in with `towonel login URL`"
            raise UsageError(f"--profile: there is no {name!r}; there is: {names}")
        return login

    def add(self, name: str, profile: Profile) -> None:
        """Add or replace a profile, and make it the current one.

        Raises:
            UsageError: there are too many.
        """
        if name not in self.profiles and len(self.profiles) >= MAX_PROFILES:
            raise UsageError(f"--profile: there are {MAX_PROFILES} already; log out of one")
        self.profiles[name] = profile
        self.current = name

    def remove(self, name: str) -> None:
        """Remove a profile."""
        del self.profiles[name]
        if self.current == name:
            self.current = next(iter(sorted(self.profiles)), None)
