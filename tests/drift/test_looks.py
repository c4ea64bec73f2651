"""What repeated looks spend: levels by hand, a simulation over 20 looks, and the callback in real fits."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from safeguards import BatchFields, DriftReport, Limit, verdicts
from safeguards.core.intervals import alpha_of_look
from safeguards.drift import findings
from safeguards.drift.looks import Family, Looks, Repeated
from safeguards.drift.measures import Effect, Standing, judge, number_effect
from safeguards.drift.profile import Profile, profile
from tests.drift.one_look import compare_once
from tests.drift.test_guard import Net, rows, trainer

BEFORE = pd.DataFrame({"x": [1.0, 2.0, np.nan], "w": ["ab", "c", "d"]})


def at(looks: Looks, look: int, now: pd.DataFrame, *, place: str = "validate/", name: str = "inputs") -> int:
    """The look at which a family is judged, noted as judged."""
    sides = (side(BEFORE), side(now))
    family = looks.family(name, ["x", "w"], sides, place=place, look=look, alpha=0.05)
    assert family.alpha == alpha_of_look(0.05, family.look)
    looks.note(place, {name: family})
    return family.look


def side(frame: pd.DataFrame) -> Profile:
    return profile(frame, sample=100)


def test_the_same_data_are_the_same_look_and_new_data_a_new_one() -> None:
    looks, new = Looks(), BEFORE.assign(x=[1.0, 2.0, 3.0])
    seen = [at(looks, look, now) for look, now in enumerate([BEFORE, BEFORE, BEFORE, new, new, BEFORE], 1)]
    assert seen == [1, 1, 1, 4, 4, 6]
    assert alpha_of_look(0.05, 1) == pytest.approx(0.05 * 6 / math.pi**2)


def test_families_and_places_are_apart_and_a_checkpoint_keeps_them() -> None:
    looks = Looks()
    assert [at(looks, 1, BEFORE), at(looks, 2, BEFORE, name="predictions"), at(looks, 2, BEFORE, place="test/")] == [
        1,
        2,
        2,
    ]
    again = Looks()
    again.remember(json.loads(json.dumps(looks.memory())))
    assert again.memory() == looks.memory()
    assert at(again, 9, BEFORE) == 1


def test_a_run_that_begins_anew_does_not_spend_less_than_its_own_look() -> None:
    looks = Looks()
    assert [at(looks, 7, BEFORE), at(looks, 2, BEFORE)] == [7, 2]


@pytest.mark.parametrize(
    "now",
    [
        BEFORE.assign(x=[1.0, 2.5, np.nan]),
        BEFORE.assign(x=[1.0, 2.0, np.inf]),
        BEFORE.assign(w=["a", "bc", "d"]),
        BEFORE.assign(x=["1", "2", None]),
        pd.concat([BEFORE, BEFORE.iloc[2:].assign(w=None)]),
        BEFORE[["x"]],
    ],
)
def test_any_other_data_are_new(now: pd.DataFrame) -> None:
    looks = Looks()
    assert [at(looks, 1, BEFORE), at(looks, 2, now)] == [1, 2]


FITS, LOOKS, INPUTS, SAID, ROWS, ALPHA = 300, 20, 10, 2, 100, 0.05
P_OF = [1.0, *(number_effect(np.arange(ROWS), np.arange(ROWS) + k - 0.5).p for k in range(1, ROWS + 1))]


def distances(columns: int, random: np.random.Generator) -> Any:
    """Kolmogorov-Smirnov over two samples of one distribution, in rows: (fits, columns)."""
    signs = np.tile(np.repeat([1, -1], ROWS), (FITS, columns, 1))
    return np.abs(random.permuted(signs, axis=-1).cumsum(axis=-1)).max(axis=-1)


def false_drift(distances: Any, alpha: float) -> Any:
    """For each fit, whether any of these columns is called drifted."""

    def called(fit: Any) -> bool:
        effects = {str(i): [effect(k)] for i, k in enumerate(fit)}
        return any(s is Standing.DRIFTED for s, _ in judge(effects, alpha=alpha, min_effect=0.1).values())

    return np.array([called(fit) for fit in distances])


def effect(k: int) -> Effect:
    return Effect(of="values", distance=k / ROWS, p=P_OF[k], n=ROWS, m=ROWS)


def share_of_fits_with_a_false_drift(alpha_at: Callable[[int], float]) -> float:
    """Nothing drifts. Inputs are the same at all looks; predictions are drawn anew at each, which misleads most."""
    random = np.random.default_rng(3)
    misled = false_drift(distances(INPUTS, random), alpha_at(1))
    for look in range(1, LOOKS + 1):
        misled |= false_drift(distances(SAID, random), alpha_at(look))
    return float(misled.mean())


def test_over_twenty_looks_a_column_is_called_drifted_for_nothing_in_at_most_alpha_of_the_fits() -> None:
    assert share_of_fits_with_a_false_drift(lambda look: alpha_of_look(ALPHA / 2, look)) <= ALPHA


def test_the_simulation_would_see_looks_that_spend_nothing() -> None:
    assert share_of_fits_with_a_false_drift(lambda _: ALPHA / 2) > 2 * ALPHA


class Learns(Net):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def guard(**options: Any) -> DriftReport:
    limits = {"drifted_share": Limit(at_most=0.2)}
    return DriftReport(
        reference="train", limits=limits, fields=BatchFields(inputs=0, target=1), report=False, **options
    )


def spent(folder: Path, module: Any, *, shuffle: bool = False, epochs: int = 3, **options: Any) -> list[dict[str, Any]]:
    running = trainer(folder, guard(), max_epochs=epochs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaders = DataLoader(rows(0, 300), 100, shuffle=True), DataLoader(rows(1, 300), 100, shuffle=shuffle)
        running.fit(module, *loaders, **options)
        running.save_checkpoint(folder / "last.ckpt")
    return [verdict.details["spent"] for verdict in verdicts(running)]


def looks_of(told: list[dict[str, Any]], family: str) -> list[int]:
    assert all(one[family]["alpha"] == alpha_of_look(0.025, one[family]["look"]) for one in told)
    return [one[family]["look"] for one in told]


def test_inputs_of_a_fixed_set_are_looked_at_once_and_predictions_at_every_look(tmp_path: Path) -> None:
    told = spent(tmp_path, Learns(4))
    assert (looks_of(told, "inputs"), looks_of(told, "predictions")) == ([1, 1, 1], [1, 2, 3])
    (resumed,) = spent(tmp_path, Learns(4), epochs=4, ckpt_path=tmp_path / "last.ckpt")[-1:]
    assert (resumed["inputs"]["look"], resumed["predictions"]["look"]) == (1, 4)


def test_predictions_that_stay_and_inputs_that_change(tmp_path: Path) -> None:
    assert looks_of(spent(tmp_path, Net(4)), "predictions") == [1, 1, 1]
    shuffled = spent(tmp_path, Net(4), shuffle=True)
    assert looks_of(shuffled, "inputs") == looks_of(shuffled, "predictions") == [1, 2, 3]


def test_where_the_model_is_not_asked_the_inputs_have_all_of_alpha(tmp_path: Path) -> None:
    given = rows(1).tensors[0][:, :1].numpy()
    tables = {"reference": pd.DataFrame(given, columns=["x"]), "current": pd.DataFrame(given, columns=["x"])}
    running = trainer(tmp_path, DriftReport(limits={"drifted_share": Limit(at_most=0.2)}, report=False, **tables))
    running.validate(Net(4), DataLoader(rows(1), 100), verbose=False)
    (verdict,) = verdicts(running)
    assert verdict.details["spent"] == {
        "inputs": Family(columns=(), digest="", look=1, alpha=alpha_of_look(0.05, 1)).plain()
    }


def test_columns_whose_data_stay_are_tested_once_and_found_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested: list[int] = []

    def counting(*sides: Any) -> Any:
        tested.append(1)
        return number_effect(*sides)

    monkeypatch.setattr(findings, "number_effect", counting)
    running = trainer(tmp_path, guard(), max_epochs=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        running.fit(Learns(4), DataLoader(rows(0, 300), 100, shuffle=True), DataLoader(rows(1, 300), 100))
    assert len(tested) == 4 + 3 * 1  # features once, the predicted score at every look
    columns = [verdict.details["columns"] for verdict in verdicts(running)]
    assert all(one["feature 0"] == columns[0]["feature 0"] for one in columns)
    assert columns[0]["predicted score"]["distance"] != columns[2]["predicted score"]["distance"]


def test_what_was_found_is_known_of_the_same_data_at_the_same_place_alone() -> None:
    repeated, families = Repeated(), {"inputs": Family(columns=["x"], digest="a", look=1, alpha=0.05)}
    found = compare_once(side(BEFORE), side(BEFORE))
    repeated.keep("validate/", families, found)
    assert repeated.known("validate/", families) == {"x": found["x"].effects}
    assert repeated.known("test/", families) == {}
    assert repeated.known("validate/", {"inputs": Family(columns=["x"], digest="b", look=2, alpha=0.05)}) == {}
