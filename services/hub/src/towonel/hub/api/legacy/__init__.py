"""Endpoints of the original's clients, which the rest of the API does not need.

To remove the original's compatibility from the hub, delete the `legacy` package of `api`, `operations`, `store`
and `core`, and then

- `api/application.py`: the two imports of `api.legacy`, `entries.router`, `route_stream.router`, and the
  argument `CBOR_BODIES` of `document.install` with its parameter; `api/openapi/document.py`: the tag `entries`;
- `operations/tenant_lifecycle.py`: the line of `remove` that deletes `EntryRow`; the table stays until a migration
  drops it, with `InviteRow.last_sequence`;
- `context.py`: `Hub.subscribers`, `Policy.open_tenant_logs` and `Policy.agents`; `metrics.py`: `entries_accepted`,
  `entries_rejected` and `subscribers`; and the settings they come from.

`POST /v1/bootstrap` without an agent id, and the large default page of `LongPage`, also exist for the original's
clients only.
"""
