"""What a FairnessCheck answers for given rows, without a trainer: the guard's own methods, one process."""

from types import SimpleNamespace

import torch

from safeguards.core.batch import BatchFields
from safeguards.core.errors import SafeguardError
from safeguards.core.limit import Decision, Limit, decide
from safeguards.core.ranks import Ranks, describe
from safeguards.core.rows import Rows
from safeguards.core.scene import Loader
from safeguards.core.verdict import Moment, Outcome
from safeguards.fairness import FairnessCheck

LIMITS = {
    "demographic_parity_difference": Limit(at_most=0.1),
    "demographic_parity_ratio": Limit(at_least=0.8),
    "equalized_odds_difference": Limit(at_most=0.1),
    "equal_opportunity_difference": Limit(at_most=0.1),
    "worst_group_accuracy": Limit(at_least=0.7),
}


def scene(look=1):
    moment = Moment(stage="validate", epoch=0, step=1)
    return SimpleNamespace(ranks=Ranks(), look=look, moment=moment, loader=Loader())


def rows(groups, target, logits):
    n = len(target)
    return Rows(
        batch=None,
        n=n,
        ids=torch.arange(n),
        identified=True,
        positions=None,
        given=None,
        target=torch.as_tensor(target),
        label=lambda: groups,
        predict=lambda _: torch.as_tensor(logits),
    )


def logits_for(classes, count=2):
    """Logits (N, C) that predict these classes."""
    return torch.nn.functional.one_hot(torch.as_tensor(classes), count).float() * 4 - 2


def check(names, limits=LIMITS, **options):
    groups = dict.fromkeys(names, 2)
    return FairnessCheck(fields=BatchFields(inputs=0, target=1, groups=groups), limits=limits, **options)


def measured(groups, target, logits, *, look=1, limits=LIMITS, **options):
    """The guard and its measurements of these rows, in one batch."""
    guard = check(groups, limits, **options)
    seen = guard.prepare(scene(look))
    guard.observe(seen, rows(groups, target, logits), scene(look))
    return guard, guard.examine(seen, scene(look))


def answered(groups, target, logits, **options):
    """The decision on each measure; what the guard raises is an ERROR, as it is in a run."""
    limits = options.get("limits", LIMITS)
    try:
        _, found = measured(groups, target, logits, **options)
    except SafeguardError as error:
        return {name: Decision(outcome=Outcome.ERROR, margin=None, reason=describe(error)) for name in limits}
    on = options.get("decide_on", "interval")
    return {name: decide(found[name], limit, on=on) for name, limit in limits.items()}
