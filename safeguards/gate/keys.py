"""Which key signs what this host writes."""

from __future__ import annotations

from safeguards.core.errors import ConfigurationError
from safeguards.core.signing import SIGNING_KEY, VERIFYING_KEYS, Signer, Verifier

__all__ = ["signer_of_entries"]


def signer_of_entries() -> Signer | None:
    """The signer of this host's key, if it has one.

    Raises `ConfigurationError` where keys are trusted and this host's is none of them: what it would write into a
    history would stop every promotion after it.
    """
    signer, verifier = Signer.configured(), Verifier.configured()
    if verifier is None:
        return signer
    if signer is None:
        raise ConfigurationError(
            f"{VERIFYING_KEYS} is set and {SIGNING_KEY} is not: entries of the history must be signed here; name a "
            "private key, or do this on a host that has one"
        )
    if not verifier.trusts(signer):
        raise ConfigurationError(
            f"the key that {SIGNING_KEY} names is not among those of {VERIFYING_KEYS}; add its public key there"
        )
    return signer
