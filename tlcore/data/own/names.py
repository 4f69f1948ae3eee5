"""Names that others gave: of classes, files and sets, made safe to show anywhere."""

from __future__ import annotations

import unicodedata

MOST_LETTERS = 60
MOST_SHOWN = 60
# Letters, their marks, digits and signs such as emoji; of punctuation what no page and no chart reads as markup.
_KINDS = ("L", "M", "N", "So")
_ALSO = frozenset(" -_.,'&+()%")


def clean(name: str) -> str:
    """A name in its composed form, without what could be read as markup, or not be seen at all.

    Args:
        name: Any text.

    Returns:
        One line; it may be empty, and as long as the text.
    """
    composed = unicodedata.normalize("NFC", name)
    kept = "".join(
        letter if letter in _ALSO or unicodedata.category(letter).startswith(_KINDS) else " " for letter in composed
    )
    return " ".join(kept.split())


def same(name: str) -> str:
    """What two names share that differ in capitals only, or in how their letters are written."""
    return unicodedata.normalize("NFKC", name).casefold()


def shown(name: str) -> str:
    """A file's name in a sentence: its last parts, cut in the middle where it is long."""
    text = "/".join(part for part in map(clean, name.replace("\\", "/").split("/")[-2:]) if part) or "a file"
    half = MOST_SHOWN // 2 - 1
    return text if len(text) <= MOST_SHOWN else f"{text[:half]}…{text[-half:]}"
