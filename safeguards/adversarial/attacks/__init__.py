"""Gradient attacks as short loops that make the same number of forwards on every process, whatever the rows do."""

from safeguards.adversarial.attacks.apgd import apgd
from safeguards.adversarial.attacks.fgsm import fgsm
from safeguards.adversarial.attacks.pgd import pgd
from safeguards.adversarial.attacks.result import Attacked
from safeguards.adversarial.attacks.runs import Runs

__all__ = ["Attacked", "Runs", "apgd", "fgsm", "pgd"]
