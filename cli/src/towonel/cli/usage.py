"""Mistakes of whoever typed a command."""


class UsageError(Exception):
    """A flag or argument that cannot be meant; the text is for the user."""
