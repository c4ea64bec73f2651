"""MLflow's own evaluate: any model's predictions get the verdicts that a training run would give them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from mlflow.models import MetricThreshold
from mlflow.models.evaluation.evaluator_registry import _model_evaluation_registry

from safeguards import BatchFields, ConfigurationError, FairnessCheck, Limit, verdicts
from safeguards.evaluation import SafeguardsEvaluator, judge_predictions
from tests.helpers.toys import trainer
from tests.tracking.looking import artifacts, client

N = 400
MEASURES = ("demographic_parity_difference", "worst_group_accuracy", "equalized_odds_difference")
LIMITS: dict[str, Any] = {
    "fairness/demographic_parity_difference": {"at_most": 0.1},
    "fairness/worst_group_accuracy": {"at_least": 0.5},
    "fairness/equalized_odds_difference": {"at_most": 0.9},
}
PARITY = "safeguard/fairness/demographic_parity_difference"


def rows() -> pd.DataFrame:
    """Half the rows are of each sex; of men 60 % are selected, of women 20 %."""
    sex = ["m", "f"] * (N // 2)
    chosen = [number % 10 < 6 if who == "m" else number % 10 < 2 for number, who in zip(_ranks(), sex, strict=True)]
    truth = np.random.default_rng(0).integers(0, 2, N)
    return pd.DataFrame({"x": np.arange(N) / N, "sex": sex, "said": np.array(chosen, dtype=int), "y": truth})


def _ranks() -> list[int]:
    return [row // 2 for row in range(N)]


@pytest.fixture
def registered(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the entry point registers it; that MLflow finds it in an installed wheel is a test of the wheel's."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here / 'mlflow.db'}")
    monkeypatch.setitem(_model_evaluation_registry._registry, "safeguards", SafeguardsEvaluator)


def evaluated(here: Path, **options: Any) -> Any:
    experiment = client(here).create_experiment("evaluations", artifact_location=(here / "mlruns").as_uri())
    settings = {"targets": "y", "model_type": "classifier", "evaluators": ["safeguards"], **options}
    with mlflow.start_run(experiment_id=experiment) as run:
        return run.info.run_id, mlflow.models.evaluate(**settings)


def test_static_predictions_get_verdicts_as_metrics_tags_and_artifacts(here: Path, registered: None) -> None:
    run_id, result = evaluated(
        here, data=rows(), predictions="said", evaluator_config={"safeguards": {"groups": ["sex"], "limits": LIMITS}}
    )
    assert result.metrics[PARITY] == pytest.approx(0.4)
    assert result.metrics[f"{PARITY}/admits"] == 0.0
    assert result.metrics["safeguard/fairness/equalized_odds_difference/admits"] == 1.0
    run = client(here).get_run(run_id)
    assert run.data.metrics == result.metrics
    assert run.data.tags["safeguards.outcome"] == "FAIL"
    assert run.data.tags["safeguards.fairness.demographic_parity_difference"] == "FAIL"
    held = [json.loads(line) for line in artifacts(run)["safeguards/verdicts.jsonl"].splitlines()]
    assert {line["measure"]: line["n"] for line in held} == dict.fromkeys(MEASURES, N)
    assert result.artifacts["safeguards/verdicts"].content == held
    with pytest.raises(mlflow.exceptions.MlflowException, match="admits"):
        mlflow.validate_evaluation_results(
            candidate_result=result,
            validation_thresholds={f"{PARITY}/admits": MetricThreshold(threshold=1, greater_is_better=True)},
        )


def test_the_evidence_of_a_run_is_not_written_over(here: Path, registered: None) -> None:
    """Neither that of a training run nor that of an earlier evaluation; one in a run of its own below it is kept."""
    config = {"safeguards": {"groups": ["sex"], "limits": LIMITS}}
    asked: dict[str, Any] = {"targets": "y", "model_type": "classifier", "evaluators": ["safeguards"]}
    run_id, first = evaluated(here, data=rows(), predictions="said", evaluator_config=config)
    before = client(here).get_run(run_id)
    files = artifacts(before)
    with mlflow.start_run(run_id=run_id):
        with pytest.raises(ConfigurationError, match=r"already holds the verdicts .*nested=True") as caught:
            mlflow.models.evaluate(data=rows().assign(said=1), predictions="said", evaluator_config=config, **asked)
        with mlflow.start_run(nested=True):
            second = mlflow.models.evaluate(
                data=rows().assign(said=1), predictions="said", evaluator_config=config, **asked
            )
    assert "\n" not in str(caught.value)
    after = client(here).get_run(run_id)
    judged_by = {name: text for name, text in after.data.tags.items() if name.startswith("safeguards.")}
    assert judged_by == {name: text for name, text in before.data.tags.items() if name.startswith("safeguards.")}
    assert (after.data.metrics, artifacts(after)) == (first.metrics, files)
    assert second.metrics[PARITY] == 0.0
    assert second.run_id != run_id


def test_a_function_of_pandas_is_judged_beside_mlflows_own_evaluator(here: Path, registered: None) -> None:
    _, result = evaluated(
        here,
        model=lambda frame: (frame["x"] > 0.5).astype(int),
        data=rows().drop(columns="said"),
        evaluators=["default", "safeguards"],
        evaluator_config={
            "default": {"log_explainer": False, "log_model_explainability": False},
            "safeguards": {"groups": ["sex"], "limits": LIMITS},
        },
    )
    assert result.metrics[PARITY] == pytest.approx(0.0, abs=0.01)
    assert "accuracy_score" in result.metrics


class Net(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)

    def validation_step(self, batch: Any) -> None:
        self(batch["x"])


def test_it_says_what_a_training_run_says(tmp_path: Path) -> None:
    """The same rows by a network under Lightning, and by its labels, logits and probabilities alone."""
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(N, 1)).astype(np.float32) * 3, generator.integers(0, 3, N)
    groups = {"sex": ["m", "f", "f", None] * (N // 4), "age": [number % 3 for number in range(N)]}
    net = Net()
    fields = BatchFields(inputs="x", target="y", groups={name: name for name in groups}, row_id="row")
    limits = {name.partition("/")[2]: Limit(**limit) for name, limit in LIMITS.items()}
    job = trainer(tmp_path, FairnessCheck(fields=fields, limits=limits))
    batch = {"x": torch.from_numpy(x), "y": torch.from_numpy(y), "row": torch.arange(N), **groups}
    job.validate(net, torch.utils.data.DataLoader([batch], batch_size=None), verbose=False)
    wanted = [plain(verdict) for verdict in verdicts(job)]
    assert {one["outcome"] for one in wanted} > {"FAIL"}
    logits = net(batch["x"]).detach()
    for output, predictions in (
        ("labels", logits.argmax(1)),
        ("logits", logits),
        ("probabilities", logits.double().softmax(1)),
    ):
        found = judged(predictions, y, x, tmp_path, groups=groups, limits=LIMITS, output=output)
        assert [plain(verdict) for verdict in found] == wanted, output


def judged(predictions: Any, y: Any, x: Any, place: Path, **options: Any) -> Any:
    given = {"features": x, "predictions": np.asarray(predictions), "targets": y, "directory": place}
    return judge_predictions(**given, **options).verdicts


def plain(verdict: Any) -> dict[str, Any]:
    return {key: value for key, value in verdict.to_dict().items() if key not in ("cost", "id", "time", "made")}


def test_texts_are_classes_and_a_missing_prediction_is_no_pass(tmp_path: Path) -> None:
    table = rows()
    names = np.array(["no", "yes"])
    said, truth = names[table["said"]].astype(object), names[table["y"]]
    options = {"groups": {"who": "sex"}, "limits": LIMITS, "fairness": {"positive": "yes"}}
    parity = judged(said, truth, table, tmp_path, **options)[0]
    assert (parity.value, str(parity.outcome)) == (pytest.approx(0.4), "FAIL")
    said[3] = None
    broken = judged(said, truth, table, tmp_path, **options)
    assert not any(one.outcome.admits for one in broken)
    assert "1 of 400" in broken[0].reason


WORST = {"fairness/worst_group_accuracy": {"at_least": 0.9}}
SLICED = {"limits": WORST, "groups": {"sex": ["m", "f"] * 100}, "output": "logits"}


@pytest.mark.parametrize("names", [[1, 2, 3], ["a", "b", "c"], [0, 1, 7], ["c", "a", "b"]])
def test_rows_that_lack_a_class_are_held_against_the_columns_of_the_model(names: list[Any], tmp_path: Path) -> None:
    """A model that is always right, on a slice without its last class; the order of the columns is the model's own."""
    place = np.array([0, 1, 1, 0] * 50)
    truth, logits = np.array(names)[place], np.eye(3)[place]
    with pytest.raises(
        ConfigurationError, match=r"3 columns, and the targets have the classes .*: give classes="
    ) as told:
        judged(logits, truth, np.arange(200), tmp_path, **SLICED)
    assert "\n" not in str(told.value)
    [found] = judged(logits, truth, np.arange(200), tmp_path, classes=names, **SLICED)
    assert (found.value, found.n) == (1.0, 200)
    [wrong] = judged(logits[:, [1, 0, 2]], truth, np.arange(200), tmp_path, classes=names, **SLICED)
    assert wrong.value == 0.0


def test_one_column_is_of_the_second_of_two_classes(tmp_path: Path) -> None:
    """Of rows that are all of one class it is not told which that is, unless they are bools."""
    surely = {**SLICED, "output": "probabilities"}
    said, ones = np.full(200, 0.9), np.ones(200, dtype=int)
    with pytest.raises(ConfigurationError, match=r"2 columns, and the targets have the classes \[1\]"):
        judged(said, ones, np.arange(200), tmp_path, **surely)
    values = [
        judged(said, truth, np.arange(200), tmp_path, **surely, **options)[0].value
        for truth, options in (
            (ones, {"classes": [0, 1]}),
            (ones, {"classes": [1, 2]}),
            (ones == 1, {}),
            (ones == 0, {}),
        )
    ]
    assert values == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        ([0, 1], r"classes=\[0, 1\]: 2 classes for 3 columns"),
        ([0, 1, 1], r"classes=\[0, 1, 1\]: expected each class once"),
        ([0, 2, 3], r"targets: 1 is none of the classes \[0, 2, 3\]"),
        (["0", "1", "2"], r"targets: 0 is none of the classes \['0', '1', '2'\]"),
        (3, r"classes=3: expected a list"),
    ],
)
def test_classes_that_do_not_fit_are_said(classes: Any, text: str, tmp_path: Path) -> None:
    place = np.array([0, 1, 2, 0] * 50)
    with pytest.raises(ConfigurationError, match=text):
        judged(np.eye(3)[place], place, np.arange(200), tmp_path, classes=classes, **SLICED)


def test_labels_that_are_none_of_the_classes_are_said(tmp_path: Path) -> None:
    """A label names its class itself: without classes= those are taken that rows or predictions have."""
    truth = np.array([1, 2, 2, 1] * 50)
    options = {**SLICED, "output": "labels"}
    assert judged(truth, truth, np.arange(200), tmp_path, **options)[0].value == 1.0
    assert judged(truth, truth, np.arange(200), tmp_path, classes=[3, 2, 1], **options)[0].value == 1.0
    with pytest.raises(ConfigurationError, match=r"predictions: 5 is none of the classes \[3, 2, 1\]"):
        judged(np.where(truth == 2, 5, 1), truth, np.arange(200), tmp_path, classes=[3, 2, 1], **options)


def test_drift_from_a_table_is_judged_too(tmp_path: Path) -> None:
    table = rows()[["x", "sex"]]
    table.assign(x=table["x"] + 5).to_parquet(tmp_path / "moved.parquet")
    table.to_parquet(tmp_path / "same.parquet")
    limits = {"drift/drifted_share": {"at_most": 0.1}}
    said = []
    for name in ("same", "moved"):
        [found] = judged(
            rows()["said"],
            rows()["y"],
            table,
            tmp_path,
            limits=limits,
            drift={"reference": str(tmp_path / f"{name}.parquet")},
        )
        said.append((found.safeguard, found.value, found.outcome.admits))
    assert said[1] == ("drift", 0.5, False)
    assert said[0][1] == 0.0


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"limits": LIMITS}, "need groups"),
        ({"limits": {}, "groups": ["sex"]}, "at least one"),
        ({"limits": {"fairness/gap": {"at_most": 1}}}, "no measure 'fairness/gap'; there are fairness/demographic"),
        ({"limits": {"fairness/worst_group_accuracy": {"most": 1}}, "groups": ["sex"]}, "expected at_most or at_least"),
        ({"limits": LIMITS, "groups": ["gender"]}, "no column 'gender' among x, sex, said"),
        ({"limits": LIMITS, "groups": {"sex": ["m"]}}, "400, 400 and \\[1\\] rows"),
        ({"limits": LIMITS, "groups": ["sex"], "limit": 1}, "no key 'limit'; it has limits, groups, output, classes"),
        ({"limits": LIMITS, "groups": ["sex"], "fairness": {"positive": "p"}}, "positive='p' is none of \\[0, 1\\]"),
        ({"limits": LIMITS, "groups": ["sex"], "fairness": {"minimum": 3}}, "unexpected keyword argument 'minimum'"),
        ({"limits": LIMITS, "groups": ["sex"], "output": "words"}, "expected labels, probabilities or logits"),
        ({"limits": {"drift/drifted_share": {"at_most": 0.1}}}, "need drift="),
    ],
)
def test_a_configuration_that_makes_no_sense_is_said_in_one_line(
    config: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safeguards.tracking.evaluated.expect_free", lambda run_id: None)  # there is no run
    table = rows()
    dataset = SimpleNamespace(
        features_data=table[["x", "sex", "said"]], labels_data=table["y"], predictions_data=table["said"]
    )
    with pytest.raises(ConfigurationError, match=text) as caught:
        SafeguardsEvaluator().evaluate(dataset=dataset, run_id="0" * 32, evaluator_config=config)
    assert "\n" not in str(caught.value)


def test_it_judges_classifiers_that_it_is_configured_for() -> None:
    asked = SafeguardsEvaluator.can_evaluate
    assert asked(model_type="classifier", evaluator_config={"limits": {}})
    assert not asked(model_type="regressor", evaluator_config={"limits": {}})
    assert not asked(model_type="classifier", evaluator_config={})
    unlabelled = SimpleNamespace(features_data=None, labels_data=None, predictions_data=None)
    with pytest.raises(ConfigurationError, match="true class of each row"):
        SafeguardsEvaluator().evaluate(dataset=unlabelled, run_id="", evaluator_config={"limits": LIMITS})
