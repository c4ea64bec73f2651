"""Names and values as MLflow stores them: keys of at most 250 characters that are also paths, values of valid UTF-8."""

from __future__ import annotations

import hashlib
import re

__all__ = ["LONGEST_KEY", "LONGEST_PARAM", "LONGEST_TAG", "cut", "key", "text"]

LONGEST_KEY = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
_REFUSED = re.compile(r"[^\w./ -]")
_NO_FOLDER = re.compile(r"\.{0,2}")


def key(name: str) -> str:
    """``name`` itself where MLflow takes it; else what is left of it and a digest, so that two names never meet."""
    parts = [_REFUSED.sub("_", part) for part in name.split("/")]
    kept = "/".join("_" if _NO_FOLDER.fullmatch(part) else part for part in parts)
    if kept == name and len(name) <= LONGEST_KEY:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{kept[: LONGEST_KEY - 13]}-{digest}"


def text(value: object) -> str:
    """``str(value)`` without what databases refuse: lone surrogates and NUL become question marks."""
    return str(value).encode(errors="replace").decode().replace("\0", "?")


def cut(value: str, longest: int) -> str:
    """``value``, or its beginning and how long it was."""
    if len(value) <= longest:
        return value
    end = f"... [{len(value)} characters]"
    return value[: longest - len(end)] + end
