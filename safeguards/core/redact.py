"""Secrets out of whatever is about to be stored or said: by the name of a key, by the shape of a value, by a URI.

A secret becomes `MARK`, so that a reader sees that something was there. The rule errs on the side of hiding: a
parameter that is called ``key`` and is none is hidden too, but numbers and flags are kept unless the name speaks of
a password or a secret (``max_tokens=512`` stays).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["MARK", "is_secret_key", "known_secrets", "redact", "redact_tree", "safe_line"]

MARK = "[redacted]"

# Anywhere in a key, once case and punctuation are gone.
STRONG = re.compile(
    "passw|passphrase|secret|credential|authorization|cookie|connectionstring|webhook"
    "|(?:api|access|private|account|auth|signing|encryption|master|sas|ssh|service)(?:key|token)"
)
# The last word of a key: these name secrets when they hold text, and counts or columns when they hold numbers.
WEAK = frozenset({"key", "keys", "token", "tokens", "pwd", "pass", "auth", "pat", "dsn", "sig", "signature", "bearer"})
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")

# An authority may hold several "@", and a password that nobody escaped may hold "/", "?" or "#". The looks behind and
# the bounds on repetition, here and below, keep the time of a search linear in the text.
USERINFO = re.compile(r"(?i)(?<![a-z0-9+.-])([a-z0-9+.-]+://)(?:[^\s/?#]{0,4000}|[^\s/:@]{1,4000}:\S{0,4000})@")
SHAPES = re.compile(
    "|".join(
        (
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)",
            r"\b(?i:bearer|basic)\s+(?=\S*[0-9A-Z=])[A-Za-z0-9._~+/=-]{12,}",
            r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA)[A-Z0-9]{16}\b",
            r"\bgh[pousr]_[A-Za-z0-9]{20,}",
            r"\bgithub_pat_[A-Za-z0-9_]{20,}",
            r"\bglpat-[A-Za-z0-9_-]{20,}",
            r"\bhf_[A-Za-z0-9]{20,}",
            r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{20,}",
            r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
            r"\bAIza[A-Za-z0-9_-]{35}",
            r"\bya29\.[A-Za-z0-9_-]{10,}",
            r"\beyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?",
            r"\bdapi[0-9a-f]{32}",
            r"\b(?:npm|pypi)[_-][A-Za-z0-9_-]{30,}",
            r"https://hooks\.slack\.com/\S+",
        )
    ),
    re.DOTALL,
)
ASSIGNED = re.compile(r"""(?<![\w.-])(?:(--[\w.-]+)(?:\s+|=)|([\w.-]+)["']?\s*(?:=>|[=:])\s*)""")
QUOTED = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
# Up to white space, unless a separator opens the next ``key=``: nobody knows which marks an unquoted secret contains.
NEXT = r"""[,;&]["']?[\w.-]+["']?\s*[=:]"""
BARE = re.compile(
    rf"{re.escape(MARK)}|(?:(?i:bearer|basic|digest|token)\s+)?(?:(?!{NEXT})\S)*(?:(?!{NEXT})[^\s,;.)}}\]])|\S+"
)
# Shorter values of the environment are words, and hiding them everywhere would hide the text around them.
SHORTEST_KNOWN = 8
FOLDERS = frozenset({"PWD", "OLDPWD"})


def is_secret_key(name: str, value: object = "") -> bool:
    """Whether a value of this name is a secret; a number or a flag is only one under a name that says so outright."""
    words = [word.casefold() for word in WORD.findall(name)]
    if STRONG.search("".join(words)):
        return value is not None
    return bool(words) and words[-1] in WEAK and not isinstance(value, (bool, int, float, type(None)))


def known_secrets(environment: Mapping[str, str]) -> frozenset[str]:
    """The values of those variables whose name says that they are secrets, to be hidden wherever they turn up."""
    return frozenset(
        value
        for name, value in environment.items()
        if len(value) >= SHORTEST_KNOWN and name not in FOLDERS and is_secret_key(name, value)
    )


def redact(text: str, known: Collection[str] = ()) -> str:
    """``text`` without userinfo in URIs, values of secret keys, known shapes of keys and tokens, and ``known`` secrets.

    A key and its value are ``key=value``, ``key: value``, ``'key': 'value'`` or ``--key value``.
    """
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, MARK)
    return _assignments(SHAPES.sub(MARK, USERINFO.sub(rf"\g<1>{MARK}@", text)))


def safe_line(text: object) -> str:
    """A text, such as an error's, on one line that a terminal can show, without secrets: it may quote an argument."""
    words = redact(" ".join(str(text).split()), known_secrets(os.environ))
    return "".join(letter if letter.isprintable() else "?" for letter in words)


def redact_tree(value: Any, known: Collection[str] = ()) -> Any:
    """A copy of nested mappings and sequences without secrets; keys are texts too. Other objects are left alone."""
    if isinstance(value, str):
        return redact(value, known)
    if isinstance(value, Mapping):
        return {_key(k, known): _hidden(k, v) or redact_tree(v, known) for k, v in value.items()}
    if isinstance(value, list):
        return [redact_tree(item, known) for item in value]
    if isinstance(value, tuple):
        return tuple(redact_tree(item, known) for item in value)
    return value


def _key(key: Any, known: Collection[str]) -> Any:
    return redact(key, known) if isinstance(key, str) else key


def _hidden(key: Any, value: Any) -> str | None:
    return MARK if is_secret_key(str(key), value) else None


def _assignments(text: str) -> str:
    """Each ``key=`` is looked at apart, because in ``error: token: x`` the value of one key is another key."""
    parts: list[str] = []
    done = 0
    for found in ASSIGNED.finditer(text):
        if found.start() < done or not is_secret_key(found[1] or found[2]):
            continue
        quoted = QUOTED.match(text, found.end())
        value = quoted or BARE.match(text, found.end())
        if value is None or _is_count(found[2], value[0]):
            continue
        mark = f"{value[0][0]}{MARK}{value[0][-1]}" if quoted else MARK
        parts += [text[done : found.end()], mark]
        done = value.end()
    return "".join([*parts, text[done:]])


def _is_count(key: str | None, value: str) -> bool:
    """Whether a bare value is a number or a flag that its key alone does not make a secret."""
    plain = re.fullmatch(r"[+-]?[\d.]+(?:e[+-]?\d+)?|None|null|True|False|true|false", value)
    return plain is not None and not is_secret_key(key or "", 0)
