"""A stored model: what its folder holds, checked byte for byte before any of it is used.

``model.json`` names a class and plain arguments, and gives size and SHA-256 of each other file. Nothing here unpickles,
and nothing is imported that is not on the caller's list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safeguards.core.canonical import canonical, parse, sha256
from safeguards.core.errors import EvidenceError
from safeguards.core.files import digest_of_file, is_plain_name, read_whole, write_whole

__all__ = ["DESCRIPTION", "EXAMPLE", "EXPORTED", "WEIGHTS", "StoredModel"]

DESCRIPTION = "model.json"
WEIGHTS = "weights.safetensors"
EXAMPLE = "example.safetensors"
EXPORTED = "model.pt2"
FILES = (WEIGHTS, EXAMPLE, EXPORTED)
FORM = 1
CHANGED = "was changed after it was stored: its bytes do not give its digest"
LARGEST_DESCRIPTION = 4 << 20
CLASS_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """``digest`` is that of ``model.json``; ``files`` gives bytes and SHA-256 of each other file.

    ``notes`` says what a reader should know: why there is no pt2 copy, for one.
    """

    folder: Path
    digest: str
    class_path: str
    arguments: Mapping[str, Any]
    files: Mapping[str, tuple[int, str]]
    ties: Mapping[str, str]
    example: Mapping[str, Any] | None
    notes: Mapping[str, str]

    @property
    def weights(self) -> str:
        """Digest of the file of weights."""
        return self.files[WEIGHTS][1]

    @property
    def names(self) -> list[str]:
        """Of all files, ``model.json`` included."""
        return [DESCRIPTION, *sorted(self.files)]

    def content(self, name: str) -> bytes:
        """The bytes of one file once they have given its digest; the very bytes, not the file read again.

        Raises `EvidenceError`.
        """
        if name not in self.files:
            raise EvidenceError(f"{self.folder} holds no {name}")
        size, digest = self.files[name]
        content = read_whole(self.folder / name, at_most=size)
        if sha256(content) != digest:
            raise EvidenceError(
                f"{self.folder / name} was changed after it was stored: its bytes do not give its digest"
            )
        return content

    def check(self) -> list[str]:
        """One sentence for each file that is missing or was changed."""
        problems = []
        for name, expected in self.files.items():
            try:
                if digest_of_file(self.folder / name) != expected:
                    problems.append(f"{name} {CHANGED}")
            except EvidenceError as error:
                problems.append(str(error))
        return problems

    @classmethod
    def read(cls, folder: Path, *, digest: str | None = None) -> StoredModel:
        """The description in a folder. Raises `EvidenceError` unless it is one, and of this digest if one is given."""
        content = read_whole(folder / DESCRIPTION, at_most=LARGEST_DESCRIPTION)
        if digest is not None and sha256(content) != digest:
            raise EvidenceError(
                f"{folder / DESCRIPTION} is not the one that was sealed: its bytes do not give its digest"
            )
        data = parse(content, what=str(folder / DESCRIPTION))
        try:
            return _described(folder, sha256(content), data)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise EvidenceError(f"{folder / DESCRIPTION} does not describe a stored model") from None

    @classmethod
    def write(cls, folder: Path, description: Mapping[str, Any], names: list[str]) -> StoredModel:
        """Describe the files of a folder, last of all. Raises ``OSError``."""
        files = {name: list(digest_of_file(folder / name)) for name in names}
        write_whole(folder / DESCRIPTION, canonical({**description, "files": files, "form": FORM}) + b"\n")
        return cls.read(folder)


def _described(folder: Path, digest: str, data: Any) -> StoredModel:
    files = {name: (int(size), str(sha)) for name, (size, sha) in data["files"].items()}
    good = (
        data["form"] == FORM
        and WEIGHTS in files
        and all(is_plain_name(name) and name in FILES for name in files)
        and CLASS_PATH.fullmatch(data["class_path"])
        and all(isinstance(key, str) for key in data["arguments"])
    )
    if not good:
        raise ValueError
    return StoredModel(
        folder=folder,
        digest=digest,
        class_path=data["class_path"],
        arguments=dict(data["arguments"]),
        files=files,
        ties={str(name): str(first) for name, first in data["ties"].items()},
        example=None if data["example"] is None else dict(data["example"]),
        notes={str(name): str(text) for name, text in data["notes"].items()},
    )
