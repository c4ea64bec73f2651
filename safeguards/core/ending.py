"""What is done once training, a validation or a test is over."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.cost import said_left_out
from safeguards.core.errors import RankError, SafeguardError
from safeguards.core.ranks import Ranks, describe
from safeguards.core.report import overall, table
from safeguards.core.verdict import Cost, Moment, Outcome, Verdict
from safeguards.core.weights import REMEDY

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

    from safeguards.core.safeguard import Safeguard

__all__ = [
    "Summary",
    "announce",
    "last_work",
    "left_behind",
    "note",
    "outdated",
    "overlooked",
    "publish",
    "raise_what_is_fatal",
    "second_opinion",
    "silence",
    "tell",
    "why_silent",
]


WORTH_TELLING = 1.0
"""Seconds."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run hands to every logger and callback that has ``publish_safeguards(summary)``, on rank 0.

    ``ended`` is "finished", "stopped_for_safety", "raised" (by a verdict), "killed" (it was told to end) or "crashed".
    """

    run_id: str
    directory: Path
    verdicts: tuple[Verdict, ...]
    ended: str


def second_opinion(safeguard: Safeguard, moment: Moment, ranks: Ranks) -> list[Verdict]:
    """All ranks: an ERROR for each measure whose last verdict an independent computation contradicts."""
    return _errors(safeguard, moment, ranks, lambda: dict(safeguard.double_check()))


def last_work(
    safeguard: Safeguard, trainer: Trainer, module: LightningModule, moment: Moment, ranks: Ranks
) -> list[Verdict]:
    """All ranks: the safeguard's own last work; its failure is an ERROR."""

    def work() -> dict[str, str]:
        safeguard.finish(trainer, module)
        return {}

    return _errors(safeguard, moment, ranks, work)


def _errors(safeguard: Safeguard, moment: Moment, ranks: Ranks, work: Callable[[], dict[str, str]]) -> list[Verdict]:
    try:
        found = ranks.broadcast(ranks.together(work))
    except RankError as error:
        found = {next(iter(safeguard.limits)): describe(error)}
    return [_verdict(safeguard, measure, Outcome.ERROR, text, moment) for measure, text in found.items()]


def silence(safeguards: Sequence[Safeguard], reached: Sequence[Verdict], moment: Moment, why: str) -> list[Verdict]:
    """NOT_EVALUATED for every measure that was asked for and never judged, or whose cap left out every look."""
    judged = {(verdict.safeguard, verdict.measure) for verdict in reached}
    return [
        _verdict(safeguard, measure, Outcome.NOT_EVALUATED, _left_out(safeguard, "all of them") or why, moment)
        for safeguard in safeguards
        for measure in safeguard.limits
        if (safeguard.label, measure) not in judged
    ]


def overlooked(safeguards: Sequence[Safeguard], reached: Sequence[Verdict], moment: Moment) -> list[Verdict]:
    """NOT_EVALUATED for every measure that was judged, but whose cap has left the last looks out."""
    return [
        verdict
        for safeguard in safeguards
        if (why := _left_out(safeguard, "since its last verdict"))
        for verdict in outdated([safeguard], reached, moment, {safeguard.judges_at: why + REMEDY[safeguard.judges_at]})
    ]


def _left_out(safeguard: Safeguard, which: str) -> str:
    return said_left_out(safeguard.meter.left_out, which)


def outdated(
    safeguards: Sequence[Safeguard], reached: Sequence[Verdict], moment: Moment, why: Mapping[str, str]
) -> list[Verdict]:
    """NOT_EVALUATED for every measure that was judged on other weights; ``why`` by the kind of judgement."""
    judged = {(v.safeguard, v.measure) for v in reached if v.outcome is not Outcome.NOT_EVALUATED}
    return [
        _verdict(safeguard, measure, Outcome.NOT_EVALUATED, why[safeguard.judges_at], moment)
        for safeguard in safeguards
        for measure in safeguard.limits
        if safeguard.judges_at in why and (safeguard.label, measure) in judged
    ]


def left_behind(safeguards: Sequence[Safeguard], reached: Sequence[Verdict], moment: Moment, why: str) -> list[Verdict]:
    """NOT_EVALUATED for every measure whose last verdict is of an earlier step than ``moment``. Local."""
    last = {(verdict.safeguard, verdict.measure): verdict for verdict in reached}
    earlier = [verdict for verdict in last.values() if verdict.moment.step < moment.step]
    return outdated(safeguards, earlier, moment, dict.fromkeys(("validation", "train_epoch"), why))


def raise_what_is_fatal(safeguards: Sequence[Safeguard], errors: Sequence[Verdict]) -> None:
    """Raise `SafeguardError` for the first of these errors whose safeguard asks for ``on_error="raise"``."""
    fatal = {safeguard.label for safeguard in safeguards if safeguard.on_error == "raise"}
    for verdict in errors:
        if verdict.safeguard in fatal:
            raise SafeguardError(f"{verdict.safeguard}/{verdict.measure}: {verdict.reason}")


def why_silent(trainer: Trainer) -> str:
    """Why no judgement came, as far as the trainer's settings tell."""
    if trainer.state.fn != "fit":
        return "never judged: no batch reached it"
    if trainer.limit_train_batches == 0 or trainer.global_step == 0:
        return "never judged: no training ran"
    every = trainer.check_val_every_n_epoch
    if every is not None and trainer.current_epoch < every:
        return f"never judged: check_val_every_n_epoch={every}, but {trainer.current_epoch} epochs ran"
    if not trainer.enable_validation or not sum(trainer.num_val_batches):
        return "never judged: no validation ran (no validation loader or step, or limit_val_batches=0)"
    return f"never judged: no batch of a validation reached it before training ended at step {trainer.global_step}"


def _verdict(safeguard: Safeguard, measure: str, outcome: Outcome, reason: str, moment: Moment) -> Verdict:
    return Verdict(
        safeguard=safeguard.label,
        measure=measure,
        outcome=outcome,
        reason=reason,
        moment=moment,
        limit=safeguard.limits[measure],
    )


def tell(verdicts: Sequence[Verdict], directory: Path, after: Mapping[str, Cost]) -> None:
    """Print the latest verdicts, what work ``after`` training cost, and where all verdicts are.

    A terminal that is gone, or lacks letters, ends nothing.
    """
    if not verdicts:
        return
    long = [f"{label} {cost.seconds:.1f} s" for label, cost in after.items() if cost.seconds >= WORTH_TELLING]
    text = f"\n{table(verdicts)}\n\nsafeguards: {overall(verdicts)}; all verdicts: {directory / 'verdicts.jsonl'}"
    text += f"\nafter training (reports, second opinions): {', '.join(long)}" if long else ""
    try:
        _print(text)
    except (OSError, ValueError) as error:
        warnings.warn(f"the verdicts could not be printed: {describe(error)}", stacklevel=2)


def _print(text: str) -> None:
    try:
        print(text)
    except UnicodeEncodeError:
        print(text.encode("ascii", "backslashreplace").decode())


def announce(trainer: Trainer, run_id: str, directory: Path) -> None:
    """Tell every logger and callback that has ``begin_safeguards(run_id, directory)`` under which id training begins,
    and where its ledger will be.
    """
    _hand(trainer, "begin_safeguards", run_id, directory)


def note(trainer: Trainer, reached: Sequence[Verdict]) -> None:
    """Hand the verdicts of this moment to every logger and callback that has ``note_verdicts(verdicts)``."""
    _hand(trainer, "note_verdicts", reached)


def publish(trainer: Trainer, summary: Summary) -> None:
    """Hand the run to every logger and callback that has ``publish_safeguards(summary)``."""
    _hand(trainer, "publish_safeguards", summary)


def _hand(trainer: Trainer, method: str, *what: object) -> None:
    """Their failure loses nothing and ends nothing."""
    for target in [*trainer.loggers, *vars(trainer)["callbacks"]]:
        take = getattr(target, method, None)
        if take is None:
            continue
        try:
            take(*what)
        except Exception as error:
            warnings.warn(f"{type(target).__name__}.{method} failed: {describe(error)}", stacklevel=2)
