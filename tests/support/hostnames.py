"""Reference rule of hostname ownership, label by label, for tests of the hub."""

from towonel.wire.names import Hostname


def covers(pattern: Hostname, name: Hostname) -> bool:
    """Whether the owner of a pattern owns a name, which may be a pattern itself."""
    labels, below = name.split("."), pattern.removeprefix("*.").split(".")
    is_below = len(labels) > len(below) and labels[-len(below) :] == below
    return pattern == name or (pattern.startswith("*.") and is_below)
