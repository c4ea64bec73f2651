"""The processes of a job: agree first, communicate after.

Every meeting of the ranks opens with a header that says what each is about to do and whether it has failed. A rank
that fails anywhere meets the others with its failure, so all raise the same `RankError`, wherever the others were:
nobody waits for a rank that is gone, and no two different collectives are ever paired. The exception is a forward of a
model whose weights are partitioned, which is a collective of its own.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from safeguards.core.errors import RankError, SafeguardError
from safeguards.core.redact import known_secrets, redact

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

__all__ = ["Ranks", "describe"]

T = TypeVar("T")
LONGEST_TEXT = 600


def describe(error: BaseException) -> str:
    """An exception in one line without secrets: the text of an error of ours, type and text of any other."""
    text = redact(" ".join(str(error).split()), known_secrets(os.environ))
    kind = "" if isinstance(error, SafeguardError) else type(error).__name__
    text = ": ".join(filter(None, (kind, text)))
    return text[:LONGEST_TEXT]


class Ranks:
    """``rank`` of ``world`` processes; with one process every meeting returns at once."""

    def __init__(self, *, rank: int = 0, world: int = 1, device: torch.device | None = None) -> None:
        self.rank = rank
        self.world = world
        self.device = device or torch.device("cpu")

    @classmethod
    def of(cls, trainer: Trainer) -> Ranks:
        """The ranks of a trainer whose strategy has set up its environment."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        on_gpu = dist.get_backend() == "nccl"
        device = trainer.strategy.root_device if on_gpu else torch.device("cpu")
        return cls(rank=dist.get_rank(), world=dist.get_world_size(), device=device)

    def together(self, work: Callable[[], T]) -> T:
        """Do local work; return its result if it went well on all ranks, raise `RankError` on all otherwise."""
        try:
            result = work()
        except RankError:
            raise
        except Exception as error:
            self._fail(error)
        self._meet("together")
        return result

    def agree(self, problem: str | None) -> None:
        """Raise `RankError` on all ranks if any has a problem."""
        self._meet("together", problem)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on some rank."""
        return self.max(float(flag)) > 0

    def max(self, value: float) -> float:
        """The largest value of all ranks (float64)."""
        return float(self._reduce(torch.tensor([value], dtype=torch.float64), dist.ReduceOp.MAX, "max")[0])

    def min(self, value: float) -> float:
        """The smallest value of all ranks (float64)."""
        return -self.max(-value)

    def sum(self, tensor: Tensor) -> Tensor:
        """Elementwise sum over the ranks, in the dtype and on the device of ``tensor``; shapes must be equal."""
        return self._reduce(tensor.detach().clone(), dist.ReduceOp.SUM, f"sum {tuple(tensor.shape)} {tensor.dtype}")

    def gather(self, item: T) -> list[T]:
        """What each rank holds, in the order of ranks. Items are pickled between the ranks of one job only."""
        self._meet("gather")
        return self._exchange(item)

    def broadcast(self, item: T, *, src: int = 0) -> T:
        """What rank ``src`` holds."""
        if self.world == 1:
            return item
        self._meet(f"broadcast {src}")
        held = [item]
        dist.broadcast_object_list(held, src=src, device=self.device)
        return held[0]

    def _reduce(self, tensor: Tensor, operation: Any, kind: str) -> Tensor:
        self._meet(kind)
        if self.world == 1:
            return tensor
        moved = tensor.to(self.device)
        dist.all_reduce(moved, op=operation)
        return moved.to(tensor.device)

    def _exchange(self, item: T) -> list[T]:
        if self.world == 1:
            return [item]
        held: list[Any] = [None] * self.world
        dist.all_gather_object(held, item)
        return held

    def _fail(self, error: Exception) -> None:
        try:
            self._meet("together", describe(error))
        except RankError as agreed:
            raise agreed from error

    def _meet(self, kind: str, problem: str | None = None) -> None:
        if self.world == 1:
            if problem is not None:
                raise RankError([(0, problem)], world=1)
            return
        header = torch.tensor([problem is not None, zlib.crc32(kind.encode())], dtype=torch.int64, device=self.device)
        headers = [torch.empty_like(header) for _ in range(self.world)]
        dist.all_gather(headers, header)
        failed, kinds = torch.stack(headers).cpu().unbind(1)
        if failed.any():
            texts = self._exchange(problem)
            raise RankError([(r, text) for r, text in enumerate(texts) if text is not None], world=self.world)
        if len(set(kinds.tolist())) > 1:
            doing = self._exchange(kind)
            raise RankError([(r, f"about to {what}") for r, what in enumerate(doing)], world=self.world)
