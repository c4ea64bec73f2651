"""The text of an HTML file, in the character set that a browser would take it for."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress

__all__ = ["html_text"]

MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
LOOKED_AT = 1024  # bytes in which HTML asks for the declaration
COMMENT = re.compile(rb"<!--.*?(-->|\Z)", re.DOTALL)
META = re.compile(rb"""<meta[\s/]((?:"[^"]*"|'[^']*'|[^'">])*)""", re.IGNORECASE)
ATTRIBUTE = re.compile(rb"""([^\s"'=/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"']*)))?""")
IN_CONTENT = re.compile(rb"""charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
SETS = re.compile(
    r"utf-?8|windows-?125\d|cp125\d|iso-?8859-?\d+|latin\d|koi8-[ru]|shift_jis|euc-(jp|kr)|gbk|gb2312|gb18030|big5"
)
WESTERN = "cp1252"
"""Bytes of which nothing says what they are."""
READ_AS = {
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "latin1", "ascii", "us-ascii"), WESTERN),
    **dict.fromkeys(("iso-8859-9", "iso8859-9", "latin5"), "cp1254"),
    **dict.fromkeys(("gb2312", "gbk"), "gb18030"),
    "shift_jis": "cp932",
    "euc-kr": "cp949",
}
"""What browsers take a label for: a wider set than its name."""


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
    head = COMMENT.sub(b"", content[:LOOKED_AT])
    labels = (_label(_attributes(found[1])) for found in META.finditer(head))
    name = next((label for label in labels if label), b"").decode("ascii", "replace").strip().lower()
    if name in READ_AS:
        return READ_AS[name]
    with suppress(LookupError):
        return codecs.lookup(name).name if SETS.fullmatch(name) else None
    return None


def _attributes(tag: bytes) -> dict[bytes, bytes]:
    found = ATTRIBUTE.finditer(tag)
    return {one[1].lower(): one[2] or one[3] or one[4] or b"" for one in found}


def _label(attributes: dict[bytes, bytes]) -> bytes:
    """The set that a meta element names, by an attribute of its own or as the type of the content."""
    if b"charset" in attributes:
        return attributes[b"charset"]
    of_type = attributes.get(b"http-equiv", b"").lower() == b"content-type"
    found = IN_CONTENT.search(attributes.get(b"content", b"")) if of_type else None
    return found[1] if found else b""
