"""The contract over every exported safeguard, and over one bad callback per clause, which must fail that clause."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from safeguards import Limit, Measurement, Rows, Safeguard, Scene, testing
from safeguards.drift import page
from safeguards.testing import CLAUSES, FIELDS, ContractBroken, check_processes, check_safeguard, from_yaml

CONF = Path(__file__).parents[1] / "conf" / "safeguards"
YAMLS = sorted(CONF.glob("*.yaml"))


class Balance(Safeguard):
    """Share of the most frequent predicted class: keeps to every clause."""

    topic = "balance"
    measures = ("largest_class_share",)

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"fields": FIELDS, "limits": {"largest_class_share": Limit(at_most=0.999)}, **options})

    def prepare(self, scene: Scene) -> Any:
        return Counter()

    def observe(self, seen: Any, rows: Rows, scene: Scene) -> None:
        seen.update(rows.logits().argmax(1).tolist())
        seen["broken"] += int(rows.logits().isnan().sum())

    def examine(self, seen: Any, scene: Scene) -> Mapping[str, Measurement]:
        counts = sum((Counter(part) for part in scene.ranks.gather(dict(seen))), Counter[Any]())
        broken = counts.pop("broken", 0)
        total = sum(counts.values())
        fault = "NaN outputs" if broken else None
        return {
            "largest_class_share": Measurement(value=max(counts.values()) / total, n=total, model_fault=fault),
        }


class AlwaysFails(Balance):
    def observe(self, seen: Any, rows: Rows, scene: Scene) -> None:
        raise ValueError("not today")


class NeverAnswers(Balance):
    def examine(self, seen: Any, scene: Scene) -> Mapping[str, Measurement]:
        return {}


class LeavesTrace(Balance):
    def on_train_batch_start(self, *_: Any) -> None:
        torch.rand(1)


class Silent(Balance):
    def setup(self, *_: Any, **__: Any) -> None:
        """Never joins the run."""


class PassesNaN(Balance):
    def examine(self, seen: Any, scene: Scene) -> Mapping[str, Measurement]:
        return {"largest_class_share": Measurement(value=0.5, n=10)}


class Pickles(Balance):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "path": Path("x")}


class Shared(Balance):
    judged = 0

    def examine(self, seen: Any, scene: Scene) -> Mapping[str, Measurement]:
        Shared.judged += 1
        return {"largest_class_share": Measurement(value=1 / Shared.judged, n=57)}


class OddUnit(Balance):
    def examine(self, seen: Any, scene: Scene) -> Mapping[str, Measurement]:
        return {"largest_class_share": Measurement(value=0.5, n=57, unit=7)}  # type: ignore[arg-type]


class Local(Balance):
    def examine(self, seen: Any, scene: Scene) -> Mapping[str, Measurement]:
        return {"largest_class_share": Measurement(value=max(seen.values()) / sum(seen.values()), n=sum(seen.values()))}


class Whispers(Balance):
    """Judges alike on any number of processes, and gives another reason on each."""

    def examine(self, seen: Any, scene: Scene) -> Mapping[str, Measurement]:
        found = super().examine(seen, scene)["largest_class_share"]
        return {"largest_class_share": replace(found, note=f"seen by {scene.ranks.world}")}


BAD: dict[str, type[Balance]] = {
    "judges every limit": AlwaysFails,
    "leaves no trace": LeavesTrace,
    "empty data": Silent,
    "NaN model": PassesNaN,
    "state round trip": Pickles,
    "two instances": Shared,
    "verdict serialises": OddUnit,
}


def of_topic(topic: str) -> Safeguard:
    return from_yaml(CONF / f"{topic}.yaml")


def fairness() -> Safeguard:
    return of_topic("fairness")


def overfitting() -> Safeguard:
    return of_topic("overfitting")


def adversarial() -> Safeguard:
    return of_topic("adversarial")


def drift() -> Safeguard:
    return of_topic("drift")


def drift_without_charts() -> Safeguard:
    """For a process of its own: Evidently, which would draw after training, takes longer to import than Lightning."""

    def draw(*_: Any) -> str:
        raise ValueError("not drawn here")

    page._evidently = draw
    return drift()


MAKERS: dict[str, Callable[[], Safeguard]] = {
    "fairness": fairness,
    "overfitting": overfitting,
    "adversarial": adversarial,
    "drift": drift,
    "own": Balance,
}


def test_every_topic_is_under_contract() -> None:
    assert {path.stem for path in YAMLS} == set(MAKERS) - {"own"}


@pytest.mark.parametrize("name", MAKERS)
def test_contract(name: str, tmp_path: Path) -> None:
    check_safeguard(MAKERS[name], tmp_path)


def test_one_process_equals_two_but_for_rank_local_numbers(tmp_path: Path) -> None:
    makers = {**MAKERS, "drift": drift_without_charts, "local": Local, "whispers": Whispers}
    names = [f"{__name__}:{make.__name__}" for make in makers.values()]
    with pytest.raises(ContractBroken) as broken:
        check_processes(names, tmp_path)
    clause, *differences = re.split(r": (?=tests)|; (?=tests)", str(broken.value))
    assert clause == "one process equals two"
    *local, whispered = differences
    assert local[0] == "tests.test_testing:Local: n: 57 and 29"
    assert all(text.startswith("tests.test_testing:Local: ") for text in local)
    assert re.fullmatch(r"tests.test_testing:Whispers: reason: .*seen by 1 and .*seen by 2", whispered)


@pytest.mark.parametrize(("outcome", "differences"), [("ERROR", 0), ("FAIL", 1)])
def test_of_reasons_only_an_error_may_name_its_rank(outcome: str, differences: int) -> None:
    alone = {"measure": "gap", "outcome": outcome, "n": 0, "value": None, "reason": "ValueError: row 50"}
    spread = {**alone, "reason": "rank 1: ValueError: row 50"}
    assert len(list(testing._differences("own", [alone], [spread]))) == differences


class Breaks(Balance):
    """Its first process fails, and the second for want of the first."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if trainer.global_rank == 0:
            raise ValueError("the cause")
        super().setup(trainer, pl_module, stage)


def test_what_the_failing_process_said_is_told(tmp_path: Path) -> None:
    with pytest.raises(ContractBroken, match=r"one process equals two: rank 0: (.|\n)*ValueError: the cause"):
        testing._verdicts_on(2, [f"{__name__}:Breaks"], tmp_path)


def test_processes_that_take_too_long_break_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "SECONDS", 0.01)
    with pytest.raises(ContractBroken, match=r"one process equals two: 2 took longer than 0\.01 s"):
        testing._verdicts_on(2, [f"{__name__}:Balance"], tmp_path)


def test_no_process_waits_for_another_longer_than_all_of_them_may_take() -> None:
    assert testing._strategy(2)._timeout.total_seconds() < testing.SECONDS


def test_a_clause_for_every_bad_callback() -> None:
    assert set(BAD) == set(CLAUSES)


@pytest.mark.parametrize("clause", CLAUSES)
def test_bad_callback_fails_its_clause(clause: str, tmp_path: Path) -> None:
    CLAUSES[clause](Balance, tmp_path)
    with pytest.raises(ContractBroken, match=clause):
        CLAUSES[clause](BAD[clause], tmp_path)


def test_one_that_never_answers_breaks_the_contract(tmp_path: Path) -> None:
    with pytest.raises(ContractBroken, match="judges every limit"):
        check_safeguard(NeverAnswers, tmp_path)


def test_yaml_with_a_wrong_key_fails(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text((CONF / "fairness.yaml").read_text().replace("positive:", "positiv:"))
    with pytest.raises(ContractBroken, match="constructs from its YAML"):
        from_yaml(bad)
