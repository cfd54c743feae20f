"""Parser of durations: `48h`, `7d`, `1d 12h`, `never`."""

import re

_UNIT_S = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 604_800),
    **dict.fromkeys(("M", "month", "months"), 2_630_016),  # 30.44 days
    **dict.fromkeys(("y", "year", "years"), 31_557_600),  # 365.25 days
}
_NEVER = {"", "0", "never", "forever"}
_PART = re.compile(r"\s*([0-9]{1,9})\s*([A-Za-z]+)", re.ASCII)
_MAX_CHARS = 64  # longer than any duration a person writes


def parse_duration(text: str) -> int | None:
    """Return the seconds of a duration, or None for `never`, `forever`, `0` and empty text.

    Raises:
        ValueError: with a sentence for the user.
    Source: inventory §1.8 (the forms of the humantime crate, whole seconds and up).
    """
    text = text.strip()
    if text in _NEVER:
        return None
    parts = _parts(text) if len(text) <= _MAX_CHARS else None
    if not parts or any(unit not in _UNIT_S for _, unit in parts):
        raise ValueError(
            "write a number and a unit (s, m, h, d, w, month, year), such as 48h, 7d or 1d 12h; or never"
        )
    return sum(number * _UNIT_S[unit] for number, unit in parts) or None


def _parts(text: str) -> list[tuple[int, str]] | None:
    parts: list[tuple[int, str]] = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            return None
        parts.append((int(match[1]), match[2]))
        position = match.end()
    return parts
