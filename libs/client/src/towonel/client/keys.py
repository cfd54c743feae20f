"""Client of the API keys: made by an admin, each with a role, its secret shown once."""

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
        return await self._hub.post(KeyOut, _KEYS, key, idempotency_key=idempotency_key)

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> KeyPage:
        query = {"limit": limit, "cursor": cursor}
        return await self._hub.get(KeyPage, _KEYS, query)

    async def get(self, key_id: str) -> Tagged[KeyItem]:
        return await self._hub.get_with_etag(KeyItem, paths.by_id(_KEYS, key_id))

    async def update(
        self, key_id: str, edit: KeyEdit, *, if_match: str | None = None
    ) -> Tagged[KeyItem]:
        """Change the fields that the edit sets. Denied PRECONDITION_FAILED if it changed since."""
        path = paths.by_id(_KEYS, key_id)
        return await self._hub.edit(KeyItem, path, edit, if_match=if_match)

    async def rotate(
        self,
        key_id: str,
        rotation: KeyRotation | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> KeyOut:
        """Give a key a new secret; the one before still works for the rotation's grace."""
        return await self._hub.post(
            KeyOut,
            f"{paths.by_id(_KEYS, key_id)}/rotate",
            rotation or KeyRotation(),
            idempotency_key=idempotency_key,
        )

    async def revoke(self, key_id: str) -> RevokedOut:
        """End a key; its secret opens nothing from now on."""
        return await self._hub.delete(RevokedOut, paths.by_id(_KEYS, key_id))

    async def whoami(self) -> WhoAmI:
        """Return the identity and role of the caller, with any key."""
        return await self._hub.get(WhoAmI, f"{_KEYS}/self")
