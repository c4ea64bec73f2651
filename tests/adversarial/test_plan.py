import pytest
import torch

from safeguards import ThreatModel
from safeguards.adversarial.plan import WHOLE_RANGE, Plan
from tests.adversarial.attacks.nets import counting, trained


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "apgd"])
@pytest.mark.parametrize("restarts", [0, 1, 3])
def test_it_says_how_many_forwards_it_takes(attack: str, restarts: int) -> None:
    net, x, y = trained()
    counted, calls = counting(net)
    threat, multiples = ThreatModel(eps=0.05, clip=(0, 1)), (0.5, 1.0, WHOLE_RANGE)
    plan = Plan(attack=attack, threat=threat, multiples=multiples, steps=4, restarts=restarts, share=0.5)
    plan.run(counted, x[:6], y[:6], torch.arange(6), batch_size=4)
    assert calls == [4] * plan.forwards_per_row + [2] * plan.forwards_per_row
