"""Each check has a model that it must catch; no check may catch a sound one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from safeguards import Outcome, ThreatModel, Verdict
from tests.adversarial.attacks.nets import linear, trained
from tests.adversarial.guarded import judged

IN_RANGE = ThreatModel(eps=0.1, clip=(0, 1))


class Of(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def rows() -> tuple[Tensor, Tensor]:
    x = torch.rand(200, 2, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0.5).long()


def states(verdict: Verdict) -> dict[str, str]:
    return {name: text.split(":")[0] for name, text in verdict.details["checks"].items()}


def two(z: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(z), z], dim=1)


SATURATED = Of(lambda x: two(x[:, 0] - 0.5).mul(1e6).softmax(1))
ROUNDED = Of(lambda x: two(((x[:, 0] - 0.5) * 20).round()))
DETACHED = Of(lambda x: two(x.detach()[:, 0] - 0.5))
PERIODIC = Of(lambda x: two(torch.sin(x[:, 0] * torch.pi * 4)))
ASTRAY = Of(lambda x: two(2 * x.detach()[:, 0] - x[:, 0] - 0.5))


def caught(net: nn.Module, tmp_path: Path, check: str, x: Tensor | None = None, **options: Any) -> Verdict:
    own, y = rows()
    verdict = judged(tmp_path, net, own if x is None else x, y, **{"threat": IN_RANGE, **options})
    assert verdict.outcome is Outcome.INCONCLUSIVE, verdict.reason
    assert states(verdict)[check] == "failed"
    assert f"check {check!r} failed" in verdict.reason
    return verdict


class Extra(nn.Module):
    """A net with one class more, at the same logit for every row."""

    def __init__(self, net: nn.Module, logit: float) -> None:
        super().__init__()
        self.net, self.logit = net, logit

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(self.net(x), (0, 1), value=self.logit)


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "apgd", "ProjectedGradientDescentPyTorch", "DeepFool"])
def test_a_class_that_a_mask_rules_out_is_attacked_as_the_least_likely(attack: str, tmp_path: Path) -> None:
    net, x, y = trained()
    masked, least = (
        judged(tmp_path, Extra(net, logit), x[:128], y[:128], threat=IN_RANGE, attack=attack)
        for logit in (-torch.inf, -1e4)
    )
    assert (masked.outcome, masked.value) == (least.outcome, least.value), masked.reason
    assert states(masked) == states(least)


@pytest.mark.parametrize("net", [ROUNDED, DETACHED], ids=["rounded", "detached"])
def test_masked_gradients_are_caught(net: nn.Module, tmp_path: Path) -> None:
    verdict = caught(net, tmp_path, "gradients")
    assert verdict.value == 1.0 or verdict.value > 0.9


def test_a_saturated_softmax_is_caught(tmp_path: Path) -> None:
    caught(SATURATED, tmp_path, "gradients", output="logits")
    caught(SATURATED, tmp_path, "whole_range", output="logits")
    caught(SATURATED, tmp_path, "gradients", output="probabilities")


def test_gradients_that_lead_astray_are_caught(tmp_path: Path) -> None:
    verdict = caught(ASTRAY, tmp_path, "whole_range")
    assert [name for name, state in states(verdict).items() if state == "failed"] == ["whole_range"]


def test_a_wrong_clip_range_is_caught(tmp_path: Path) -> None:
    """Fault: data with mean 0 and deviation 1, clipped to [0, 1]."""
    x, _ = rows()
    verdict = caught(linear(1.0, 1.0), tmp_path, "clip_holds", x=(x - 0.5) / x.std(), threat=IN_RANGE)
    assert "rows lie outside the clip range" in verdict.reason


def test_more_eps_that_breaks_less_is_caught(tmp_path: Path) -> None:
    x, _ = rows()
    y = (torch.sin(x[:, 0] * torch.pi * 4) > 0).long()
    verdict = judged(tmp_path, PERIODIC, x, y, attack="fgsm", threat=ThreatModel(eps=0.125), eps_curve=[1, 2, 4])
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert states(verdict)["non_increasing"] == "failed"
    assert states(verdict)["iterated"] == "skipped"


def test_many_steps_that_break_less_than_one_are_caught(tmp_path: Path) -> None:
    net = Of(lambda x: two(x[:, 0] - 0.5))
    verdict = caught(net, tmp_path, "iterated", steps=2, eps_step=0.0005, restarts=0, threat=ThreatModel(eps=0.1))
    assert verdict.value > 0.98


def test_rows_that_rounding_holds_in_place_are_caught(tmp_path: Path) -> None:
    x = rows()[0] * 2e8 - 1e8
    verdict = caught(Of(lambda x: two(x[:, 0] / 1e8)), tmp_path, "moves", x=x, threat=ThreatModel(eps=0.1), restarts=0)
    assert verdict.value == 1.0


def test_a_model_without_numbers_fails(tmp_path: Path) -> None:
    x, y = rows()
    verdict = judged(tmp_path, Of(lambda x: two(x[:, 0] * float("nan"))), x, y, threat=IN_RANGE)
    assert verdict.outcome is Outcome.FAIL
    assert "the outputs of 200 of 200 rows are NaN" in verdict.reason


def test_rows_without_numbers_are_named_and_not_counted(tmp_path: Path) -> None:
    x, y = rows()
    x[[3, 70], 0], x[5, 1] = float("nan"), float("inf")
    verdict = judged(tmp_path, linear(1.0, -1.0), x, y)
    assert verdict.n == 197
    assert "3 rows hold NaN or infinite inputs and are not counted: 3, 5, 70" in verdict.reason
    assert verdict.outcome is not Outcome.ERROR
    nothing = judged(tmp_path, linear(1.0, -1.0), x * float("nan"), y)
    assert (nothing.outcome, nothing.n) == (Outcome.INCONCLUSIVE, 0)


SOUND: dict[str, tuple[nn.Module, dict[str, Any]]] = {
    "linear": (Of(lambda x: two(x[:, 0] - 0.5)), {}),
    "sure": (Of(lambda x: two(x[:, 0] - 0.5) * 1e4), {}),
    "constant": (Of(lambda x: torch.tensor([[2.0, 0.0]]).expand(len(x), 2) + 0 * x), {}),
    "constant_without_inputs": (Of(lambda x: torch.tensor([[2.0, 0.0]]).expand(len(x), 2)), {}),
    "masked": (Of(lambda x: two(x[:, 0] - 0.5)), {"threat": ThreatModel(eps=0.1, clip=(0, 1), mutable=[False, True])}),
    "one_mutable": (
        Of(lambda x: two(x[:, 0] - 0.5)),
        {"threat": ThreatModel(eps=0.1, clip=(0, 1), mutable=[True, False])},
    ),
    "euclidean": (Of(lambda x: two(x[:, 0] - 0.5)), {"threat": ThreatModel(norm="2", eps=[0.1, 0.3], clip=(0, 1))}),
    "one_logit": (Of(lambda x: x[:, 0] - 0.5), {}),
    "no_clip": (Of(lambda x: two(x[:, 0] - 0.5)), {"threat": ThreatModel(eps=0.1)}),
    "trained": (trained()[0], {}),
}
NAMES = ("constant", "constant_without_inputs", "masked", "linear")
SOUND |= {f"{name}, a class ruled out": (Extra(SOUND[name][0], -torch.inf), SOUND[name][1]) for name in NAMES}


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "apgd"])
@pytest.mark.parametrize("name", SOUND)
def test_sound_models_are_not_flagged(name: str, attack: str, tmp_path: Path) -> None:
    net, options = SOUND[name]
    x, y = trained()[1:] if name == "trained" else rows()
    verdict = judged(tmp_path, net, x, y, attack=attack, **{"threat": IN_RANGE, **options})
    assert "failed" not in states(verdict).values(), verdict.details["checks"]
    assert verdict.outcome in (Outcome.PASS, Outcome.WARN)


def test_what_is_skipped_says_why(tmp_path: Path) -> None:
    x, y = rows()
    masked = judged(tmp_path, SOUND["masked"][0], x, y, **SOUND["masked"][1])
    assert masked.details["checks"]["whole_range"] == (
        "skipped: some features stay fixed, so rows cannot all become the same"
    )
    assert "200 do not depend on the features that may change" in masked.details["checks"]["gradients"]
    assert masked.value == 1.0
    assert states(judged(tmp_path, linear(1.0, 1.0), x, y))["clip_holds"] == "skipped"


@pytest.mark.parametrize(("gap", "ties"), [(0.9e-5, 3), (1.1e-5, 0)])
@pytest.mark.parametrize("one_logit", [False, True])
def test_rows_that_two_classes_share_are_counted(gap: float, ties: int, one_logit: bool, tmp_path: Path) -> None:
    """Such a row may fall either way with the size of its batch, and so with the number of processes."""
    x, y = rows()
    x[:, 1] = 0.0
    x[:3, 1] = 1.0

    def margin(x: Tensor) -> Tensor:
        return torch.where(x[:, 1] > 0.5, gap, -x[:, 0] - 1)

    net = Of(margin if one_logit else lambda x: two(margin(x)))
    verdict = judged(tmp_path, net, x, y, threat=ThreatModel(eps=0.1, mutable=[True, False]))
    assert verdict.details["near_ties"] == ties


def test_a_robust_model_is_measured_exactly(tmp_path: Path) -> None:
    """The class is x0 > 0.5, so exactly the rows within eps of 0.5 break."""
    x, y = rows()
    verdict = judged(tmp_path, SOUND["linear"][0], x, y, threat=IN_RANGE)
    for point in verdict.details["curve"]:
        expected = ((x[:, 0] - 0.5).abs() > point["eps"]).float().mean().item()
        assert point["accuracy"] == pytest.approx(expected)
    assert verdict.value == pytest.approx(((x[:, 0] - 0.5).abs() > 0.1).float().mean().item())
    assert verdict.details["clean_accuracy"] == 1.0
