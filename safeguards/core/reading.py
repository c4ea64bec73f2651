"""One step of the loop as safeguards read it: what they ask for in the same way is read, and forwarded, once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from safeguards.core.batch import BatchFields, rows_of, select
from safeguards.core.block import Block, Part
from safeguards.core.errors import FieldError
from safeguards.core.identity import Places, mix
from safeguards.core.predictions import Capture, StepOutputs, Unsaid, as_logits, forward, given_by
from safeguards.core.ranks import Ranks
from safeguards.core.rows import Rows, read_rows

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

    from safeguards.core.judging import Entry

__all__ = ["Desk", "Group", "Reader", "Step", "only_takes", "takes_none"]

T = TypeVar("T")
THINNING_SEED = 0x5AFE


@dataclass
class Group:
    """Entries of one desk that take rows in blocks and ask for them in the same way."""

    block: Block
    entries: list[Entry] = field(default_factory=list)


@dataclass
class Desk:
    """One loader of the stage: who looks at it, how many of its rows this rank has seen, what its outputs look like."""

    name: str | None
    places: Places
    entries: list[Entry]
    arrived: int = 0
    unsaid: dict[Hashable, Unsaid] = field(default_factory=dict)

    @cached_property
    def streamed(self) -> list[Entry]:
        """One entry for each way in which rows are told by content, where workers may give the same ones."""
        return list({id(entry.repeats): entry for entry in self.entries if entry.repeats.looks}.values())

    @cached_property
    def groups(self) -> list[Group]:
        found: dict[Hashable, Group] = {}
        for entry in self.entries:
            if entry.safeguard.in_blocks and (fields := entry.safeguard.fields) is not None:
                found.setdefault(_asked(entry, fields), Group(Block(fields.inputs))).entries.append(entry)
        return list(found.values())


@dataclass
class Step:
    """One batch with what the step made of it, its first row being row ``start`` of the loader on this rank.

    ``rows`` is how many it had; 0 while nobody could count them. It may stand for several, of so many rows as ``steps``
    say, and its outputs may be ``logits`` that were checked before.
    """

    batch: Any
    outputs: Any
    captures: Mapping[str, Capture | Exception]
    start: int
    rows: int = 0
    steps: Sequence[int] | None = None
    logits: bool = False
    read: dict[Hashable, tuple[Rows, StepOutputs]] = field(default_factory=dict)

    @classmethod
    def of(cls, part: Part) -> Step:
        """The steps whose parts were put together."""
        given = {"logits": part.outputs}
        return cls(part.fields, given, {}, part.start, part.n, part.steps, part.logits)


class Reader:
    """Reads the rows of a step for a safeguard; where weights are partitioned, so that no rank waits for another."""

    def __init__(
        self, *, trainer: Trainer, module: LightningModule, ranks: Ranks, stage: str, partitioned: bool
    ) -> None:
        self.trainer, self.module, self.ranks, self.stage = trainer, module, ranks, stage
        self.partitioned = partitioned

    def read(self, entry: Entry, desk: Desk, step: Step, fields: BatchFields) -> tuple[Rows, StepOutputs]:
        """The real rows of a step. Raises `FieldError` and what the user's functions raise; `RankError` in lockstep."""
        asked = _asked(entry, fields)
        entry.unsaid = desk.unsaid.setdefault(asked, Unsaid())
        if asked not in step.read:
            step.read[asked] = self._read(entry, desk, step, fields)
        rows, source = step.read[asked]
        if self.partitioned and source.own_forward and entry.safeguard.reads_outputs:
            entry.whole_forwards = True
            with suppress(Exception):  # a forward takes all ranks: made before anything of the safeguard's own can fail
                rows.logits()
        return rows, source

    def part(self, entry: Entry, desk: Desk, step: Step, fields: BatchFields) -> Part | None:
        """What the entry would be shown of this step, to be read later with other steps; None where it is read now.

        So it is where ranks read in step, where a forward leaves out rows, and with all that is odd: reading tells why.
        """
        try:
            n = rows_of(select(step.batch, fields.inputs, "inputs"), "inputs")
            step.rows = max(step.rows, n)
            if self.partitioned or desk.places.expected(step.start) not in (None, n):
                return None
            given = given_by(step.outputs, _captured(step, entry.safeguard.how.outputs_of), n)
            if given is not None:
                return Part.of(step.batch, fields, start=step.start, n=n, outputs=given)
            rows, _ = self.read(entry, desk, step, fields)
            if rows.n != n:
                return None
            return Part.of(step.batch, fields, start=step.start, n=n, outputs=rows.logits(), logits=True)
        except Exception:  # not lost: read by itself right after this, it fails again and is the entry's error
            return None

    def _read(self, entry: Entry, desk: Desk, step: Step, fields: BatchFields) -> tuple[Rows, StepOutputs]:
        counting = self.ranks.together if self.partitioned else _alone
        n = counting(lambda: rows_of(select(step.batch, fields.inputs, "inputs"), "inputs"))
        step.rows = max(step.rows, n)
        source = self._source(entry, step, n)
        reading = self.ranks.together if self.partitioned and source.own_forward else _alone
        return reading(lambda: self._rows(entry, desk, step, fields, source, n)), source

    def _source(self, entry: Entry, step: Step, n: int) -> StepOutputs:
        how, unsaid = entry.safeguard.how, entry.unsaid
        capture, beside = _captured(step, how.outputs_of), _captured(step, how.features_of)

        def check(raw: Any, rows: int) -> Tensor:
            if step.logits:
                return cast(Tensor, raw)
            logits = as_logits(raw, rows, how.output, step.steps)
            if logits.ndim == 1 and how.output is None:
                unsaid.note(logits, step.start, step.steps)
            return logits

        return StepOutputs(
            step=step.outputs,
            capture=capture,
            batch_rows=n,
            make=lambda inputs: forward(self.trainer, self.module, inputs, how),
            check=check,
            lockstep=self.partitioned,
            beside=beside,
        )

    def _rows(self, entry: Entry, desk: Desk, step: Step, fields: BatchFields, source: StepOutputs, n: int) -> Rows:
        positions, copies = desk.places.slice(step.start, n)
        expected = desk.places.expected(step.start, len(step.steps or (n,)))
        if expected is not None and n != expected:
            raise FieldError(
                f"a batch has {n} rows where its sampler drew {expected}: which row is which cannot be told; "
                "a collate function must neither drop nor add rows, and the first tensor of inputs= must have one each"
            )
        return read_rows(
            step.batch,
            fields,
            arrived=step.start,
            positions=positions,
            size=desk.places.size,
            predict=source,
            beside=source.features,
            whose=self.stage if desk.name is None else desk.name,
            keep=None if copies is None and entry.keep_below is None else partial(_kept, entry, copies),
        )


def takes_none(entry: Entry, desk: Desk, partitioned: bool) -> bool:
    """Whether the cap leaves an entry no row of the next step, so that there is nothing to read or to hide.

    Known only where rows are told apart by their places; never where ranks must read in step.
    """
    fields, expected = entry.safeguard.fields, desk.places.expected(desk.arrived)
    if partitioned or fields is None or fields.row_id is not None or entry.keep_below is None or expected is None:
        return False
    positions, copies = desk.places.slice(desk.arrived, expected)
    return positions is not None and not bool(_kept(entry, copies, positions).any())


def _kept(entry: Entry, copies: Tensor | None, ids: Tensor) -> Tensor:
    """Which rows an entry is shown, bool (N,): no padded copies, and what its cap allows."""
    keep = torch.ones(len(ids), dtype=torch.bool) if copies is None else ~copies
    return keep if entry.keep_below is None else keep & (mix(ids, THINNING_SEED) <= entry.keep_below)


def only_takes(entry: Entry, step: Step) -> bool:
    """Whether all that an entry does with a step is to copy fields and outputs out of it, which leaves no trace.

    So it is where no forward, no function of the user's and no container with ways of its own takes part.
    """
    how, fields, batch = entry.safeguard.how, entry.safeguard.fields, step.batch
    keys = fields.keys if fields is not None and entry.safeguard.in_blocks else None
    given = type(step.outputs) is dict and step.outputs.get("logits") is not None
    if keys is None or (how.outputs_of is None and not given):
        return False
    if type(batch) is dict:
        return all(map(batch.__contains__, keys))
    return type(batch) in (list, tuple) and all(isinstance(key, int) for key in keys)


def _captured(step: Step, name: str | None) -> Capture | None:
    capture = None if name is None else step.captures.get(name)
    if isinstance(capture, Exception):
        raise capture
    return capture


def _asked(entry: Entry, fields: BatchFields) -> Hashable:
    """Entries of one desk that agree in this see the same rows with the same outputs."""
    how = entry.safeguard.how
    return fields, how.outputs_of, how.features_of, id(how.predict), how.output, entry.keep_below


def _alone(work: Callable[[], T]) -> T:
    return work()
