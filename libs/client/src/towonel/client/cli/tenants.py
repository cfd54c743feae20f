"""`towonel tenant`: who may publish here."""

from towonel.client.cli.command import group

app = group("Tenants publish services; each is one key.")
