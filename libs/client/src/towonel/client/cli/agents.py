"""`towonel agent`: who serves for a tenant."""

from towonel.client.cli.command import group

app = group("Agents serve what their tenant publishes.")
