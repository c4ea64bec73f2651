import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from safeguards.adversarial.attacks.ball import ball_around, rows_shaped
from safeguards.adversarial.threat import ThreatModel


def test_a_step_in_a_box_by_hand() -> None:
    ball = ball_around(torch.tensor([[0.5, 0.5, 0.95]]), ThreatModel(eps=[0.1, 0.2, 0.1], clip=(0, 1)))
    stepped = ball.step(ball.origin, torch.tensor([[3.0, -0.1, 2.0]]), 1.0)
    torch.testing.assert_close(stepped, torch.tensor([[0.6, 0.3, 1.0]]))


def test_one_eps_for_all_features_is_that_of_each() -> None:
    x, gradient, seeds = torch.rand(4, 2, 3), torch.randn(4, 2, 3), torch.arange(4)
    one, each = (ball_around(x, ThreatModel(eps=eps, clip=(0, 1))) for eps in (0.1, torch.full((2, 3), 0.1)))
    going = torch.tensor([True, False, True, False])
    assert torch.equal(one.start(seeds), each.start(seeds))
    assert torch.equal(one.step(x, gradient.clone(), 0.3, going), each.step(x, gradient.clone(), 0.3, going))
    assert torch.equal(one.step(x, gradient.clone(), 0.3, going)[~going], x[~going])
    apart = ball_around(x, ThreatModel(eps=[[0.1, 0.1, 0.1], [0.1, 0.1, 0.2]], clip=(-9, 9)))
    torch.testing.assert_close(apart.step(x, torch.ones_like(x), 1.0)[0, 1], x[0, 1] + torch.tensor([0.1, 0.1, 0.2]))


@pytest.mark.parametrize("n", [1, 7, 64])
def test_a_gradient_that_is_no_number_moves_nothing(n: int) -> None:
    ball = ball_around(torch.zeros(2, n), ThreatModel(eps=0.1))
    assert torch.equal(ball.step(ball.origin, torch.full((2, n), torch.nan), 1.0), ball.origin)


def test_a_step_in_a_euclidean_ball_by_hand() -> None:
    ball = ball_around(torch.tensor([[0.0, 0.0]]), ThreatModel(norm="2", eps=0.5))
    torch.testing.assert_close(ball.step(ball.origin, torch.tensor([[3.0, 4.0]]), 1.0), torch.tensor([[0.3, 0.4]]))
    torch.testing.assert_close(ball.project(torch.tensor([[30.0, 40.0]])), torch.tensor([[0.3, 0.4]]))


def test_features_with_an_eps_of_their_own_make_an_ellipsoid() -> None:
    ball = ball_around(torch.zeros(1, 2), ThreatModel(norm="2", eps=[1.0, 10.0]))
    torch.testing.assert_close(ball.project(torch.tensor([[3.0, 40.0]])), torch.tensor([[0.6, 8.0]]))


def test_fixed_features_stay_even_out_of_range() -> None:
    threat = ThreatModel(eps=0.1, clip=(0, 1), mutable=[True, False])
    ball = ball_around(torch.tensor([[0.5, 7.0]]), threat)
    torch.testing.assert_close(ball.step(ball.origin, torch.ones(1, 2), 1.0), torch.tensor([[0.6, 7.0]]))


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_the_whole_range_reaches_every_corner(norm: str) -> None:
    threat = ThreatModel(norm=norm, eps=0.01, clip=([0.0, -5.0], [1.0, 5.0]))
    ball = ball_around(torch.tensor([[0.2, 3.0]]), threat, multiple=math.inf)
    assert ball.step(ball.origin, torch.tensor([[1.0, -1.0]]), 1.0).tolist() == [[1.0, -5.0]]


def test_starts_depend_on_the_row_alone() -> None:
    x, seeds = torch.rand(9, 4), torch.arange(9)
    for norm in ("inf", "2"):
        threat = ThreatModel(norm=norm, eps=0.1)
        together = ball_around(x, threat).start(seeds)
        alone = torch.cat([ball_around(x[i : i + 1], threat).start(seeds[i : i + 1]) for i in range(9)])
        assert torch.equal(together, alone)
        assert len(together.sub(x).unique(dim=0)) == 9


def test_starts_fill_the_ball() -> None:
    x, seeds = torch.zeros(4000, 3), torch.arange(4000)
    box = ball_around(x, ThreatModel(eps=1.0)).start(seeds)
    assert box.mean(0).abs().max() < 0.05
    assert box.std(0).sub(1 / math.sqrt(3)).abs().max() < 0.02
    radius = ball_around(x, ThreatModel(norm="2", eps=1.0)).start(seeds).norm(dim=1)
    inside_half = (radius < 0.5).float().mean().item()
    assert inside_half == pytest.approx(1 / 8, abs=0.02)


@settings(deadline=None, max_examples=60)
@given(
    norm=st.sampled_from(["inf", "2"]),
    eps=arrays(float, 5, elements=st.floats(0, 2)).filter(lambda eps: eps.max() > 1e-3),
    mutable=arrays(bool, 5).filter(lambda mutable: mutable.any()),
    gradient=arrays("float32", (3, 5), elements=st.floats(-100, 100, width=32)),
    share=st.floats(0.01, 2),
)
def test_no_step_leaves_the_threat_model(norm, eps, mutable, gradient, share) -> None:  # type: ignore[no-untyped-def]
    assume((eps * mutable).max() > 0)
    x = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    ball = ball_around(x, ThreatModel(norm=norm, eps=eps, clip=(0, 1), mutable=mutable))
    place = ball.start(torch.arange(3))
    for _ in range(3):
        place = ball.step(place, torch.from_numpy(gradient.copy()), share)
    change = (place - x).abs().double()
    reach = torch.from_numpy(eps * mutable)
    assert (change[:, reach == 0] == 0).all()
    relative = (change / reach.where(reach > 0, 1.0))[:, reach > 1e-4]
    length = relative.flatten(1).norm(dim=1) if norm == "2" else relative.amax(1) if relative.numel() else relative
    assert (length <= 1 + 1e-2).all()
    assert (place >= 0).all()
    assert (place <= 1).all()


def test_rows_shaped() -> None:
    assert rows_shaped(torch.ones(4), torch.ones(4, 3, 2)).shape == (4, 1, 1)
