import numpy as np
import pytest
import torch
from torch import Tensor, nn

from safeguards.adversarial.attacks import Runs, apgd, pgd
from safeguards.adversarial.attacks.apgd import intervals
from safeguards.adversarial.threat import ThreatModel
from tests.adversarial.attacks.nets import counting, share_right, trained

SEEDS = torch.arange(400)


def test_the_checkpoints_of_the_paper() -> None:
    assert np.cumsum(intervals(100)).tolist() == [22, 41, 57, 70, 80, 87, 93, 99, 100]


@pytest.mark.parametrize("steps", range(1, 40))
def test_the_intervals_are_all_the_steps(steps: int) -> None:
    assert sum(intervals(steps)) == steps
    assert min(intervals(steps)) >= 1


@pytest.mark.parametrize(("norm", "theirs", "eps"), [("inf", np.inf, 0.05), ("2", 2, 0.1)])
def test_robust_accuracy_is_that_of_art(norm: str, theirs: float, eps: float) -> None:
    from art.attacks.evasion import AutoProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    net, x, y = trained()
    classifier = PyTorchClassifier(net, nn.CrossEntropyLoss(), (6,), 3, clip_values=(0.0, 1.0), device_type="cpu")
    attack = AutoProjectedGradientDescent(
        classifier, norm=theirs, eps=eps, eps_step=2 * eps, max_iter=20, nb_random_init=1, batch_size=400,
        loss_type="cross_entropy", verbose=False,
    )  # fmt: skip
    expected = share_right(net, torch.from_numpy(attack.generate(x.numpy(), y.numpy())), y)
    found = apgd(net, x, y, ThreatModel(norm=norm, eps=eps, clip=(0, 1)), runs=Runs(seeds=SEEDS, steps=20))
    assert share_right(net, found.x, y) == pytest.approx(expected, abs=0.005)


def test_it_is_no_weaker_than_pgd_of_the_same_cost() -> None:
    net, x, y = trained()
    threat = ThreatModel(eps=0.08, clip=(0, 1))
    ours = share_right(net, apgd(net, x, y, threat, runs=Runs(seeds=SEEDS, steps=20)).x, y)
    assert ours <= share_right(net, pgd(net, x, y, threat, runs=Runs(seeds=SEEDS, steps=20)).x, y) + 0.0025


def test_the_step_halves_where_it_only_jumps_over_the_top() -> None:
    """The margin is largest at 0.4, in a ball from -1 to 1: steps of 2 eps swing end to end, shorter ones settle."""
    visited: list[float] = []

    def hill(x: Tensor) -> Tensor:
        visited.append(x.item())
        return torch.stack([torch.ones(len(x)), -((x[:, 0] - 0.4) ** 2)], dim=1)

    threat, y, x = ThreatModel(eps=1.0), torch.zeros(1, dtype=torch.int64), torch.zeros(1, 1)
    found = apgd(hill, x, y, threat, runs=Runs(seeds=SEEDS[:1], steps=60, restarts=0))
    assert max(visited[:5]) == 1.0
    assert visited[-5:] == pytest.approx([0.4] * 5, abs=0.05)
    assert found.x.item() == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize(("steps", "restarts", "forwards"), [(1, 0, 2), (5, 1, 6), (5, 3, 18)])
def test_the_number_of_forwards_is_fixed(steps: int, restarts: int, forwards: int) -> None:
    net, x, y = trained()
    for eps in (1e-6, 0.9):
        counted, calls = counting(net)
        apgd(counted, x, y, ThreatModel(eps=eps), runs=Runs(seeds=SEEDS, steps=steps, restarts=restarts))
        assert calls == [400] * forwards


def test_rows_do_not_depend_on_their_batch() -> None:
    net, x, y = trained()
    threat, chosen = ThreatModel(eps=0.05), torch.tensor([7, 399, 12])
    together = apgd(net, x, y, threat, runs=Runs(seeds=SEEDS)).x[chosen]
    alone = apgd(net, x[chosen], y[chosen], threat, runs=Runs(seeds=SEEDS[chosen])).x
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
