"""Text of values: freed of what editors and shells add, and what is odd about what is left."""

import codecs
import re
import string

# Marks that no editor shows: byte order mark, zero-width characters, marks of direction.
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060\u200e\u200f"
_AROUND = string.whitespace + "\u00a0" + _INVISIBLE
_QUOTES = "\"'"
_UNUSABLE = re.compile("(?P<surrogate>[\ud800-\udfff])|[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_ODD = re.compile(
    f"(?P<quote>[\u2018-\u201f\u00ab\u00bb])|(?P<invisible>[{_INVISIBLE}\u00a0\u2000-\u200a\u3000])|(?P<line>[\r\n])"
)
_ODDITIES = {
    "quote": "a typographic quote",
    "invisible": "a character that cannot be seen",
    "line": "a line break",
}
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def clean(text: str) -> str:
    """Return a value without white space, byte order mark and one pair of quotes around it.

    No setting has a value for which they mean anything. Files of an editor begin with the mark or
    end with a carriage return; `docker run --env-file` keeps quotes that a shell takes away.
    """
    text = text.strip(_AROUND)
    first, inner, last = text[:1], text[1:-1], text[1:][-1:]
    if first and first in _QUOTES and last == first and first not in inner:
        return inner.strip(_AROUND)
    return text


def decode(data: bytes) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 that begins with its mark.

    Raises:
        ValueError: with what it is instead, and how to mend it.
    """
    encoding = "utf-16" if data.startswith(_UTF_16_MARKS) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError("is not text; save it as UTF-8") from None
    if "\0" in text:
        raise ValueError("is not text: it has zero bytes, as UTF-16 has; save it as UTF-8")
    return text


def find_unusable(text: str) -> str | None:
    """Return why no setting can have this value, or None."""
    found = _UNUSABLE.search(text)
    if found is None:
        return None
    if found["surrogate"]:
        return f"is not UTF-8 at character {found.start() + 1}"
    return f"has a control character {_locate(found)}"


def find_oddity(text: str) -> str | None:
    """Return what people seldom mean to have in a value, to explain why it was refused; or None."""
    found = _ODD.search(text)
    if found:
        return f"it has {_ODDITIES[str(found.lastgroup)]} {_locate(found)}"
    if {text[:1], text[-1:]} & set(_QUOTES):
        return "it has a quote at one end"
    return None


def _locate(found: re.Match[str]) -> str:
    return f"(U+{ord(found[0]):04X}) at character {found.start() + 1}"
