import numpy as np
import pytest
import torch

from safeguards.adversarial.threat import ThreatModel
from safeguards.core.errors import ConfigurationError

ROW = torch.zeros(3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"norm": "1", "eps": 0.1}, 'expected "inf" or "2"'),
        ({"eps": 0}, "not all 0"),
        ({"eps": -0.1}, "0 or more"),
        ({"eps": float("nan")}, "finite"),
        ({"eps": "much"}, "expected numbers"),
        ({"eps": [[0.1], [0.2, 0.3]]}, "expected numbers"),
        ({"eps": 0.1, "clip": 1.0}, "as in (0, 1)"),
        ({"eps": 0.1, "clip": (1, 0)}, "lowest < highest"),
        ({"eps": 0.1, "clip": (0, float("nan"))}, "lowest < highest"),
        ({"eps": 0.1, "clip": ([0, 0], [1, 1, 1])}, "shapes"),
        ({"eps": 0.1, "mutable": [False, False]}, "nothing to attack"),
        ({"eps": 0.1, "mutable": [0, 1]}, "true or false"),
        ({"eps": [0.1, 0.1, 0.1], "mutable": [False, True]}, "shapes"),
        ({"eps": [0.1, 0.0], "mutable": [False, True]}, "nothing to attack"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        ThreatModel(**arguments)  # type: ignore[arg-type]
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_shape_names_both() -> None:
    with pytest.raises(ConfigurationError, match=r"eps.*\(2,\) does not fit rows of shape \(3,\)"):
        ThreatModel(eps=[0.1, 0.2]).reach(ROW)


@pytest.mark.parametrize("eps", [[0.1, 0.2, 0.3], np.array([0.1, 0.2, 0.3]), torch.tensor([0.1, 0.2, 0.3])])
def test_eps_of_each_feature(eps: object) -> None:
    threat = ThreatModel(eps=eps, mutable=[True, False, True])  # type: ignore[arg-type]
    torch.testing.assert_close(threat.reach(ROW), torch.tensor([0.1, 0.0, 0.3]))
    assert threat.largest_eps == pytest.approx(0.3)
    assert ThreatModel(eps=0.1).reach(torch.zeros(2, 2)).tolist() == torch.full((2, 2), 0.1).tolist()


def test_rows_outside_the_range() -> None:
    threat = ThreatModel(eps=0.1, clip=(0, 1), mutable=[True, True, False])
    x = torch.tensor([[0.0, 1.0, 9.0], [0.0, 1.0 + 1e-7, 0.0], [-0.1, 0.0, 0.0], [0.0, 1.1, 0.0]])
    assert threat.outside(x, x[0]) == 2
    assert ThreatModel(eps=0.1).outside(x, x[0]) is None
    assert threat.outside(x[:0], x[0]) == 0


def test_it_describes_itself_in_plain_values() -> None:
    told = ThreatModel(norm="2", eps=np.full(1000, 0.5), clip=(0, 1), mutable=[True] + [False] * 999).describe()
    assert told["norm"] == "2"
    assert len(str(told["eps"])) <= 60
    assert told["clip"] == [0.0, 1.0]
    assert told["mutable"] == "1 features"


def test_an_eps_that_asks_for_a_gradient_gives_none_to_what_is_reached() -> None:
    threat = ThreatModel(eps=torch.tensor([0.1, 0.2], requires_grad=True))
    assert not threat.reach(torch.zeros(2)).requires_grad
