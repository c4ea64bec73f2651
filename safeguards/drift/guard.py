"""Have the data drifted from the reference? Judged at the end of each validation and test; drawn once at the end."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import Tensor

from safeguards.core.arguments import check_shares, check_whole
from safeguards.core.batch import take
from safeguards.core.errors import ConfigurationError, NotApplicable, RankError
from safeguards.core.predictions import answered
from safeguards.core.safeguard import Safeguard, SafeguardOptions
from safeguards.core.verdict import Measurement
from safeguards.drift.counts import UNKNOWN_RATIO, broken_by, check_ratio, row_count
from safeguards.drift.features import PREDICTIONS, Numbers, numbers, summarised
from safeguards.drift.findings import MIN_ROWS, compare, compared
from safeguards.drift.frames import check_source
from safeguards.drift.looks import Family, Looks, Repeated
from safeguards.drift.page import draw
from safeguards.drift.pages import Pages, page_path
from safeguards.drift.sample import RowSample
from safeguards.drift.sides import RowTable, Seen, on_one_grid, settled
from safeguards.drift.tables import Tables
from safeguards.drift.telling import left_out, measured
from safeguards.drift.training import Asked, ReadRows, training_rows

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

    from safeguards.core.batch import BatchFields
    from safeguards.core.rows import Rows
    from safeguards.core.scene import Scene
    from safeguards.drift.findings import Comparison
    from safeguards.drift.profile import Profile

__all__ = ["DriftReport"]

INSTEAD = "DriftReport(reference=PATH, columns=NAMES)"


class DriftReport(Safeguard):
    """Compares the rows that a model is judged on with a reference, column by column.

    Measure: ``drifted_share``, the share of the compared columns that drifted; 0 is none, 1 all. A column drifted when
    a test rejects (Benjamini-Hochberg over the columns, at what the look may spend of ``alpha``) and its distance is at
    least ``min_effect``, or when it broke: it is missing, new, of another type, all gaps, or infinite where the
    reference is not. It is stable when a distance of ``min_effect`` is excluded; between the two it is undecided and
    widens the interval. Where nothing drifted, any column is called drifted at any look of a fit with probability at
    most ``alpha``; beside columns that did drift, it is the expected share of false ones among those called drifted at
    a look that is bounded, by what that look may spend. ``row_ratio`` is the least and the most current rows per
    reference row that are in order: outside it every column broke. None decides nothing; row counts are told anyway.

    ``reference`` is "train", a pandas data frame, or the path of a Parquet or CSV file; ``current`` is "validation"
    (the rows of the running loader; in a test its rows), a frame or a path. "train" and "validation" are read from the
    data module's ``frame(split)`` where it has one, else from batches: ``columns`` then names the D features of (N, D)
    inputs, and images are compared by statistics of each. For frames ``columns`` names those to compare (default all).
    With ``fields`` the model's predictions are compared too, and so is the output of the submodule ``outputs_of``, in
    columns named "encoder 0" and on: (N, D), or (N, C) averaged over space; of more than 32 numbers 32 evenly spread.
    What is the model's own output is no column. With a table as reference neither can be compared, and it says so.
    ``sample`` rows of each side are compared. With ``report`` a page is drawn at the end of fit, or after each
    validation and test outside fit. The rest are the options of every safeguard (`SafeguardOptions`).

    Raises `ConfigurationError` for arguments that make no sense.
    """

    topic = "drift"
    measures = ("drifted_share",)
    judged_by = ("alpha", "min_effect", "row_ratio")

    def __init__(
        self,
        *,
        reference: Any,
        current: Any = "validation",
        columns: Sequence[str] | None = None,
        fields: BatchFields | None = None,
        sample: int = 5000,
        alpha: float = 0.05,
        min_effect: float = 0.1,
        row_ratio: tuple[float, float] | None = None,
        seed: int = 0,
        report: bool = True,
        **options: Unpack[SafeguardOptions],
    ) -> None:
        super().__init__(fields=fields, **options)
        self.reference = check_source("reference", reference, "train")
        self.current = check_source("current", current, "validation")
        self.columns = _names(columns)
        self.sample, self.seed, self.report = sample, seed, report
        check_whole(self, MIN_ROWS, sample=sample)
        check_shares(self, alpha=alpha, min_effect=min_effect)
        self.alpha, self.min_effect, self.row_ratio = alpha, min_effect, check_ratio(row_ratio)
        self.needs_identity = self.judges_weights = fields is not None
        self._asks_model = fields is not None and isinstance(reference, str)
        self._of = self.how.outputs_of or None
        if self._asks_model and self._of is not None:
            self.how = replace(self.how, outputs_of=None, features_of=self._of)
        self._given, self._read = self.how, ReadRows()
        self._tables = Tables(reference=self.reference, current=self.current, columns=self.columns, seed=seed)
        self._looks_at, self._repeated = Looks(), Repeated()
        self._pages = Pages()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The reference is read anew for each fit, validation or test."""
        super().setup(trainer, pl_module, stage)
        self.how = self._given
        self._tables.forget()
        self._read.clear()

    def prepare(self, scene: Scene) -> Seen:
        """An empty sample."""
        return Seen(sample=RowSample(k=self.sample, seed=self.seed))

    def observe(self, seen: Seen, rows: Rows, scene: Scene) -> None:
        """Keep a bounded sample of the rows of one batch, as numbers."""
        logits, output = self._logits(seen, rows), rows.features()
        if logits is not None:
            seen.faulty += int((~answered(logits)).sum())
        seen.own = seen.own and output is not None and logits is not None and self._same(output, logits, scene)
        seen.rows += rows.n

        def values(places: Tensor) -> Tensor:
            some = None if self._tables.hold(scene) else rows.inputs, logits, output
            found = self._numbers(len(places), *(some if len(places) == rows.n else take(some, places)))
            seen.names, seen.outputs, seen.width = found.names, found.outputs, found.width
            return found.values

        seen.sample.offer(rows.ids, values)

    def _logits(self, seen: Seen, rows: Rows) -> Tensor | None:
        try:
            return None if seen.refused else rows.logits()
        except NotApplicable as error:
            seen.refused = str(error)
            return None

    @staticmethod
    def _same(output: Tensor, logits: Tensor, scene: Scene) -> bool:
        """Whether the submodule gives what the model says."""
        try:
            given = scene.logits(output, len(logits))
        except NotApplicable:
            return False
        return given.shape == logits.shape and torch.allclose(given, logits, 1e-4, 1e-5, equal_nan=True)

    def _numbers(self, n: int, inputs: Any, logits: Tensor | None, output: Tensor | None) -> Numbers:
        return numbers(n, inputs, logits, output, columns=self.columns, of=self._of)

    def examine(self, seen: Seen, scene: Scene) -> Mapping[str, Measurement]:
        """Compare both sides; the tests run on rank 0 alone, which holds the frames."""
        k = scene.rows_within_budget(self.sample)
        if self.fields is None and not self._tables.hold(scene):
            raise NotApplicable("no rows to compare: give fields=, current=, or a data module with frame(split)")
        now = self._without_own(settled(seen, scene.ranks), scene)
        now, then = self._with_training_rows(now, scene, k)
        found = self._found(now, then, scene, k) if scene.ranks.rank == 0 else None
        told = scene.ranks.broadcast(found)
        assert told is not None  # noqa: S101 - rank 0 always has something to tell
        answer, families = told
        self._looks_at.note(_place(scene), families)
        return {"drifted_share": answer}

    def memory(self) -> dict[str, Any]:
        """Which data were looked at last, and since when."""
        return self._looks_at.memory()

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Go on with them."""
        self._looks_at.remember(memory)

    def _with_training_rows(self, now: RowTable, scene: Scene, k: int) -> tuple[RowTable, RowTable | None]:
        """All ranks: the training rows to compare with, and why there are no predictions where there are none."""
        if self.fields is None:
            return self._refusing(now, "fields= is not given"), None
        if not isinstance(self.reference, str):
            return self._refusing(now, "the reference is a table, which the model cannot be asked about"), None
        if not {"predictions", "outputs"} <= set(now.refused):
            try:
                return now, self._training_rows(now, scene, k)
            except (NotApplicable, RankError) as error:
                now = self._refusing(now, str(error))
        try:
            return now, None if self._tables.hold(scene) else self._training_rows(now, scene, k)
        except NotApplicable as error:
            instead = "" if summarised(now.names) else f"; or compare with a table: {INSTEAD}"
            raise NotApplicable(f"{error}{instead}") from error

    def _refusing(self, now: RowTable, why: str) -> RowTable:
        return now.refuse(predictions=why, outputs=why)

    def _without_own(self, now: RowTable, scene: Scene) -> RowTable:
        """All ranks: where the submodule gives what the model says, it is captured for that from the next look on."""
        if self._of is None or not self._asks_model:
            return now.refuse(outputs="none is named") if self._of is None else now
        if not now.own and scene.how.features_of is not None:
            return now
        self.how = replace(self.how, outputs_of=self._of, features_of=None)
        return now.refuse(outputs="it is what the model says")

    def _training_rows(self, now: RowTable, scene: Scene, k: int) -> RowTable:
        assert self.fields is not None  # noqa: S101 - asked before
        in_table = self._tables.hold(scene)
        values, rows = training_rows(
            scene,
            self.fields,
            k=k,
            seed=self.seed,
            ask=Asked(logits="predictions" not in now.refused, features="outputs" not in now.refused),
            columns=lambda n, inputs, *said: self._numbers(n, None if in_table else inputs, *said).values,
            read=self._read,
        )
        return replace(now, values=values, rows=rows)

    def _found(
        self, now: RowTable, then: RowTable | None, scene: Scene, k: int
    ) -> tuple[Measurement, dict[str, Family]]:
        """Rank 0: what both sides look like, compared."""
        if now.faulty:
            fault = f"the outputs of {now.faulty} of {now.rows} rows are NaN or infinite"
            return Measurement(value=float("nan"), n=now.rows, model_fault=fault), {}
        if then is not None:
            then, now = on_one_grid(then, now)
        reference, torn = self._tables.reference(then, scene, k)
        current, torn_now = self._tables.current(now, scene, k)
        named = self.columns if self._tables.hold(scene) else None
        families = self._families((reference, current), named, now.outputs, scene)
        asked: dict[str, Any] = {"families": families.values(), "min_effect": self.min_effect}
        known = self._repeated.known(_place(scene), families)
        found = compare(reference, current, columns=named, known=known, **asked)
        self._repeated.keep(_place(scene), families, found)
        thinned = scene.thinned and not self._tables.hold(scene)
        ratio = None if thinned else self.row_ratio
        count = row_count(reference, current, found, ratio=ratio, thinned=thinned, **asked)
        found = broken_by(count, found)
        rules: dict[str, Any] = {"alpha": self.alpha, "min_effect": self.min_effect, "seed": self.seed}
        rules |= {"row_ratio": ratio}
        rules["spent"] = {name: family.plain() for name, family in families.items()}
        notes = left_out(now, self._of)
        notes += [UNKNOWN_RATIO] if thinned and self.row_ratio is not None else []
        if self.report:
            rules["page"] = self._keep_for_page(reference, current, found, scene)
            notes += [] if scene.trainer.state.fn == "fit" else self._pages.draw(scene.trainer)
        torn_files = [text for text in (torn, torn_now) if text]
        answer = measured(found, reference, current, count=count, notes=notes, torn=torn_files, rules=rules)
        return answer, families

    def _families(
        self,
        sides: tuple[Profile, Profile],
        named: Sequence[str] | None,
        outputs: Collection[str],
        scene: Scene,
    ) -> dict[str, Family]:
        """Rank 0: inputs, outputs and predictions, each with an equal part of alpha for all of its looks."""
        asked = 1 if not self._asks_model else 2 if self._of is None else 3
        names, part = compared(*sides, named), self.alpha / asked
        sorts = {
            "inputs": [name for name in names if name not in PREDICTIONS and name not in outputs],
            "outputs": [name for name in names if name in outputs],
            "predictions": [name for name in names if name in PREDICTIONS],
        }
        return {
            sort: self._looks_at.family(sort, columns, sides, place=_place(scene), look=scene.look, alpha=part)
            for sort, columns in sorts.items()
            if columns
        }

    def _keep_for_page(
        self, reference: Profile, current: Profile, found: Mapping[str, Comparison], scene: Scene
    ) -> str:
        path, title = page_path(self.label, scene), f"Data drift, {self.name}, {scene.moment}"
        most = min(1.0, self.limits["drifted_share"].bound)
        page = partial(draw, reference.sample, current.sample, found, path, title=title, most=most)
        self._pages.keep(path, page)
        return str(path.relative_to(scene.directory))

    def finish(self, trainer: Trainer, module: LightningModule) -> None:
        """Draw the last judgement of each loader, on rank 0."""
        for problem in self._pages.draw(trainer):
            warnings.warn(f"drift report: {problem}", stacklevel=2)


def _place(scene: Scene) -> str:
    return f"{scene.moment.stage}/{scene.loader.name or ''}"


def _names(columns: Sequence[str] | None) -> list[str] | None:
    if columns is None:
        return None
    names = [columns] if isinstance(columns, str) else [str(name) for name in columns]
    if not names or isinstance(columns, str) or len(set(names)) < len(names):
        raise ConfigurationError(f"DriftReport(columns={columns!r}): expected a list of different names, or None")
    return names
