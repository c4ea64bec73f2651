import numpy as np
import pytest
import torch
from torch import Tensor, nn

from safeguards.adversarial.attacks import Runs, pgd
from safeguards.adversarial.threat import ThreatModel
from tests.adversarial.attacks.nets import counting, linear, share_right, trained

SEEDS = torch.arange(400)


def test_two_steps_by_hand() -> None:
    x, y = torch.tensor([[0.5, 0.5]]), torch.tensor([1])
    found = pgd(
        linear(2.0, 2.0), x, y, ThreatModel(eps=0.1), runs=Runs(seeds=torch.tensor([1]), steps=2, restarts=0), share=0.3
    )
    torch.testing.assert_close(found.x, torch.tensor([[0.44, 0.44]]))


def test_a_row_stays_where_it_fell() -> None:
    x, y = torch.tensor([[-0.01]]), torch.tensor([0])
    found = pgd(
        linear(1.0), x, y, ThreatModel(eps=1.0), runs=Runs(seeds=torch.tensor([1]), steps=9, restarts=0), share=0.1
    )
    torch.testing.assert_close(found.x, torch.tensor([[0.09]]))


@pytest.mark.parametrize(("norm", "theirs", "eps"), [("inf", np.inf, 0.05), ("2", 2, 0.1)])
def test_robust_accuracy_is_that_of_art(norm: str, theirs: float, eps: float) -> None:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    net, x, y = trained()
    classifier = PyTorchClassifier(net, nn.CrossEntropyLoss(), (6,), 3, clip_values=(0.0, 1.0), device_type="cpu")
    attack = ProjectedGradientDescentPyTorch(
        classifier, norm=theirs, eps=eps, eps_step=eps / 4, max_iter=10, batch_size=400, verbose=False
    )
    expected = share_right(net, torch.from_numpy(attack.generate(x.numpy(), y.numpy())), y)
    found = pgd(net, x, y, ThreatModel(norm=norm, eps=eps, clip=(0, 1)), runs=Runs(seeds=SEEDS, steps=10, restarts=0))
    assert share_right(net, found.x, y) == pytest.approx(expected, abs=0.005)
    assert expected < share_right(net, x, y) - 0.1


@pytest.mark.parametrize(("steps", "restarts", "forwards"), [(1, 0, 1), (5, 1, 5), (5, 3, 17)])
def test_the_number_of_forwards_is_fixed(steps: int, restarts: int, forwards: int) -> None:
    net, x, y = trained()
    for eps in (1e-6, 0.9):
        counted, calls = counting(net)
        pgd(counted, x, y, ThreatModel(eps=eps), runs=Runs(seeds=SEEDS, steps=steps, restarts=restarts))
        assert calls == [400] * forwards


@pytest.mark.parametrize("steps", [1, 10])
def test_rows_do_not_depend_on_their_batch(steps: int) -> None:
    """After one step a row is still near its random start; after ten it has forgotten it."""
    net, x, y = trained()
    threat, chosen = ThreatModel(eps=0.05), torch.tensor([7, 399, 12])
    together = pgd(net, x, y, threat, runs=Runs(seeds=SEEDS, steps=steps, restarts=2)).x[chosen]
    alone = pgd(net, x[chosen], y[chosen], threat, runs=Runs(seeds=SEEDS[chosen], steps=steps, restarts=2)).x
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_restarts_find_no_less() -> None:
    net, x, y = trained()
    one, many = (pgd(net, x, y, ThreatModel(eps=0.03), runs=Runs(seeds=SEEDS, steps=2, restarts=r)).x for r in (1, 4))
    assert share_right(net, many, y) <= share_right(net, one, y)


def test_the_global_generators_do_not_matter_and_do_not_move() -> None:
    net, x, y = trained()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = pgd(net, x, y, ThreatModel(eps=0.05), runs=Runs(seeds=SEEDS)).x
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(pgd(net, x, y, ThreatModel(eps=0.05), runs=Runs(seeds=SEEDS)).x, first)


def test_a_model_that_breaks_on_the_way_stops_the_row() -> None:
    def breaks(x: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(x)), torch.where(x[:, 0] > 0.52, torch.nan, x[:, 0] - 9)], dim=1)

    found = pgd(
        breaks, torch.tensor([[0.5]]), torch.tensor([0]), ThreatModel(eps=0.1), runs=Runs(seeds=SEEDS[:1], restarts=0)
    )
    assert found.x.isfinite().all()
    assert found.x.item() > 0.52


def test_image_rows_and_one_logit() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 1), nn.Flatten(0)).requires_grad_(False)
    x, y = torch.rand(5, 1, 8, 8), torch.tensor([0, 1, 0, 1, 1])
    found = pgd(net, x, y, ThreatModel(eps=0.1, clip=(0, 1)), runs=Runs(seeds=SEEDS[:5]))
    assert found.x.shape == x.shape
    right = (net(x) > 0).long() == y
    assert right.any()
    assert ((net(found.x) - net(x)) * (1 - 2 * y) > 0)[right].all()


def test_rows_are_not_those_of_the_caller() -> None:
    def shifts_in_place(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            x.sub_(1)
        return x

    x = torch.rand(4, 2)
    before = x.clone()
    pgd(
        shifts_in_place,
        x,
        torch.zeros(4, dtype=torch.int64),
        ThreatModel(eps=0.1),
        runs=Runs(seeds=SEEDS[:4], restarts=0),
    )
    assert torch.equal(x, before)
