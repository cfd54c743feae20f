"""Names of variables: those that nothing reads, and those that Kubernetes sets by itself."""

import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher

from towonel.runtime.addresses import is_ip
from towonel.runtime.environment.text import clean
from towonel.runtime.environment.values import FILE_SUFFIX

_MAX_LONGER = 3  # names that go on where one ends, to choose from
_NEAR = 2  # letters that two names may differ by: one replaced or swapped, or two too many

# What Kubernetes sets in each container for each service of its namespace, as Docker once did for
# links: for a service `our-web` OUR_WEB_SERVICE_HOST, OUR_WEB_PORT=tcp://10.0.0.7:8443 and so on.
_PORT = r".+_PORT_\d+_(?:TCP|UDP|SCTP)"
_ADDRESS = re.compile(rf".+_SERVICE_HOST|{_PORT}_ADDR", re.ASCII)
_NUMBER = re.compile(rf".+_SERVICE_PORT(?:_[A-Z0-9_]+)?|{_PORT}_PORT", re.ASCII)
_PROTOCOL = re.compile(rf"{_PORT}_PROTO", re.ASCII)
_URL = re.compile(rf".+_PORT|{_PORT}", re.ASCII)
_LINK_URL = re.compile(r"(?:tcp|udp|sctp)://\S+:\d{1,5}", re.ASCII)


def find_unknown(
    environ: Mapping[str, str],
    known: Iterable[str],
    replaced: Mapping[str, str],
    prefixes: tuple[str, ...],
) -> list[str]:
    """Return a line for each variable that begins with a prefix of ours and that nothing reads.

    An empty one is not set.

    Args:
        environ: the environment.
        known: names that are read, without `_FILE`.
        replaced: what to do about names that are read no more; one that ends in `_` stands for all
            that begin with it.
        prefixes: of names that must be known.
    """
    names = frozenset(known)
    return [
        f"{name}: {_advise(name.removesuffix(FILE_SUFFIX), names, replaced)}"
        for name, value in sorted(environ.items())
        if name.startswith(prefixes)
        and clean(value)
        and not {name, name.removesuffix(FILE_SUFFIX)} & names
        and not is_service_link(name, value)
    ]


def is_service_link(name: str, value: str) -> bool:
    """Whether a variable has the name and the value that Kubernetes gives to a service's."""
    return (
        bool(_ADDRESS.fullmatch(name) and is_ip(value))
        or bool(_NUMBER.fullmatch(name) and value.isascii() and value.isdigit())
        or bool(_PROTOCOL.fullmatch(name) and value in {"tcp", "udp", "sctp"})
        or bool(_URL.fullmatch(name) and _LINK_URL.fullmatch(value))
    )


def _advise(name: str, known: frozenset[str], replaced: Mapping[str, str]) -> str:
    families = (text for old, text in replaced.items() if old[-1] == "_" and name.startswith(old))
    advice = replaced.get(name) or next(families, None)
    if advice is not None:
        return f"is not read; {advice}"
    longer = sorted(other for other in known if other.startswith(f"{name}_"))
    if 0 < len(longer) <= _MAX_LONGER:
        return f"unknown variable; did you mean {' or '.join(longer)}?"
    near = min(known, key=lambda other: (_difference(name, other), other), default="")
    if near and _difference(name, near) <= _NEAR:
        return f"unknown variable; did you mean {near}?"
    return "unknown variable; remove it, or see the README for those there are"


def _difference(one: str, other: str) -> int:
    """Return how many letters of two names have no partner in the other; underscores do not count."""
    one, other = one.replace("_", ""), other.replace("_", "")
    if abs(len(one) - len(other)) > _NEAR:
        return len(one) + len(other)
    blocks = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return len(one) + len(other) - 2 * sum(block.size for block in blocks)
