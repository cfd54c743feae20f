"""Client of the API keys: made by an admin, each with a role, its secret shown once."""

from http import HTTPMethod

from towonel.api.invites import RevokedOut
from towonel.api.keys import KeyEdit, KeyIn, KeyItem, KeyOut, KeyPage, KeyRotation, WhoAmI
from towonel.client import paths
from towonel.client.transport import HubTransport, Tagged

_KEYS = "/v1/keys"


class Keys:
    """Client of `/v1/keys`: API keys."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def create(self, key: KeyIn, *, idempotency_key: str | None = None) -> KeyOut:
        """Make a key; the answer holds its secret."""
        request = self._hub.with_key(
            HTTPMethod.POST,
            _KEYS,
            key.model_dump_json(exclude_none=True).encode(),
            extra_headers={"idempotency-key": idempotency_key},
        )
        return await self._hub.fetch(KeyOut, request)

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> KeyPage:
        query = {"limit": limit, "cursor": cursor}
        return await self._hub.get(KeyPage, _KEYS, query)

    async def get(self, key_id: str) -> Tagged[KeyItem]:
        return await self._hub.get_with_etag(KeyItem, paths.by_id(_KEYS, key_id))

    async def update(
        self, key_id: str, edit: KeyEdit, *, if_match: str | None = None
    ) -> Tagged[KeyItem]:
        """Change the fields that the edit sets. Denied PRECONDITION_FAILED if it changed since."""
        request = self._hub.with_key(
            HTTPMethod.PATCH,
            paths.by_id(_KEYS, key_id),
            edit.model_dump_json(exclude_unset=True).encode(),
            extra_headers={"if-match": if_match},
        )
        return await self._hub.fetch_with_etag(KeyItem, request)

    async def rotate(
        self,
        key_id: str,
        rotation: KeyRotation | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> KeyOut:
        """Give a key a new secret; the one before still works for the rotation's grace."""
        request = self._hub.with_key(
            HTTPMethod.POST,
            f"{paths.by_id(_KEYS, key_id)}/rotate",
            (rotation or KeyRotation()).model_dump_json().encode(),
            extra_headers={"idempotency-key": idempotency_key},
        )
        return await self._hub.fetch(KeyOut, request)

    async def revoke(self, key_id: str) -> RevokedOut:
        """End a key; its secret opens nothing from now on."""
        request = self._hub.with_key(HTTPMethod.DELETE, paths.by_id(_KEYS, key_id))
        return await self._hub.fetch(RevokedOut, request)

    async def whoami(self) -> WhoAmI:
        """Return the identity and role of the caller, with any key."""
        return await self._hub.get(WhoAmI, f"{_KEYS}/self")
