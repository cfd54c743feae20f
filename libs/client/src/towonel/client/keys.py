"""API keys: made by an admin, each with a role, their secrets shown once."""

from http import HTTPMethod

from towonel.api.invites import RevokedOut
from towonel.api.keys import KeyEdit, KeyIn, KeyItem, KeyOut, KeyPage, KeyRotation, WhoAmI
from towonel.client import paths
from towonel.client.transport import HubTransport, Tagged

_KEYS = "/v1/keys"


class KeyCalls(HubTransport):
    """API keys, with the operator key or an admin's; errors as in `HubClient`."""

    async def create_key(self, wanted: KeyIn, *, idempotency_key: str | None = None) -> KeyOut:
        """Make a key; the answer holds its secret."""
        call = self._with_key(
            HTTPMethod.POST,
            _KEYS,
            wanted.model_dump_json(exclude_none=True).encode(),
            also={"idempotency-key": idempotency_key},
        )
        return await self._json(KeyOut, call)

    async def list_keys(self, *, limit: int | None = None, cursor: str | None = None) -> KeyPage:
        query = {"limit": limit, "cursor": cursor}
        return await self._json(KeyPage, self._with_key(HTTPMethod.GET, _KEYS, query=query))

    async def get_key(self, key_id: str) -> Tagged[KeyItem]:
        call = self._with_key(HTTPMethod.GET, paths.by_id(_KEYS, key_id))
        return await self._with_etag(KeyItem, call)

    async def update_key(
        self, key_id: str, edit: KeyEdit, *, if_match: str | None = None
    ) -> Tagged[KeyItem]:
        """Change the fields that the edit sets. Denied PRECONDITION_FAILED if it changed since."""
        call = self._with_key(
            HTTPMethod.PATCH,
            paths.by_id(_KEYS, key_id),
            edit.model_dump_json(exclude_unset=True).encode(),
            also={"if-match": if_match},
        )
        return await self._with_etag(KeyItem, call)

    async def rotate_key(
        self,
        key_id: str,
        rotation: KeyRotation | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> KeyOut:
        """Give a key a new secret; the one before still works for the rotation's grace."""
        call = self._with_key(
            HTTPMethod.POST,
            f"{paths.by_id(_KEYS, key_id)}/rotate",
            (rotation or KeyRotation()).model_dump_json().encode(),
            also={"idempotency-key": idempotency_key},
        )
        return await self._json(KeyOut, call)

    async def revoke_key(self, key_id: str) -> RevokedOut:
        """End a key; its secret opens nothing from now on."""
        call = self._with_key(HTTPMethod.DELETE, paths.by_id(_KEYS, key_id))
        return await self._json(RevokedOut, call)

    async def whoami(self) -> WhoAmI:
        """Ask whom the hub takes this client for; any key may."""
        return await self._json(WhoAmI, self._with_key(HTTPMethod.GET, f"{_KEYS}/self"))
