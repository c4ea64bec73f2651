"""Names from users, encoded so that every tracker accepts them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

__all__ = ["LONGEST", "decode", "encode", "labels"]

LONGEST = 80
_REFUSED = re.compile(r"[^A-Za-z0-9-]")
_CODE = re.compile(r"_([0-9a-f]+)_|__")


def encode(name: str) -> str:
    """``name`` in letters, digits, ``-`` and ``_``: a code point in hexadecimal between underscores for any other.

    `decode` gives it back, unless it is longer than ``LONGEST``: then it is cut and ends in a digest of the whole.
    """
    encoded = _REFUSED.sub(lambda found: "__" if found.group() == "_" else f"_{ord(found.group()):x}_", name)
    if len(encoded) <= LONGEST:
        return encoded
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{encoded[: LONGEST - 13]}-{digest}"


def decode(encoded: str) -> str:
    """The inverse of `encode` for names that were not cut."""
    return _CODE.sub(lambda found: chr(int(found.group(1), 16)) if found.group(1) else "_", encoded)


def labels(named: Iterable[tuple[str | None, str]]) -> list[str]:
    """What verdicts call the safeguards of a run, each given as its name, if any, and its topic.

    It is the topic, or the encoded name; the second that would be called the same ends in ``.2``, and so on.
    """
    taken: Counter[str] = Counter()
    found = []
    for name, topic in named:
        label = encode(name) if name and name != topic else topic
        taken[label] += 1
        found.append(label if taken[label] == 1 else f"{label}.{taken[label]}")
    return found
