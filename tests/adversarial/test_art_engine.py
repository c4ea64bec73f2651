from __future__ import annotations

import random
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from safeguards import Outcome, ThreatModel, verdicts
from safeguards.adversarial.art_engine import ArtPlan, attack_class, distance
from safeguards.adversarial.attacks import Attacked
from safeguards.core.errors import ConfigurationError
from tests.adversarial.attacks.nets import trained
from tests.adversarial.guarded import WORLD, Plain, guard, judged, loader, trainer
from tests.helpers.launch import launch

CLIPPED = ThreatModel(eps=0.05, clip=(0, 1))
FEW_QUERIES = {"max_iter": 3, "max_eval": 100, "init_eval": 10}


@pytest.mark.parametrize("name", ["os", "inspect", "EvasionAttack", "__import__", "", "deepfool"])
def test_only_attacks_of_art_have_names(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no such attack; nearest are"):
        attack_class(name)


def test_a_class_that_is_no_attack_has_none_either(monkeypatch: pytest.MonkeyPatch) -> None:
    import art.attacks.evasion as evasion

    monkeypatch.setattr(evasion, "Popen", subprocess.Popen, raising=False)
    with pytest.raises(ConfigurationError, match="no such attack"):
        attack_class("Popen")


@pytest.mark.parametrize("threat", [CLIPPED, ThreatModel(norm="2", eps=0.1, clip=(0, 1))], ids=["inf", "2"])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("FastGradientMethod", "fgsm"), ("ProjectedGradientDescent", "pgd"), ("AutoProjectedGradientDescent", "apgd")],
)
def test_an_attack_of_art_and_ours_agree(theirs: str, ours: str, threat: ThreatModel, tmp_path: Path) -> None:
    net, x, y = trained()
    options: dict[str, Any] = {"loss_type": "cross_entropy"} if ours == "apgd" else {}
    found = judged(tmp_path, net, x, y, attack=theirs, threat=threat, batch_size=400, attack_options=options)
    expected = judged(tmp_path, net, x, y, attack=ours, threat=threat)
    assert found.outcome is Outcome.PASS, found.reason
    assert found.value == pytest.approx(expected.value, abs=0.005)
    assert found.details["attack"]["name"] == f"ART {theirs}"


def test_eps_of_each_feature_for_attacks_that_know_one(tmp_path: Path) -> None:
    net, x, y = trained()
    for norm in ("inf", "2"):
        threat = ThreatModel(norm=norm, eps=[0.02, 0.1, 0.05, 0.05, 0.2, 0.01], clip=(0, 1))  # type: ignore[arg-type]
        found = judged(tmp_path, net, x, y, attack="ProjectedGradientDescent", threat=threat, batch_size=400)
        expected = judged(tmp_path, net, x, y, attack="pgd", threat=threat)
        assert found.value == pytest.approx(expected.value, abs=0.005)


def test_a_mask_is_kept_or_refused(tmp_path: Path) -> None:
    net, x, y = trained()
    threat = ThreatModel(eps=0.1, clip=(0, 1), mutable=[True, False] * 3)
    found = judged(tmp_path, net, x, y, attack="ProjectedGradientDescent", threat=threat)
    assert found.value == pytest.approx(judged(tmp_path, net, x, y, attack="pgd", threat=threat).value, abs=0.005)
    refused = judged(tmp_path, net, x, y, attack="DeepFool", threat=threat)
    assert refused.outcome is Outcome.ERROR
    assert "DeepFool changes features that the threat model holds fixed: use pgd or apgd" in refused.reason


def test_an_attack_without_eps_tells_for_every_eps_by_distance(tmp_path: Path) -> None:
    """The class is x0 > 0.5, so the nearest wrong place is as far as x0 from 0.5."""

    class First(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.zeros(len(x)), 8 * (x[:, 0] - 0.5)], dim=1)

    x = torch.rand(60, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0.5).long()
    threat, overshoot = ThreatModel(norm="2", eps=0.1, clip=(0, 1)), {"epsilon": 1e-3}
    found = judged(tmp_path, First(), x, y, attack="DeepFool", threat=threat, attack_options=overshoot)
    assert found.outcome is Outcome.PASS, found.reason
    for point in found.details["curve"]:
        assert point["accuracy"] == pytest.approx(((x[:, 0] - 0.5).abs() > point["eps"]).float().mean().item())


def test_a_black_box_attack_that_feeds_float64(tmp_path: Path) -> None:
    net, x, y = trained()
    found = judged(
        tmp_path, net, x, y, attack="HopSkipJump", threat=CLIPPED, samples=4, attack_options=FEW_QUERIES
    )  # fmt: skip
    assert found.n == 4
    assert found.details["checks"]["gradients"] == "skipped: the attack follows no gradient"


def test_one_logit(tmp_path: Path) -> None:
    class OneLogit(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 8 * (x[:, :1] - x[:, 1:2])

    _, x, _ = trained()
    y = (x[:, 0] > x[:, 1]).float()
    found = judged(tmp_path, OneLogit(), x, y, attack="ProjectedGradientDescent", threat=CLIPPED)
    assert found.value == pytest.approx(((x[:, 0] - x[:, 1]).abs() > 0.1).float().mean().item())


def states_after_validation(tmp_path: Path, *callbacks: Any) -> tuple[Plain, list[int], tuple[Any, ...]]:
    """A fresh module after one validation, the sizes of its forwards, and where the generators stand."""
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    _, x, y = trained()
    module = Plain(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))).train()
    calls: list[int] = []
    module.net.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    trainer(tmp_path, *callbacks).validate(module, loader(x, y), verbose=False)
    return module, calls, (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate())


def test_it_leaves_the_live_model_and_the_random_states_alone(tmp_path: Path) -> None:
    bare, steps, states = states_after_validation(tmp_path)
    module, calls, after = states_after_validation(tmp_path, guard(attack="ProjectedGradientDescent", threat=CLIPPED))
    assert after == states
    assert all(torch.equal(value, bare.state_dict()[name]) for name, value in module.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert calls == [*steps, 128]  # the one batch on which the copy is compared


def test_a_copy_that_would_be_too_large_is_not_made(tmp_path: Path) -> None:
    net, x, y = trained()
    found = judged(tmp_path, net, x, y, attack="DeepFool", threat=CLIPPED, replica_max_bytes=1000)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "needs a plain copy of 1,292 bytes, replica_max_bytes allows 1,000" in found.reason


def test_an_attack_that_is_weaker_than_one_step_is_not_believed(tmp_path: Path) -> None:
    net, x, y = trained()
    found = judged(tmp_path, net, x, y, attack="BasicIterativeMethod", threat=CLIPPED, steps=1, eps_step=0.0005)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "check 'iterated' failed" in found.reason


def test_distance_by_hand() -> None:
    threat = ThreatModel(norm="2", eps=[1.0, 10.0, 1.0], mutable=[True, True, False])
    x = torch.zeros(3, 3)
    found = torch.tensor([[3.0, 40.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.1]])
    assert distance(threat, x, found).tolist() == pytest.approx([5.0, 0.0, float("nan")], nan_ok=True)
    assert distance(ThreatModel(eps=0.1), x[:1], x[:1] + 0.2).tolist() == pytest.approx([2.0])


def test_a_row_that_an_attack_moved_to_no_number_is_not_broken_by_it() -> None:
    plan = ArtPlan(attack="DeepFool", threat=CLIPPED, multiples=(1.0,), steps=1, restarts=1, share=1.0)
    x, no = torch.zeros(3, 2), torch.zeros(3, dtype=torch.bool)
    found = torch.tensor([[0.01, torch.nan], [0.01, 0.0], [torch.inf, 0.0]])
    kept = plan._within(x, found, 1.0, Attacked(x=x, sloped=~no, steered=~no, moved=no), no)
    assert kept.x.tolist() == [[0.0, 0.0], [pytest.approx(0.01), 0.0], [0.0, 0.0]]
    assert kept.moved.tolist() == [False, True, False]


CASES = [("DeepFool", 57), ("pgd", 9)]


def partitioned() -> list[dict[str, Any]]:
    """On each process: validations under ZeRO-3 of rows that differ in number between the processes."""
    import safeguards.deepspeed  # noqa: F401 - registers the strategies

    net, x, y = trained()
    told = []
    for attack, rows in CASES:
        module = Plain(deepcopy(net).requires_grad_(True))
        module.learning_rate = 0.0
        watching = guard(threat=CLIPPED, attack=attack, batch_size=8)
        running = trainer(".", watching, devices=WORLD, strategy="deepspeed_cpu_stage_3", max_epochs=1,
                          num_sanity_val_steps=0)  # fmt: skip
        running.fit(module, loader(x, y, 200), loader(x[:rows], y[:rows], 8))
        found = verdicts(running)[0]
        told.append({"outcome": found.outcome, "reason": found.reason, "value": found.value, "n": found.n})
    return told


def test_under_zero_3(tmp_path: Path) -> None:
    net, x, y = trained()
    alone = [
        judged(tmp_path, net, x[:rows], y[:rows], threat=CLIPPED, attack=attack, batch_size=8)
        for attack, rows in CASES
    ]  # fmt: skip
    expected = [{"outcome": v.outcome, "reason": v.reason, "value": v.value, "n": v.n} for v in alone]
    assert [found["n"] for found in expected] == [rows for _, rows in CASES]
    for result in launch(f"{__file__}:partitioned", world=2):
        assert result.value == expected
