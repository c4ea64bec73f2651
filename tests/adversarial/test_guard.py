from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from safeguards import AdversarialEvaluation, BatchFields, Limit, Outcome, ThreatModel, verdicts
from safeguards.adversarial.attacks import Runs, pgd
from safeguards.core.errors import ConfigurationError
from safeguards.core.identity import mix
from tests.adversarial.attacks.nets import share_right, trained
from tests.adversarial.guarded import FIELDS, WORLD, Plain, guard, judged, loader, trainer
from tests.helpers.launch import launch

CLIPPED = ThreatModel(eps=0.05, clip=(0, 1))


def deep() -> nn.Sequential:
    """A net with batch norm and dropout that has learned the rows of `trained`."""
    return deepcopy(_learned())


@cache
def _learned() -> nn.Sequential:
    _, x, y = trained()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3))
        optimizer = torch.optim.Adam(net.parameters(), 0.03)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
    net.zero_grad()
    return net


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"attack": "pdg"}, "nearest are ['pgd'"),
        ({"attack": "DeepFol"}, "nearest are ['DeepFool'"),
        ({"attack": "os.system"}, "no such attack"),
        ({"attack": "EvasionAttack"}, "no such attack"),
        ({"threat": 0.1}, "expected a ThreatModel"),
        ({"fields": BatchFields(inputs=0)}, "needs a target"),
        ({"samples": 0}, "samples=0"),
        ({"steps": 2.5}, "steps=2.5"),
        ({"restarts": -1}, "restarts=-1"),
        ({"alpha": 1.0}, "alpha=1.0"),
        ({"eps_step": 0.1}, "at most eps=0.05"),
        ({"eps_step": 0.0}, "above 0"),
        ({"eps_curve": [1, -1]}, "multiples of eps"),
        ({"attack_options": {"max_iter": 3}}, "pgd takes none"),
        ({"attack": "DeepFool", "attack_options": {"max_itr": 3}}, "did you mean 'max_iter'"),
        ({"attack": "DeepFool", "attack_options": {"eps": 3}}, "see threat="),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        guard(**arguments)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_under_inference_mode(stage: str, tmp_path: Path) -> None:
    module, (_, x, y) = Plain(deep()), trained()
    running = trainer(tmp_path, guard(threat=CLIPPED), inference_mode=True)
    getattr(running, stage)(module, loader(x, y), verbose=False)
    (verdict,) = verdicts(running)
    assert module.in_inference_mode == {True}
    assert verdict.outcome is Outcome.PASS, verdict.reason
    outside = trainer(tmp_path, guard(threat=CLIPPED), inference_mode=False)
    getattr(outside, stage)(module, loader(x, y), verbose=False)
    assert module.in_inference_mode == {True, False}
    (expected,) = verdicts(outside)
    assert (verdict.value, verdict.n, verdict.details) == (expected.value, 400, expected.details)
    assert 0.5 < verdict.value < verdict.details["clean_accuracy"] - 0.05


def test_the_number_is_that_of_the_attack_over_all_rows(tmp_path: Path) -> None:
    net, x, y = trained()
    verdict = judged(tmp_path, net, x, y, threat=CLIPPED, batch_size=64, eps_curve=[])
    seeds = mix(torch.arange(400), 0)
    found = pgd(net, x, y, CLIPPED, runs=Runs(seeds=seeds, steps=10, restarts=1), share=0.25).x
    right = (net(x).argmax(1) == y) & (net(found).argmax(1) == y)
    assert verdict.value == pytest.approx(right.float().mean().item())
    assert verdict.details["clean_accuracy"] == pytest.approx(share_right(net, x, y))


def test_dropout_and_batch_norm_are_still_during_the_attack(tmp_path: Path) -> None:
    """In train mode the clean accuracy of this model would vary from run to run, and its statistics move."""
    _, x, y = trained()
    module = Plain(deep())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    values = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        running = trainer(tmp_path, guard(threat=CLIPPED))
        running.validate(module.train(), loader(x, y), verbose=False)
        (verdict,) = verdicts(running)
        values.add((verdict.value, verdict.details["clean_accuracy"]))
    assert len(values) == 1
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


def test_parameters_are_frozen_while_gradients_are_taken(tmp_path: Path) -> None:
    frozen: list[bool] = []

    class Noting(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            if torch.is_grad_enabled():
                frozen.append(not self.weight.requires_grad)
            return super().forward(x)

    _, x, y = trained()
    net = Noting(6, 3)
    judged(tmp_path, net, x, y, threat=CLIPPED, samples=8)
    assert frozen
    assert all(frozen)
    assert net.weight.requires_grad


def test_bf16_mixed(tmp_path: Path) -> None:
    _, x, y = trained()
    module = Plain(deep())
    running = trainer(tmp_path, guard(threat=CLIPPED), precision="bf16-mixed")
    running.validate(module, loader(x, y), verbose=False)
    (verdict,) = verdicts(running)
    assert verdict.outcome is Outcome.PASS, verdict.reason
    exact = judged(tmp_path, module.net, x, y, threat=CLIPPED)
    assert verdict.value == pytest.approx(exact.value, abs=0.03)


def test_half_precision_inputs_and_weights(tmp_path: Path) -> None:
    _, x, y = trained()
    verdict = judged(tmp_path, deep().bfloat16(), x.bfloat16(), y, threat=CLIPPED)
    assert verdict.outcome is Outcome.PASS, verdict.reason


class OneLogit(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 4 * (x[:, :1] - x[:, 1:2])


@pytest.mark.parametrize("kind", [torch.float32, torch.int64, torch.bool])
def test_one_logit_with_targets_of_any_type(kind: torch.dtype, tmp_path: Path) -> None:
    _, x, _ = trained()
    y = (x[:, 0] > x[:, 1]).to(kind)
    verdict = judged(tmp_path, OneLogit(), x, y.unsqueeze(1), threat=CLIPPED)
    assert verdict.value == pytest.approx(((x[:, 0] - x[:, 1]).abs() > 0.1).float().mean().item())


def test_probabilities_are_attacked_once_said(tmp_path: Path) -> None:
    net, x, y = trained()
    soft = nn.Sequential(net, nn.Softmax(1))
    refused = judged(tmp_path, soft, x, y, threat=CLIPPED)
    assert refused.outcome is Outcome.ERROR
    assert 'say output="probabilities"' in refused.reason
    said = judged(tmp_path, soft, x, y, threat=CLIPPED, output="probabilities")
    assert said.value == pytest.approx(judged(tmp_path, net, x, y, threat=CLIPPED).value, abs=0.01)


def test_single_outputs_that_could_be_probabilities_are_doubted_too(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(6, 1), nn.Sigmoid())
    refused = judged(tmp_path, net, torch.rand(40, 6), torch.arange(40) % 2)
    assert refused.outcome is Outcome.ERROR
    assert "all 40 single outputs lie in [0, 1]" in refused.reason


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (torch.zeros(40, 6, dtype=torch.int64), torch.zeros(40), "floating tensor"),
        (torch.zeros(40, 6), torch.full((40,), 0.5), "whole numbers"),
        (torch.zeros(40, 6), torch.zeros(40, 3), "one class per row"),
        (torch.zeros(40, 6), torch.full((40,), 7), "the model has 3 classes, the target has [7]"),
    ],
)
def test_rows_that_cannot_be_attacked_are_an_error_that_says_so(
    x: Tensor, y: Tensor, said: str, tmp_path: Path
) -> None:
    class Whatever(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.float()[:, :3] + torch.tensor([3.0, 1.0, 0.0])

    verdict = judged(tmp_path, Whatever(), x, y)
    assert verdict.outcome is Outcome.ERROR
    assert said in verdict.reason


def test_a_wrong_shape_of_eps_is_an_error_that_says_so(tmp_path: Path) -> None:
    net, x, y = trained()
    verdict = judged(tmp_path, net, x, y, threat=ThreatModel(eps=np.full(5, 0.1)))
    assert verdict.outcome is Outcome.ERROR
    assert "(5,) does not fit rows of shape (6,)" in verdict.reason


def test_the_sample_is_bounded_and_does_not_depend_on_batches(tmp_path: Path) -> None:
    net, x, y = trained()
    found = []
    for size in (7, 64):
        running = trainer(tmp_path, guard(threat=CLIPPED, samples=50))
        running.validate(Plain(net), loader(x, y, size), verbose=False)
        found += verdicts(running)
    first, second = found
    assert (first.n, first.value, first.details["rows_digest"]) == (
        second.n,
        second.value,
        second.details["rows_digest"],
    )
    assert first.n == 50
    other = judged(tmp_path, net, x, y, threat=CLIPPED, samples=50, seed=1)
    assert other.details["rows_digest"] != first.details["rows_digest"]


def test_later_looks_widen_the_interval(tmp_path: Path) -> None:
    net, x, y = trained()
    watching = guard(threat=CLIPPED)
    running = trainer(tmp_path, watching)
    for _ in range(2):
        running.validate(Plain(net), loader(x, y), verbose=False)
    first, second = verdicts(running)
    assert first.value == second.value
    assert first.interval is not None
    assert second.interval is not None
    assert second.interval[0] < first.interval[0]
    assert second.details["confidence"] > first.details["confidence"]


def test_a_cap_on_cost_lowers_n_and_says_so(tmp_path: Path) -> None:
    _, x, y = trained()
    running = trainer(tmp_path, guard(threat=CLIPPED, max_share_of_fit=0.9), max_epochs=1, num_sanity_val_steps=0)
    running.fit(Plain(deep()), loader(x, y), loader(x, y))
    verdict = verdicts(running)[0]
    assert 40 < verdict.n <= 64
    assert "max_share_of_fit allowed 64 of 512 rows" in verdict.reason


def test_a_limit_decides(tmp_path: Path) -> None:
    net, x, y = trained()
    assert judged(tmp_path, net, x, y, threat=ThreatModel(eps=0.5, clip=(0, 1)), at_least=0.5).outcome is Outcome.FAIL
    assert judged(tmp_path, net, x, y, threat=CLIPPED, at_least=0.999).outcome is Outcome.FAIL


def test_a_verdict_is_plain(tmp_path: Path) -> None:
    net, x, y = trained()
    verdict = judged(
        tmp_path, net, x, y, threat=ThreatModel(eps=torch.full((6,), 0.05), clip=(np.zeros(6), np.ones(6)))
    )
    assert json.loads(json.dumps(verdict.to_dict()))["details"]["attack"]["name"] == "pgd"


CASES = [("pgd", 57, "PASS"), ("DeepFool", 57, "PASS"), ("apgd", 1, "PASS"), ("fgsm", 58, "INCONCLUSIVE")]
OUT_OF_RANGE = 57
"""A row that the second of two processes has, and only the last case."""


def uneven(strategy: str) -> list[dict[str, Any]]:
    """On each process: what must not depend on their number, for each attack over that many rows."""
    net, x, y = trained()
    x = x.clone()
    x[OUT_OF_RANGE, 0] = 1.5
    settings: dict[str, Any] = {} if strategy == "auto" else {"devices": WORLD, "strategy": strategy}
    told = []
    for attack, rows, _ in CASES:
        running = trainer(".", guard(threat=CLIPPED, attack=attack, batch_size=16), **settings)
        running.validate(Plain(net.train()), loader(x[:rows], y[:rows], 8), verbose=False)
        (verdict,) = verdicts(running)
        plain = verdict.to_dict()
        told.append({name: plain[name] for name in ("outcome", "value", "n", "interval", "reason", "details")})
    return json.loads(json.dumps(told))


def test_the_number_of_processes_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    alone = uneven("auto")
    assert [(found["outcome"], found["n"]) for found in alone] == [(outcome, rows) for _, rows, outcome in CASES]
    assert "1 of 58 rows lie outside the clip range" in alone[-1]["reason"]
    for result in launch(f"{__file__}:uneven", world=2, strategy="ddp"):
        assert result.value == alone


def test_options_reach_the_base() -> None:
    made = AdversarialEvaluation(
        fields=FIELDS, threat=CLIPPED, limits={"robust_accuracy": Limit(at_least=0.5)}, reaction="stop", name="nightly"
    )
    assert (made.reaction, made.name) == ("stop", "nightly")
