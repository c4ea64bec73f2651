"""Have the data drifted from the reference? Judged at the end of each validation and test; drawn once at the end."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import Tensor

from safeguards.core.arguments import check_shares, check_whole
from safeguards.core.errors import ConfigurationError, NotApplicable, RankError
from safeguards.core.names import encode
from safeguards.core.predictions import answered
from safeguards.core.progress import progress
from safeguards.core.rows import Sample
from safeguards.core.safeguard import Safeguard, SafeguardOptions
from safeguards.core.verdict import Measurement
from safeguards.drift.features import PREDICTIONS, features, predictions
from safeguards.drift.findings import MIN_ROWS, compare, compared
from safeguards.drift.frames import Source, check_source, module_frame, read_file
from safeguards.drift.looks import Family, Looks
from safeguards.drift.page import draw
from safeguards.drift.profile import Profile, profile
from safeguards.drift.sides import RowTable, Seen, joined, settled
from safeguards.drift.telling import measured
from safeguards.drift.training import training_rows

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

    from safeguards.core.batch import BatchFields
    from safeguards.core.rows import Rows
    from safeguards.core.scene import Scene
    from safeguards.drift.findings import Comparison

__all__ = ["DriftReport"]


class DriftReport(Safeguard):
    """Compares the rows that a model is judged on with a reference, column by column.

    Measure: ``drifted_share``, the share of the compared columns that drifted; 0 is none, 1 all. A column drifted when
    a test rejects (Benjamini-Hochberg over the columns, at what the look may spend of ``alpha``) and its distance is at
    least ``min_effect``, or when it broke: it is missing, new, of another type, all gaps, or infinite where the
    reference is not. It is stable when a distance of ``min_effect`` is excluded; between the two it is undecided and
    widens the interval. All looks of a fit together call a column drifted for nothing with probability ``alpha``.

    ``reference`` is "train", a pandas data frame, or the path of a Parquet or CSV file; ``current`` is "validation"
    (the rows of the running loader; in a test its rows), a frame or a path. "train" and "validation" are read from the
    data module's ``frame(split)`` where it has one, else from batches: ``columns`` then names the D features of (N, D)
    inputs, and images are compared by statistics of each. For frames ``columns`` names those to compare (default all).
    With ``fields`` the model's predictions are compared too; with a table as reference they cannot be, and it says so.
    ``sample`` rows of each side are compared. With ``report`` a page is drawn at the end of fit, or after each
    validation and test outside fit. The rest are the options of every safeguard (`SafeguardOptions`).

    Raises `ConfigurationError` for arguments that make no sense.
    """

    topic = "drift"
    measures = ("drifted_share",)
    judged_by = ("alpha", "min_effect")

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
        self.alpha, self.min_effect = alpha, min_effect
        self.needs_identity = self.judges_weights = fields is not None
        self._asks_model = fields is not None and isinstance(reference, str)
        self._known: dict[int, tuple[Profile, str | None]] = {}
        self._looks_at = Looks()
        self._pages: dict[Path, partial[str | None]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The reference is read anew for each fit, validation or test."""
        super().setup(trainer, pl_module, stage)
        self._known.clear()

    def prepare(self, scene: Scene) -> Seen:
        """An empty sample."""
        return Seen(sample=Sample(k=self.sample, seed=self.seed))

    def observe(self, seen: Seen, rows: Rows, scene: Scene) -> None:
        """Keep a bounded sample of the rows of one batch, as numbers."""
        logits = self._logits(seen, rows)
        if logits is not None:
            seen.faulty += int((~answered(logits)).sum())
        seen.names, values = self._numbers(scene, rows.inputs, logits, rows.n)
        seen.rows += rows.n
        seen.sample.offer(rows.ids, values)

    def _logits(self, seen: Seen, rows: Rows) -> Tensor | None:
        try:
            return None if seen.refused else rows.logits()
        except NotApplicable as error:
            seen.refused = str(error)
            return None

    def _numbers(self, scene: Scene, inputs: Any, logits: Tensor | None, n: int) -> tuple[list[str], Tensor]:
        """Names and values (N, F); predictions that are not there are NaN."""
        names, values = ([], torch.empty(n, 0)) if self._in_table(scene) else features(inputs, self.columns)
        said = torch.full((n, len(PREDICTIONS)), torch.nan) if logits is None else predictions(logits)
        return [*names, *PREDICTIONS], torch.cat([values, said], dim=1)

    def _in_table(self, scene: Scene) -> bool:
        """Whether a table has the current rows. ``frame(split)`` cannot tell the rows of several loaders apart."""
        has_frame = callable(getattr(getattr(scene.trainer, "datamodule", None), "frame", None))
        return not isinstance(self.current, str) or (has_frame and scene.loader.name is None)

    def examine(self, seen: Seen, scene: Scene) -> Mapping[str, Measurement]:
        """Compare both sides; the tests run on rank 0 alone, which holds the frames."""
        k = scene.rows_within_budget(self.sample)
        if k < MIN_ROWS:
            why = f"max_share_of_fit allowed {k} rows a side, at least {MIN_ROWS} are needed"
            return {"drifted_share": Measurement(value=float("nan"), n=0, insufficient=why)}
        if self.fields is None and not self._in_table(scene):
            raise NotApplicable("no rows to compare: give fields=, current=, or a data module with frame(split)")
        now = settled(seen, scene.ranks)
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
            return replace(now, refused="fields= is not given"), None
        if not isinstance(self.reference, str):
            return replace(now, refused="the reference is a table, which the model cannot be asked about"), None
        if now.refused is None:
            try:
                return now, self._training_rows(now, scene, k)
            except (NotApplicable, RankError) as error:
                now = replace(now, refused=str(error))
        return now, None if self._in_table(scene) else self._training_rows(now, scene, k)

    def _training_rows(self, now: RowTable, scene: Scene, k: int) -> RowTable:
        assert self.fields is not None  # noqa: S101 - asked before
        values = training_rows(
            scene,
            self.fields,
            k=k,
            seed=self.seed,
            ask=now.refused is None,
            columns=lambda inputs, logits, n: self._numbers(scene, inputs, logits, n)[1],
        )
        return RowTable(names=now.names, values=values, refused=now.refused)

    def _found(
        self, now: RowTable, then: RowTable | None, scene: Scene, k: int
    ) -> tuple[Measurement, dict[str, Family]]:
        """Rank 0: what both sides look like, compared."""
        if now.faulty:
            fault = f"the outputs of {now.faulty} of {now.rows} rows are NaN or infinite"
            return Measurement(value=float("nan"), n=now.rows, model_fault=fault), {}
        (reference, torn), (current, torn_now) = self._reference(then, scene, k), self._current(now, scene, k)
        named = self.columns if self._in_table(scene) else None
        families = self._families((reference, current), named, scene)
        found = compare(reference, current, families=families.values(), min_effect=self.min_effect, columns=named)
        rules: dict[str, Any] = {"alpha": self.alpha, "min_effect": self.min_effect, "seed": self.seed}
        rules["spent"] = {name: family.plain() for name, family in families.items()}
        notes = [] if now.refused is None else [f"predictions are not compared: {now.refused}"]
        if self.report:
            rules["page"] = self._keep_for_page(reference, current, found, scene)
            notes += [] if scene.trainer.state.fn == "fit" else self._draw(scene.trainer)
        torn_files = [text for text in (torn, torn_now) if text]
        return measured(found, reference, current, notes=notes, torn=torn_files, rules=rules), families

    def _families(self, sides: tuple[Profile, Profile], named: Sequence[str] | None, scene: Scene) -> dict[str, Family]:
        """Rank 0: inputs and predictions, each with half of alpha for all of its looks where both can be compared."""
        names, part = compared(*sides, named), self.alpha / 2 if self._asks_model else self.alpha
        sorts = {
            "inputs": [name for name in names if name not in PREDICTIONS],
            "predictions": [name for name in names if name in PREDICTIONS],
        }
        return {
            sort: self._looks_at.family(sort, columns, sides, place=_place(scene), look=scene.look, alpha=part)
            for sort, columns in sorts.items()
            if columns
        }

    def _reference(self, then: RowTable | None, scene: Scene, k: int) -> tuple[Profile, str | None]:
        if then is not None and not self._in_table(scene):
            return then.profile(sample=k, seed=self.seed), None
        if k not in self._known:
            self._known = {k: self._profiled(self._reference_table(scene), k)}
        table, torn = self._known[k]
        return (table if then is None else joined(table, then.profile(sample=k, seed=self.seed))), torn

    def _reference_table(self, scene: Scene) -> Source:
        if not self._in_table(scene) and self.columns is None:
            raise NotApplicable("columns= must name the features of the inputs to compare them with a reference table")
        source = module_frame(scene.trainer, "train") if isinstance(self.reference, str) else _source(self.reference)
        if source is None:
            raise NotApplicable(
                'reference="train" has no table: give the data module a frame(split), or reference= one'
            )
        return source

    def _current(self, now: RowTable, scene: Scene, k: int) -> tuple[Profile, str | None]:
        rows = now.profile(sample=k, seed=self.seed)
        if not self._in_table(scene):
            return rows, None
        split = "test" if scene.moment.stage == "test" else "validation"
        source = module_frame(scene.trainer, split) if isinstance(self.current, str) else _source(self.current)
        assert source is not None  # noqa: S101 - it is in a table
        table, torn = self._profiled(source, k)
        return joined(table, rows), torn

    def _profiled(self, source: Source, k: int) -> tuple[Profile, str | None]:
        known = profile(source.frame, sample=k, seed=self.seed, columns=self.columns, loose=source.loose)
        return known, source.torn

    def _keep_for_page(
        self, reference: Profile, current: Profile, found: Mapping[str, Comparison], scene: Scene
    ) -> str:
        loader = [] if scene.loader.name is None else [encode(scene.loader.name)]
        name = "-".join([self.label, scene.moment.stage, *loader])
        path = scene.directory / "drift" / f"{name}.html"
        title, most = f"Data drift, {self.name}, {scene.moment}", min(1.0, self.limits["drifted_share"].bound)
        self._pages[path] = partial(draw, reference.sample, current.sample, found, path, title=title, most=most)
        return str(path.relative_to(scene.directory))

    def _draw(self, trainer: Trainer) -> list[str]:
        """Draw what was kept; what went wrong with the charts."""
        pages, self._pages = self._pages, {}
        problems = []
        with progress(trainer, "drift page", len(pages), after=0) as told:
            for page in pages.values():
                problems.append(page())
                told()
        return [problem for problem in problems if problem]

    def finish(self, trainer: Trainer, module: LightningModule) -> None:
        """Draw the last judgement of each loader, on rank 0."""
        for problem in self._draw(trainer):
            warnings.warn(f"drift report: {problem}", stacklevel=2)


def _place(scene: Scene) -> str:
    return f"{scene.moment.stage}/{scene.loader.name or ''}"


def _source(given: Any) -> Source:
    return read_file(given) if isinstance(given, Path) else Source(frame=given)


def _names(columns: Sequence[str] | None) -> list[str] | None:
    if columns is None:
        return None
    names = [columns] if isinstance(columns, str) else [str(name) for name in columns]
    if not names or isinstance(columns, str) or len(set(names)) < len(names):
        raise ConfigurationError(f"DriftReport(columns={columns!r}): expected a list of different names, or None")
    return names
