"""Which weights were judged: verdicts of a fit speak of the model that comes out of it only if those are the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from safeguards.core.partition import local_part
from safeguards.core.verdict import Moment

if TYPE_CHECKING:
    from safeguards.core.ranks import Ranks

__all__ = ["REMEDY", "Judged", "weights_digest"]

ELEMENTS = 1024
REMEDY = {"validation": ": judge these with trainer.validate()", "train_epoch": ""}


@torch.no_grad()
def weights_digest(module: nn.Module, *, buffers: bool = True) -> bytes:
    """Of the bits of at most ``ELEMENTS`` elements of every parameter and persistent buffer, evenly spread. Local.

    Of a parameter that is split its local part. What trains, averages or restores weights changes all: a few tell.
    """
    digest = hashlib.blake2b(digest_size=16)
    for tensor in chain(module.parameters(), _persistent(module) if buffers else ()):
        part = local_part(tensor)
        if part is not None:
            digest.update(_bits(part))
    return digest.digest()


def _persistent(module: nn.Module) -> Iterator[Tensor]:
    """Buffers that a checkpoint keeps; what a model works out anew, such as a cache, is not part of it."""
    for part in module.modules():
        for name, buffer in part._buffers.items():
            if buffer is not None and name not in part._non_persistent_buffers_set:
                yield buffer


def _bits(part: Tensor) -> bytes:
    """Of a layout without plain elements (sparse, quantised) how often it was written to, which costs no job."""
    if part.layout is not torch.strided or part.is_quantized or part.is_nested:
        return b"" if part.is_inference() else str(part._version).encode()
    step = max(1, math.ceil(part.numel() / ELEMENTS))
    return part.reshape(-1)[::step].contiguous().view(torch.uint8).cpu().numpy().tobytes()


class Judged:
    """The digests of the weights that were judged in one fit, by the kind of judgement, and when.

    A model answers by its buffers too, such as running statistics. Processes may have each its own; those that come out
    of a fit, because a checkpoint keeps them, are of the first.
    """

    def __init__(self) -> None:
        self._looks: dict[str, list[tuple[bytes, Moment]]] = {}

    def note(self, kind: str, module: nn.Module, moment: Moment, ranks: Ranks) -> None:
        """These weights are judged now. Local."""
        self._looks.setdefault(kind, []).append((weights_digest(module, buffers=ranks.rank == 0), moment))

    def since(self, module: nn.Module, ranks: Ranks) -> dict[str, str]:
        """All ranks: for each kind whose last judgement was of other weights than these, what to tell."""
        now = weights_digest(module, buffers=ranks.rank == 0)
        found = {kind: _place(now, looks) for kind, looks in self._looks.items()}
        everywhere = ranks.gather(found)
        agreed = {kind: places.pop() for kind in found if len(places := {each[kind] for each in everywhere}) == 1}
        return {
            kind: _words(looks, agreed.get(kind, -1)) + REMEDY[kind]
            for kind, looks in self._looks.items()
            if agreed.get(kind, -1) != len(looks) - 1
        }


def _place(digest: bytes, looks: list[tuple[bytes, Moment]]) -> int:
    """The last look at these weights; -1 when there was none."""
    return next((place for place in reversed(range(len(looks))) if looks[place][0] == digest), -1)


def _words(looks: list[tuple[bytes, Moment]], place: int) -> str:
    judged = f"were judged earlier, at {looks[place][1]}" if place >= 0 else "were not judged in it"
    return f"the weights that this fit ends with {judged}; the last verdict, of {looks[-1][1]}, is of others"
