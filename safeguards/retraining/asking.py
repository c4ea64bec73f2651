"""What two models answer on the same frozen rows, row by row: the evidence that a paired comparison is made of.

Legend: N rows, C classes. Logits are (N, C), or (N,) for one logit with classes 0 and 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from safeguards.core.batch import rows_of, select
from safeguards.core.canonical import sha256
from safeguards.core.columns import read_labels
from safeguards.core.errors import ConfigurationError, DataRefused, FieldError, NotApplicable
from safeguards.core.identity import hash_ids, mix
from safeguards.core.predictions import answered

if TYPE_CHECKING:
    from safeguards import BatchFields, ThreatModel

__all__ = ["UNLABELLED", "Answers", "Attack", "answers", "classes_of", "ids_of", "refuse_repeated", "same_rows"]

Flags = npt.NDArray[np.bool_]

UNLABELLED = -1
"""The class of a row whose label is not there yet: what a batch has as a number below 0, or as NaN."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """PGD on every row, each from starts drawn by its own identity, so that two models meet the same attacker."""

    threat: ThreatModel
    steps: int = 10
    restarts: int = 1
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Of N rows: identity, class, predicted class, confidence in it and groups. There is no class of rows without
    labels (None), and `UNLABELLED` of a row that has none yet.

    ``robust`` says which rows are right and stay so under the attack; None where none was made. A row whose outputs
    say nothing (NaN, +inf, every class at -inf) has confidence NaN and is wrong.

    A row has one vote: intervals of rows that stand several times would be too narrow. Raises `DataRefused` for those.
    """

    ids: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64] | None
    predicted: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    robust: Flags | None
    groups: Mapping[str, npt.NDArray[np.str_]]

    def __post_init__(self) -> None:
        refuse_repeated(self.ids)

    @property
    def right(self) -> Flags:
        """Which rows were predicted right. Raises `NotApplicable` where some have no label."""
        if self.target is None or (self.target == UNLABELLED).any():
            raise NotApplicable("there are rows without a label, so nothing tells which answers are right")
        return np.asarray((self.predicted == self.target) & np.isfinite(self.confidence))

    @property
    def labelled(self) -> Answers | None:
        """Of the rows that have a label; None where none has."""
        if self.target is None or (self.target == UNLABELLED).all():
            return None
        kept = self.target != UNLABELLED
        return Answers(**_those(kept, vars(self)))

    @property
    def rows(self) -> str:
        """SHA-256 over which rows these are, of which classes and in which groups, in their order."""
        told = {"ids": self.ids.tolist(), "target": None if self.target is None else self.target.tolist()}
        groups = {name: labels.tolist() for name, labels in self.groups.items()}
        return sha256(json.dumps([told, groups], sort_keys=True).encode())


def answers(
    module: nn.Module,
    batches: Iterable[Any],
    fields: BatchFields,
    *,
    attack: Attack | None = None,
    first_of_each: bool = False,
) -> Answers:
    """Ask the module for every row of the batches, in eval mode and in float32; nothing of it is changed but that.

    With ``first_of_each`` only the first of rows that share a row id has a vote: they are not refused.

    Raises `ConfigurationError` without a ``row_id`` in ``fields``: rows could not be told to be the same, and
    `DataRefused` for rows that share one.
    """
    if fields.row_id is None:
        raise ConfigurationError("answers(fields=...): give row_id=, so that two models are compared row by row")
    module.eval()
    parts = [_part(module, batch, fields, attack) for batch in batches]
    if not parts:
        raise NotApplicable("there are no rows to ask the model about")
    whole = _joined(parts)
    if first_of_each:
        _, first = np.unique(whole["ids"], return_index=True)
        whole = _those(np.sort(first), whole)
    return Answers(**whole)


def refuse_repeated(ids: npt.NDArray[np.int64]) -> None:
    """Raises `DataRefused` where rows share a row id."""
    again = len(ids) - len(np.unique(ids))
    if again:
        raise DataRefused(
            f"{again} of {len(ids)} rows have the row id of another; deliver each row once, with its own id"
        )


def ids_of(given: Any) -> Tensor:
    """Of N rows, (N,) whole numbers that tell them apart."""
    return given.long() if isinstance(given, Tensor) else hash_ids(read_labels(given, "row_id"))


def same_rows(champion: Answers, challenger: Answers) -> None:
    """Raises `FieldError` unless both answered the same rows, of the same classes and groups, in the same order."""
    if not np.array_equal(champion.ids, challenger.ids):
        raise FieldError("champion and challenger were not asked about the same rows in the same order")
    if not np.array_equal(champion.target, challenger.target):  # type: ignore[arg-type]
        raise FieldError("champion and challenger were asked about the same rows with different classes")
    if {name: labels.tolist() for name, labels in champion.groups.items()} != {
        name: labels.tolist() for name, labels in challenger.groups.items()
    }:
        raise FieldError("champion and challenger were asked about the same rows in different groups")


def _part(module: nn.Module, batch: Any, fields: BatchFields, attack: Attack | None) -> dict[str, Any]:
    inputs = select(batch, fields.inputs, "inputs")
    ids = ids_of(select(batch, fields.row_id, "row_id"))  # type: ignore[arg-type]
    target = None if fields.target is None else classes_of(select(batch, fields.target, "target"))
    with torch.no_grad():
        predicted, confidence = _said(_logits(module, inputs, rows_of(inputs, "inputs")))
    robust = None
    if attack is not None and target is not None:
        if bool((target == UNLABELLED).any()):
            raise NotApplicable("there are rows without a label, so nothing tells what an attack changes")
        robust = _robust(module, inputs, target, ids, attack) & (predicted == target)
    groups = fields.group_labels(batch, None, None)
    return {
        "ids": ids.numpy(),
        "target": None if target is None else target.numpy(),
        "predicted": predicted.numpy(),
        "confidence": confidence.numpy().astype(np.float64),
        "robust": None if robust is None else robust.numpy(),
        "groups": {name: np.array([str(label) for label in labels]) for name, labels in groups.items()},
    }


def _joined(parts: list[Any]) -> Any:
    """What `Answers` holds, of all parts: arrays end to end, mappings of them key by key."""
    if isinstance(parts[0], dict):
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}
    return None if parts[0] is None else np.concatenate(parts)


def _those(rows: npt.NDArray[Any], whole: Any) -> Any:
    """The same of these rows alone: an index, or a flag for each."""
    if isinstance(whole, Mapping):
        return {name: _those(rows, part) for name, part in whole.items()}
    return None if whole is None else whole[rows]


def classes_of(given: Any) -> Tensor:
    """Of N rows, (N,) whole numbers: `UNLABELLED` where a batch has a number below 0, or NaN."""
    found = torch.as_tensor(given)
    return torch.where((found >= 0) & torch.isfinite(found), found, UNLABELLED).long()


def _logits(module: nn.Module, inputs: Any, n: int) -> Tensor:
    logits = module(inputs)
    if not isinstance(logits, Tensor) or logits.ndim not in (1, 2) or len(logits) != n:
        raise NotApplicable(f"{type(module).__name__}.forward: expected logits (N, C) or (N,) for {n} rows")
    return logits.float()


def _said(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted class and the probability of it, NaN where the outputs say nothing."""
    if logits.ndim == 1:
        chosen = (logits > 0).long()
        confidence = torch.sigmoid(logits.abs())
    else:
        confidence, chosen = torch.softmax(logits, dim=1).max(dim=1)
    return chosen, torch.where(answered(logits), confidence, torch.nan)


def _robust(module: nn.Module, x: Tensor, y: Tensor, ids: Tensor, attack: Attack) -> Tensor:
    """Which rows are right at the place where the attack ends, and finite there."""
    from safeguards.adversarial.attacks import Runs, pgd

    runs = Runs(seeds=mix(ids, attack.seed), steps=attack.steps, restarts=attack.restarts)
    moved = pgd(module, x.float(), y, attack.threat, runs=runs, share=2.5 / attack.steps).x
    with torch.no_grad():
        predicted, confidence = _said(module(moved).float())
    return (predicted == y) & torch.isfinite(confidence)
