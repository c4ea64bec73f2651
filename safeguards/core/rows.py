"""What one batch gives to a safeguard, and the bounded sample of rows that a safeguard may keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from safeguards.core.batch import BatchFields, ordinary, rows_of, select, take
from safeguards.core.columns import read_labels
from safeguards.core.errors import ConfigurationError, FieldError
from safeguards.core.identity import hash_ids, mix

if TYPE_CHECKING:
    from safeguards.core.ranks import Ranks

__all__ = ["Known", "Rows", "Sample", "hashed", "read_rows"]

T = TypeVar("T")
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class Outputs(Protocol):
    """Gives the checked outputs of rows. ``covers_batch``: those of the whole batch are at hand, or must be made."""

    covers_batch: bool

    def __call__(self, rows: Rows) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The ``n`` real rows of one batch: padded copies are gone.

    ``target`` is a tensor ``(N, ...)`` or None; ``ids`` are int64 identities ``(N,)``, equal on any number of processes
    when ``identified``, else the order of arrival; ``positions`` are places in the data set or None.
    """

    batch: Any
    n: int
    ids: Tensor
    identified: bool
    positions: Tensor | None
    given: Any = field(repr=False)
    target: Tensor | None
    label: Callable[[], dict[str, list[Any]]] = field(repr=False)
    predict: Outputs = field(repr=False)
    beside: Callable[[], Tensor | None] = field(default=lambda: None, repr=False)

    @cached_property
    def inputs(self) -> Any:
        """As the batch gives them, in ordinary tensors: copied out of inference mode when first asked for."""
        return ordinary(self.given)

    @cached_property
    def groups(self) -> dict[str, list[Any]]:
        """One plain label per row and attribute, read when first asked for. Raises `FieldError`."""
        return self.label()

    def logits(self) -> Tensor:
        """Checked outputs: ``(N, C)`` logits or ``(N,)`` single logits, float32, without gradient.

        Computed once, and what went wrong is raised again as it was: asking twice never makes a second forward.
        """
        failure = self.__dict__.get("_failure")
        if failure is not None:
            raise failure
        try:
            return self._logits
        except Exception as error:
            self.__dict__["_failure"] = error
            raise

    @cached_property
    def _logits(self) -> Tensor:
        return self.predict(self).detach()

    def features(self) -> Tensor | None:
        """Raw output ``(N, ...)`` of the submodule `Predictions.features_of`; None without one, or without inputs.

        Raises `NotApplicable` unless the step called it exactly once with all rows of the batch.
        """
        found = self.beside()
        return None if found is None else found.detach()

    def without_inputs(self) -> Rows:
        """The same rows, read now: nothing keeps the batch alive, and what changes it later does not change them."""
        return self._slim

    @cached_property
    def _slim(self) -> Rows:
        return Rows(
            batch=None,
            n=self.n,
            ids=self.ids.clone(),
            identified=self.identified,
            positions=self.positions,
            given=None,
            target=None if self.target is None else self.target.detach().clone(),
            label=_known(lambda: self.groups),
            predict=Known(self.logits().clone()),
        )

    def only(self, keep: Tensor) -> Rows:
        """The rows that ``keep`` (bool ``(N,)``) marks, with the outputs that they had."""
        if bool(keep.all()):
            return self
        chosen = torch.nonzero(keep).flatten()
        return Rows(
            batch=self.batch,
            n=len(chosen),
            ids=self.ids[chosen],
            identified=self.identified,
            positions=None if self.positions is None else self.positions[chosen],
            given=_on_device(self.given, chosen),
            target=None if self.target is None else _on_device(self.target, chosen),
            label=lambda: {name: [labels[i] for i in chosen.tolist()] for name, labels in self.groups.items()},
            predict=_Chosen(self, chosen),
            beside=lambda: _on_device(self.beside(), chosen),
        )


class Known:
    """Outputs that are there."""

    covers_batch = True

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def __call__(self, rows: Rows) -> Tensor:
        return self.logits


def _known(work: Callable[[], T]) -> Callable[[], T]:
    """What the work gives or raises, once and for all."""
    try:
        value = work()
    except Exception as raised:
        error = raised

        def fail() -> T:
            raise error

        return fail
    return lambda: value


class _Chosen:
    """The outputs of some rows of a batch: picked from the batch's own, or a forward of those rows alone."""

    def __init__(self, rows: Rows, chosen: Tensor) -> None:
        self.rows, self.chosen = rows, chosen
        self.covers_batch = rows.predict.covers_batch

    def __call__(self, rows: Rows) -> Tensor:
        if self.covers_batch:
            return cast(Tensor, _on_device(self.rows.logits(), self.chosen))
        return self.rows.predict(rows)


def _on_device(tree: Any, chosen: Tensor) -> Any:
    return take(tree, chosen.to(tree.device) if isinstance(tree, Tensor) else chosen)


def read_rows(
    batch: Any,
    fields: BatchFields,
    *,
    arrived: int,
    positions: Tensor | None,
    size: int | None,
    predict: Outputs,
    beside: Callable[[], Tensor | None] = lambda: None,
    whose: str = "validate",
    keep: Callable[[Tensor], Tensor] | None = None,
) -> Rows:
    """Read every field of a batch whose first row is row ``arrived`` of its loader on this rank.

    ``whose`` says which column beside the set belongs to it: the loader's name where there are several, or the stage.
    ``keep`` tells by identities (N,) which rows are wanted, bool (N,): no other is copied.

    Raises `FieldError` when a field is missing or fields differ in their number of rows; for groups, when asked for.
    """

    def label() -> dict[str, list[Any]]:
        groups = fields.group_labels(batch, positions, size, whose)
        _same_length(n, {f"groups[{name!r}]": labels for name, labels in groups.items()})
        return groups

    given = select(batch, fields.inputs, "inputs")
    n = rows_of(given, "inputs")
    target = None if fields.target is None else _as_tensor(select(batch, fields.target, "target"))
    ids, identified = _identities(batch, fields, n, arrived, positions)
    _same_length(n, {"target": target, "row_id": ids})
    rows = Rows(
        batch=batch,
        n=n,
        ids=ids,
        identified=identified,
        positions=positions,
        given=given,
        target=target,
        label=label,
        predict=predict,
        beside=beside,
    )
    return _with_ordinary_target(rows if keep is None else rows.only(keep(ids)))


def _with_ordinary_target(rows: Rows) -> Rows:
    """Once no row is there that is not wanted: a tensor of inference mode is copied."""
    if rows.target is None:
        return rows
    target = ordinary(rows.target)
    target = target.squeeze(-1) if target.ndim == 2 and target.shape[1] == 1 else target
    return rows if target is rows.target else replace(rows, target=target)


def _as_tensor(value: Any) -> Tensor:
    """A tensor as it is, an array without a copy."""
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FieldError(
            f"target is a {type(value).__name__} that makes no tensor ({error}): "
            "give target= a function of the batch that maps labels to whole numbers"
        ) from error


def _identities(batch: Any, fields: BatchFields, n: int, arrived: int, positions: Tensor | None) -> tuple[Tensor, bool]:
    if fields.row_id is not None:
        return hashed(select(batch, fields.row_id, "row_id")), True
    if positions is not None:
        return positions, True
    return torch.arange(arrived, arrived + n), False


def hashed(row_id: Any) -> Tensor:
    """int64 identities (N,) of the row ids of a batch."""
    if isinstance(row_id, Tensor) and row_id.ndim == 1 and row_id.dtype in WHOLE:
        return row_id.detach().cpu().long()
    return hash_ids(read_labels(row_id, "row_id"))


def _same_length(n: int, others: dict[str, Any]) -> None:
    for name, values in others.items():
        if isinstance(values, Tensor) and values.ndim == 0:
            raise FieldError(f"{name} is a single value: a loader must give rows in batches, not one by one")
        if values is not None and len(values) != n:
            raise FieldError(f"{name} has {len(values)} rows, inputs have {n}: name fields of the same rows")


class Sample(Generic[T]):
    """At most ``k`` rows, those with the smallest hash of (seed, identity): the same on any number of processes.

    Raises `ConfigurationError` unless ``k`` is at least 1.
    """

    def __init__(self, *, k: int, seed: int = 0) -> None:
        if k < 1:
            raise ConfigurationError(f"Sample(k={k}): expected at least one row")
        self.k, self.seed = k, seed
        self._kept: list[tuple[int, int, int, T]] = []
        self._offered = 0

    def offer(self, ids: Tensor, items: Sequence[T] | Tensor | Callable[[int], T]) -> None:
        """Local: consider rows of int64 identities ``(N,)``.

        If row i stays, ``items[i]`` or ``items(i)`` is copied; of a tensor ``(N,)`` the plain number.
        """
        order = mix(ids, self.seed)
        hopeful = self._hopeful(order)
        places = (hopeful + self._offered).tolist()
        self._kept += zip(order[hopeful].tolist(), places, ids[hopeful].tolist(), _picked(items, hopeful), strict=True)
        self._offered += len(ids)
        self._kept.sort(key=itemgetter(0, 1))
        del self._kept[self.k :]

    def _hopeful(self, order: Tensor) -> Tensor:
        """Of the rows offered together, those among their own first k that are no worse than the worst kept."""
        first = torch.arange(len(order))
        if len(order) > self.k:
            worst = np.partition(order.numpy(), self.k - 1)[self.k - 1]
            first = torch.nonzero(order <= worst).flatten()
            first = first[order[first].sort(stable=True).indices[: self.k]]
        return first if len(self._kept) < self.k else first[order[first] <= self._kept[-1][0]]

    def settle(self, ranks: Ranks) -> list[tuple[int, T]]:
        """All ranks: this rank's part of the global sample, as (identity, item) in the order of hashes."""
        if ranks.world == 1:
            return [(identity, item) for _, _, identity, item in self._kept[: self.k]]
        held = ranks.gather([order for order, *_ in self._kept])
        everywhere = sorted(
            (order, rank, place) for rank, orders in enumerate(held) for place, order in enumerate(orders)
        )
        mine = {place for _, rank, place in everywhere[: self.k] if rank == ranks.rank}
        return [(row[2], row[3]) for place, row in enumerate(self._kept) if place in mine]


def _picked(items: Any, index: Tensor) -> list[Any]:
    if isinstance(items, Tensor) and items.ndim == 1:
        return items[index].tolist()
    item = items.__getitem__ if isinstance(items, Tensor) or not callable(items) else items
    return [copied(item(i)) for i in index.tolist()]


def copied(item: Any) -> Any:
    """Tensors of a row cloned, so that it does not keep its whole batch alive."""
    if isinstance(item, Tensor):
        return item.detach().clone()
    if isinstance(item, dict):
        return {key: copied(value) for key, value in item.items()}
    if isinstance(item, (list, tuple)) and not hasattr(item, "_fields"):
        return type(item)(copied(value) for value in item)
    return item
