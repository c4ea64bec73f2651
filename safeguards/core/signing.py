"""Signatures of Ed25519 over digests: made where a private key is configured, asked for where public keys are.

A digest alone says that a file is whole; a signature says who sealed it. Keys are PEM files, as
``openssl genpkey -algorithm ed25519 -out gate.pem`` and ``openssl pkey -in gate.pem -pubout -out gate.pub`` make them.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.canonical import canonical, parse, sha256
from safeguards.core.errors import ConfigurationError, EvidenceError
from safeguards.core.files import read_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["CARDS", "CHECKPOINTS", "RECORDS", "SIGNING_KEY", "VERIFYING_KEYS", "Signer", "Verifier"]

SIGNING_KEY = "SAFEGUARDS_SIGNING_KEY"
VERIFYING_KEYS = "SAFEGUARDS_VERIFYING_KEYS"
RECORDS, CHECKPOINTS, CARDS = b"safeguards record 1\n", b"safeguards checkpoint 1\n", b"safeguards card 1\n"
"""The purpose is signed along, so that a signature that was made for another is none."""
MAKE_KEY = "openssl genpkey -algorithm ed25519 makes one"
LARGEST_KEY = 10_000
LARGEST_SIGNATURE = 2_000


class Signer:
    """Signs with the private key of a PEM file without a password. Raises `ConfigurationError` for any other file."""

    def __init__(self, path: Path | str) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(read_whole(Path(path), at_most=LARGEST_KEY), password=None)
        except EvidenceError as error:
            raise ConfigurationError(f"Signer({str(path)!r}): {error}") from None
        except Exception as error:  # the text of another error could quote the key
            raise ConfigurationError(
                f"Signer({str(path)!r}): no PEM key without a password ({type(error).__name__}); {MAKE_KEY}"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError(f"Signer({str(path)!r}): no Ed25519 key; {MAKE_KEY}")
        self._key = key

    @classmethod
    def configured(cls) -> Signer | None:
        """The signer of the key that ``SAFEGUARDS_SIGNING_KEY`` names, if it names one."""
        path = os.environ.get(SIGNING_KEY)
        return cls(path) if path else None

    @property
    def public_key(self) -> Ed25519PublicKey:
        """What whoever checks its signatures needs to know."""
        return self._key.public_key()

    def sign(self, digest: str, purpose: bytes = RECORDS) -> bytes:
        """A signature file for a digest."""
        signature = base64.b64encode(self._key.sign(purpose + digest.encode())).decode()
        return canonical({"key": fingerprint(self.public_key), "signature": signature}) + b"\n"


class Verifier:
    """Trusts the public keys of these PEM files, and nobody else. Raises `ConfigurationError` for any other file."""

    def __init__(self, paths: Sequence[Path | str]) -> None:
        if not paths:
            raise ConfigurationError("Verifier(paths=[]): expected the file of at least one public key")
        self._keys = {fingerprint(key): key for key in map(_public, paths)}

    @classmethod
    def configured(cls) -> Verifier | None:
        """Of the keys that ``SAFEGUARDS_VERIFYING_KEYS`` names, separated as in PATH, if it names any."""
        named = [path for path in os.environ.get(VERIFYING_KEYS, "").split(os.pathsep) if path]
        return cls(named) if named else None

    @classmethod
    def of(cls, signer: Signer) -> Verifier:
        """That trusts this signer alone."""
        found = cls.__new__(cls)
        found._keys = {fingerprint(signer.public_key): signer.public_key}
        return found

    def trusts(self, signer: Signer) -> bool:
        """Whether what it signs is taken here."""
        return fingerprint(signer.public_key) in self._keys

    def check(self, digest: str, path: Path, purpose: bytes = RECORDS) -> None:
        """Raise `EvidenceError` unless ``path`` holds a trusted key's signature of ``digest``."""
        if not path.exists():
            raise EvidenceError(
                f"there is no signature {path.name}, and only what is signed is trusted here; write it again where "
                f"{SIGNING_KEY} names a key"
            )
        self.check_bytes(digest, read_whole(path, at_most=LARGEST_SIGNATURE), what=str(path), purpose=purpose)

    def check_bytes(self, digest: str, content: bytes, *, what: str, purpose: bytes = RECORDS) -> None:
        """As `check`, for a signature at hand."""
        from cryptography.exceptions import InvalidSignature

        held = parse(content, what=what)
        if not isinstance(held, dict) or set(held) != {"key", "signature"} or content != canonical(held) + b"\n":
            raise EvidenceError(f"{what} is no signature")
        key = self._keys.get(str(held["key"]))
        if key is None:
            raise EvidenceError(
                f"{what} is of a key that is not among those trusted here; if it may be, add it to {VERIFYING_KEYS}"
            )
        try:
            key.verify(_decoded(str(held["signature"])), purpose + digest.encode())
        except (InvalidSignature, ValueError):
            raise EvidenceError(f"{what} is no signature of it") from None


def _decoded(text: str) -> bytes:
    """Base64 has several texts for the same bytes; one of them is the form."""
    found = base64.b64decode(text, validate=True)
    if base64.b64encode(found).decode() != text:
        raise ValueError(text)
    return found


def fingerprint(key: Ed25519PublicKey) -> str:
    """By which a key is named: 16 digits of the SHA-256 of its bytes."""
    return sha256(key.public_bytes_raw())[:16]


def _public(path: Path | str) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(read_whole(Path(path), at_most=LARGEST_KEY))
    except EvidenceError as error:
        raise ConfigurationError(f"Verifier: {error}") from None
    except Exception as error:
        problem = f"{path} is no public key in PEM ({type(error).__name__})"
        raise ConfigurationError(f"Verifier: {problem}; openssl pkey -pubout makes it of a private one") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(f"Verifier: {path} is no Ed25519 key; {MAKE_KEY}")
    return key
