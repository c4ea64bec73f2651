"""Predictions in place of a model: the safeguards of a training run judge them, and so say the same of them.

Legend: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from safeguards.core.batch import BatchFields
from safeguards.core.compat import installed_namespaces, loaded_namespaces
from safeguards.core.ending import Summary
from safeguards.core.errors import ConfigurationError
from safeguards.core.limit import Limit
from safeguards.core.run import Run
from safeguards.core.safeguard import Safeguard
from safeguards.drift.guard import DriftReport
from safeguards.fairness.guard import FairnessCheck

__all__ = ["judge_predictions"]

ROWS_AT_ONCE = 4096
SURE = 8.0
"""The logit of the class that was predicted, where no more is known of it; of the others it is 0."""
MOST_SHOWN = 10
"""Classes that an error names."""
Labels = npt.NDArray[Any]
S = TypeVar("S", bound=Safeguard)


def judge_predictions(
    *,
    features: Any,
    predictions: Any,
    targets: Any,
    directory: Path,
    limits: Mapping[str, Any],
    groups: Sequence[str] | Mapping[str, Any] = (),
    output: Literal["labels", "probabilities", "logits"] = "labels",
    classes: Sequence[Any] | None = None,
    fairness: Mapping[str, Any] | None = None,
    drift: Mapping[str, Any] | None = None,
) -> Summary:
    """Judge N predictions of a classifier, of any kind, by the safeguards of a training run.

    Args:
        features: a data frame or an array of N rows.
        predictions: a class for each row; or with ``output`` probabilities or logits, ``(N, C)``, or ``(N,)`` of the
            second of two classes.
        targets: the true class of each row.
        directory: takes the ledger and reports.
        limits: ``{"fairness/<measure>": {"at_most": 0.1}, "drift/drifted_share": {"at_most": 0.1}}``.
        groups: names of columns of ``features``, or for each name a column or N labels.
        output: what the predictions are.
        classes: the class of each column. None is the classes of ``targets`` as they sort, where there are as many.
        fairness: options of `FairnessCheck`; ``positive`` is the class itself.
        drift: options of `DriftReport`: ``reference``, the path of a table, is needed.

    Raises:
        ConfigurationError: for a limit without its data, lengths that differ, or options that make no sense.

    """
    table, truth = _table(features), np.asarray(targets).reshape(-1)
    if unknown := int(_is_nan(truth).sum()):
        raise ConfigurationError(f"targets: {unknown} of {len(truth)} rows have no class; leave them out")
    by_topic = _limits(limits)
    known, outputs = _outputs(predictions, truth, output, None if classes is None else _distinct(classes))
    places = _places(truth, known, "targets")
    watching: list[Safeguard] = []
    if "fairness" in by_topic:
        watching.append(_fairness(by_topic["fairness"], dict(fairness or {}), _labels(groups, table), known, output))
    if "drift" in by_topic:
        watching.append(_drift(by_topic["drift"], dict(drift or {}), table))
    rows = _Rows(outputs, places, _labels(groups, table))
    return _judged(watching, rows, directory)


class _Rows:
    """N rows as batches of plain fields."""

    def __init__(self, outputs: torch.Tensor, target: Labels, groups: Mapping[str, list[Any]]) -> None:
        if {len(outputs), len(target), *map(len, groups.values())} != {len(outputs)}:
            raise ConfigurationError(
                f"predictions, targets and groups are of {len(outputs)}, {len(target)} and "
                f"{[len(labels) for labels in groups.values()]} rows: expected as many of each"
            )
        self._outputs, self._target, self._groups = outputs, torch.from_numpy(target.astype(np.int64)), groups

    def __len__(self) -> int:
        return len(self._outputs)

    def __getitem__(self, index: int) -> int:
        return index

    def batch(self, rows: list[int]) -> dict[str, Any]:
        """The fields of these rows."""
        named = {f"group {name}": [labels[row] for row in rows] for name, labels in self._groups.items()}
        return {"outputs": self._outputs[rows], "target": self._target[rows], "row": torch.tensor(rows), **named}


def _judged(watching: list[Safeguard], rows: _Rows, directory: Path) -> Summary:
    namespace = (loaded_namespaces() or installed_namespaces())[0]
    lightning = import_module(namespace)

    class Given(lightning.LightningModule):  # type: ignore[name-defined,misc]
        """Answers with what was predicted."""

        def validation_step(self, batch: dict[str, Any], _: int) -> dict[str, Any]:
            return {"logits": batch["outputs"]}

    every: Any = rows
    loader: Any = torch.utils.data.DataLoader(every, batch_size=ROWS_AT_ONCE, collate_fn=rows.batch)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        callbacks=watching,
        default_root_dir=directory,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.validate(Given(), loader, verbose=False)
    run = Run.of(trainer)
    return Summary(run_id=run.run_id, directory=run.directory, verdicts=tuple(run.verdicts), ended=run.ended)


def _limits(limits: Mapping[str, Any]) -> dict[str, dict[str, Limit]]:
    known = {"fairness": FairnessCheck.measures, "drift": DriftReport.measures}
    found: dict[str, dict[str, Limit]] = {}
    for name, limit in limits.items():
        topic, _, measure = str(name).partition("/")
        if measure not in known.get(topic, ()):
            names = [f"{topic}/{measure}" for topic, measures in known.items() for measure in measures]
            raise ConfigurationError(f"limits: no measure {str(name)!r}; there are {', '.join(names)}")
        found.setdefault(topic, {})[measure] = limit if isinstance(limit, Limit) else _limit(name, limit)
    if not found:
        raise ConfigurationError("limits: expected at least one, as in {'fairness/worst_group_accuracy': {...}}")
    return found


def _limit(name: str, limit: Any) -> Limit:
    try:
        return Limit(**limit)
    except TypeError:
        raise ConfigurationError(f"limits: {name}: {limit!r}: expected at_most or at_least, and warn_within") from None


def _fairness(
    limits: Mapping[str, Limit], options: dict[str, Any], groups: Mapping[str, Any], classes: Labels, output: str
) -> FairnessCheck:
    if not groups:
        raise ConfigurationError("limits on fairness need groups: names of columns, or a list of labels for each name")
    if "positive" in options:
        positive = np.flatnonzero(classes == options["positive"])
        if len(positive) != 1:
            raise ConfigurationError(f"fairness: positive={options['positive']!r} is none of {classes.tolist()}")
        options["positive"] = int(positive[0])
    fields = BatchFields(
        inputs="outputs", target="target", groups={name: f"group {name}" for name in groups}, row_id="row"
    )
    said = "probabilities" if output == "probabilities" else "logits"
    return _made(FairnessCheck, fields=fields, limits=limits, output=said, options=options)


def _drift(limits: Mapping[str, Limit], options: dict[str, Any], table: Any) -> DriftReport:
    if "reference" not in options:
        raise ConfigurationError("limits on drift need drift={'reference': PATH}: the table to compare with")
    return _made(DriftReport, current=table, limits=limits, options={"report": False, **options})


def _made(kind: type[S], *, options: Mapping[str, Any], **given: Any) -> S:
    try:
        return kind(**given, **options)
    except TypeError as error:
        raise ConfigurationError(f"{kind.topic}: {error}") from None


def _table(features: Any) -> Any:
    import pandas as pd

    if isinstance(features, pd.DataFrame):
        return features
    values = np.asarray(features)
    return pd.DataFrame(values.reshape(len(values), -1), columns=None).add_prefix("feature ")


def _labels(groups: Sequence[str] | Mapping[str, Any], table: Any) -> dict[str, list[Any]]:
    named = groups if isinstance(groups, Mapping) else {name: name for name in groups}
    return {
        str(name): _column(table, where) if isinstance(where, str) else list(where) for name, where in named.items()
    }


def _column(table: Any, name: str) -> list[Any]:
    if name not in table.columns:
        raise ConfigurationError(f"groups: no column {name!r} among {', '.join(map(str, table.columns))}")
    return list(table[name].astype(object))


def _outputs(predictions: Any, truth: Labels, output: str, classes: Labels | None) -> tuple[Labels, torch.Tensor]:
    """The class of each column, and logits or probabilities of each row."""
    given = np.asarray(predictions)
    if output == "labels":
        return _one_hot(given.reshape(-1), truth, classes)
    if output not in ("probabilities", "logits"):
        raise ConfigurationError(f"output: {output!r}: expected labels, probabilities or logits")
    columns = max(2, given.shape[1] if given.ndim == 2 else 1)
    if classes is None:
        classes = _seen(truth, columns)
    elif len(classes) != columns:
        raise ConfigurationError(f"classes={classes.tolist()}: {len(classes)} classes for {columns} columns")
    return classes, torch.from_numpy(np.array(given, dtype=np.float32))


def _seen(truth: Labels, columns: int) -> Labels:
    """The classes of the targets. Of a class that no row is of nobody knows where among the columns it stands."""
    if truth.dtype == bool and columns == 2:
        return np.array([False, True])
    classes = np.unique(truth)
    if len(classes) != columns:
        raise ConfigurationError(
            f"output: {columns} columns, and the targets have the classes {_some(classes)}: give classes=, the "
            "class of each column in their order"
        )
    return classes


def _distinct(classes: Any) -> Labels:
    if isinstance(classes, str | bytes) or not isinstance(classes, Sequence | np.ndarray):
        raise ConfigurationError(f"classes={classes!r}: expected a list, the class of each column")
    found = np.asarray(classes)
    if found.ndim != 1 or len(set(found.tolist())) < len(found):
        raise ConfigurationError(f"classes={found.tolist()}: expected each class once")
    return found


def _places(labels: Labels, classes: Labels, what: str) -> Labels:
    """Where the class of each label stands among the classes."""
    place = {name: number for number, name in enumerate(classes.tolist())}
    for label in (named := labels.tolist()):
        if label not in place:
            raise ConfigurationError(f"{what}: {label!r} is none of the classes {_some(classes)}")
    return np.array([place[label] for label in named], dtype=np.int64)


def _some(classes: Labels) -> str:
    shown = classes[:MOST_SHOWN].tolist()
    return f"{shown}" if len(classes) <= MOST_SHOWN else f"{shown} and {len(classes) - MOST_SHOWN} more"


def _one_hot(given: Labels, truth: Labels, classes: Labels | None) -> tuple[Labels, torch.Tensor]:
    broken = _is_nan(given)
    if classes is None:
        classes = _named(given[~broken], truth)
    if len(classes) < 2:
        raise ConfigurationError(f"targets and predictions are all {classes.tolist()}: nothing can be told apart")
    logits = np.full((len(given), len(classes)), np.nan, dtype=np.float32)
    logits[~broken] = SURE * np.eye(len(classes), dtype=np.float32)[_places(given[~broken], classes, "predictions")]
    return classes, torch.from_numpy(logits)


def _named(given: Labels, truth: Labels) -> Labels:
    """The classes that targets or predictions name, as they sort."""
    try:
        classes = np.unique(np.concatenate([truth, given]))
    except TypeError:
        raise ConfigurationError(
            "predictions and targets are of different kinds: one is texts, the other is not"
        ) from None
    return np.array([0, 1]) if set(classes.tolist()) <= {0, 1} else classes


def _is_nan(given: Labels) -> npt.NDArray[np.bool_]:
    return np.array([value is None or value != value for value in given.tolist()], dtype=bool)
