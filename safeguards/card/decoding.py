"""The text of an HTML file, in the character set that a browser would take it for."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress

__all__ = ["html_text"]

MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
LOOKED_AT = 1024  # bytes in which HTML asks for the declaration
DECLARED = re.compile(rb"""<meta[^>]{1,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_-]{1,20})""", re.IGNORECASE)
SETS = re.compile(
    r"utf-?8|windows-?125\d|cp125\d|iso-?8859-?\d+|latin\d|koi8-[ru]|shift_jis|euc-(jp|kr)|gbk|gb2312|gb18030|big5"
)
WESTERN = "cp1252"
"""As browsers read latin-1, and bytes of which nothing says what they are."""
WESTERN_TOO = ("iso-8859-1", "iso8859-1", "latin1", "ascii", "us-ascii")


def html_text(content: bytes) -> str:
    """By its mark at the beginning, else by what it declares, else UTF-8, else Western; never raises.

    Bytes that the set lacks become the sign for that.
    """
    for mark, name in MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(name, "replace")
    if declared := _declared(content):
        return content.decode(declared, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode(WESTERN, "replace")


def _declared(content: bytes) -> str | None:
    found = DECLARED.search(content[:LOOKED_AT])
    name = found[1].decode().lower() if found else ""
    if name in WESTERN_TOO:
        return WESTERN
    with suppress(LookupError):
        return codecs.lookup(name).name if SETS.fullmatch(name) else None
    return None
