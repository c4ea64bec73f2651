"""The callback that only watches: what a topic inherits, and nothing that a topic decides."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypedDict, get_args

from safeguards.core.compat import TRAINING_STEP, WATCHED_STEP, Callback, enter, leave_out
from safeguards.core.cost import Meter
from safeguards.core.errors import ConfigurationError
from safeguards.core.limit import DecideOn, Limit
from safeguards.core.names import labels
from safeguards.core.predictions import Output, Predictions
from safeguards.core.resuming import key_of, run_id_in, take_over
from safeguards.core.verdict import Measurement, Outcome, Verdict, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytorch_lightning import LightningModule, Trainer

    from safeguards.core.batch import BatchFields
    from safeguards.core.rows import Rows
    from safeguards.core.run import Run
    from safeguards.core.scene import Scene

__all__ = ["OnError", "Reaction", "Safeguard", "SafeguardOptions"]

Reaction = Literal["record", "stop", "raise"]
OnError = Literal["record", "raise"]


class SafeguardOptions(TypedDict, total=False):
    """Options that every safeguard takes.

    ``limits``: a `Limit` per measure; measures without one get no verdict.
    ``reaction``: what follows a FAIL: keep it on record, stop training at the next step, or raise `LimitViolated`.
    ``on_error``: whether a failure of the safeguard itself is an ERROR verdict or ends the job with the error.
    ``decide_on``: hold the interval against the limit, or the value alone.
    ``max_share_of_fit``: largest share of the fit's time that its looks may take, in (0, 1]; None for no cap. It sees
    fewer rows then, chosen by hash, or leaves looks out until they can be paid; both are said. The first look, of the
    fewest rows, may exceed it, as nobody knows what it costs; work after training has no cap.
    ``name``: what verdicts call it, when one trainer has several of a kind; the topic by default.
    ``outputs_of``, ``predict``, ``output``: where outputs come from, see `safeguards.core.predictions.Predictions`.
    """

    limits: dict[str, Limit]
    reaction: Reaction
    on_error: OnError
    decide_on: DecideOn
    max_share_of_fit: float | None
    name: str | None
    outputs_of: str | None
    predict: Callable[[Any, Any], Any] | None
    output: Output | None


class Safeguard(Callback):
    """Watches one question while the model trains. Subclasses implement `prepare`, `observe` and `examine`.

    ``judges_at`` says whether it judges rows at the end of a validation, or metrics at the end of a training epoch.
    ``needs_identity`` is False for what does not count rows; ``reads_outputs`` is False where `observe` never asks rows
    for logits, so that none are made ahead when a forward takes all ranks together. ``reads_inputs`` is False where it
    asks rows for no inputs and no batch, which then need not be kept for it; ``in_blocks`` is True where it moreover
    reads outputs and does not mind which rows come together: `observe` is then called once for some thousand rows
    where the fields of batches can be joined.
    ``judges_weights`` is False where a verdict says nothing of the model, and so outlives the weights it came with.
    ``judged_by`` names arguments that change what is said of a number and not what it measures, as limits do: a resume
    that changes only those goes on with the same looks.
    """

    topic: ClassVar[str]
    measures: ClassVar[tuple[str, ...]]
    judges_at: Literal["validation", "train_epoch"] = "validation"
    needs_identity = True
    reads_outputs = True
    reads_inputs = True
    in_blocks = False
    judges_weights = True
    judged_by: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        limits: dict[str, Limit],
        fields: BatchFields | None = None,
        reaction: Reaction = "record",
        on_error: OnError = "record",
        decide_on: DecideOn = "interval",
        max_share_of_fit: float | None = None,
        name: str | None = None,
        outputs_of: str | None = None,
        predict: Callable[[Any, Any], Any] | None = None,
        output: Output | None = None,
    ) -> None:
        super().__init__()
        self.limits = _checked_limits(type(self), limits)
        self.reaction = _one_of("reaction", reaction, Reaction)
        self.on_error = _one_of("on_error", on_error, OnError)
        self.decide_on = _one_of("decide_on", decide_on, DecideOn)
        if max_share_of_fit is not None and not 0 < max_share_of_fit <= 1:
            raise ConfigurationError(f"max_share_of_fit={max_share_of_fit!r}: expected a share in (0, 1], or None")
        self.fields = fields
        self.how = Predictions(outputs_of=outputs_of, predict=predict, output=output)
        self.name = name or self.topic
        (self.label,) = labels([(self.name, self.topic)])
        self.meter = Meter(cap=max_share_of_fit)
        self._looks: dict[str, int] = {}
        self._run: Run | None = None
        self._fit_run: Run | None = None
        self._state_key: str | None = None
        leave_out(self, TRAINING_STEP, base=Callback)

    def prepare(self, scene: Scene) -> Any:
        """An empty state for one loader at one moment. Local and cheap."""
        return None

    def observe(self, seen: Any, rows: Rows, scene: Scene) -> None:
        """Take in the real rows of one batch, or block. Local: no communication; may fail."""

    def examine(self, seen: Any, scene: Scene) -> Mapping[str, Measurement]:
        """All ranks together: the measurements of this moment, the same on all of them; none means no verdict now."""
        raise NotImplementedError(f"{type(self).__name__} must implement examine()")

    def reaction_to(self, verdicts: Sequence[Verdict]) -> Reaction:
        """What should follow these verdicts of this safeguard."""
        return self.reaction if any(verdict.outcome is Outcome.FAIL for verdict in verdicts) else "record"

    def double_check(self) -> Mapping[str, str]:
        """At the end of fit: for each measure whose last verdict a second opinion contradicts, what differs."""
        return {}

    def finish(self, trainer: Trainer, module: LightningModule) -> None:
        """All ranks, once, when training has ended: last work such as a report."""

    def memory(self) -> dict[str, Any]:
        """Plain values that must survive a resume, the same on all ranks."""
        return {}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` gave."""

    @property
    def state_key(self) -> str:
        """Tells safeguards of one kind apart: by what they measure, then by how they judge it.

        Lightning reads it around every hook.
        """
        if self._state_key is None:
            self._state_key = key_of(self)
        return self._state_key

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """A resume is of the same run, and alpha is spent over the looks of all of it, whatever limits came between."""
        states = checkpoint["callbacks"]
        take_over(self.state_key, [callback.state_key for callback in vars(trainer)["callbacks"]], states)
        if self._run is not None and self.state_key not in states and (run_id := run_id_in(states)):
            self._run.adopt(run_id)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Its state, made without a trainer, may have the run of another that used this safeguard meanwhile."""
        from safeguards.core.run import Run

        state, run = checkpoint["callbacks"].get(self.state_key, {}), Run.known(trainer)
        if run is not None and "run_id" in state:
            state["run_id"] = run.run_id

    def state_dict(self) -> dict[str, Any]:
        """Plain values only, the same on all ranks."""
        return {
            "run_id": None if self._run is None else self._run.run_id,
            "looks": dict(self._looks),
            "cost": self.meter.state(),
            "memory": plain(self.memory()),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint's run stopped, under its run id. A state that is none is told and left alone."""
        memory = self.memory()
        try:
            looks = self._looks_with(state_dict)
            self.remember(state_dict["memory"])
            self.meter.resume(state_dict["cost"])
        except Exception as error:
            self.remember(memory)
            said = f"the checkpoint's state of {self.name!r} is unreadable, it begins anew"
            warnings.warn(f"{said} ({type(error).__name__}: {error})", stacklevel=2)
            return
        self._looks = looks
        if self._run is not None and state_dict["run_id"]:
            self._run.adopt(str(state_dict["run_id"]))

    def _looks_with(self, state_dict: Mapping[str, Any]) -> dict[str, int]:
        """Looks of this very run stay counted when an earlier checkpoint of its own is loaded, as for a test."""
        known = self._looks if self._run is not None and self._run.run_id == state_dict["run_id"] else {}
        kept = {str(key): int(count) for key, count in state_dict["looks"].items()}
        return {key: max(kept.get(key, 0), known.get(key, 0)) for key in {**kept, **known}}

    def next_look(self, stage: str, loader: str | None) -> int:
        """How many judgements there have been at this stage and loader, this one included."""
        key = f"{stage}/{loader or ''}"
        self._looks[key] = self._looks.get(key, 0) + 1
        return self._looks[key]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        from safeguards.core.run import Run

        self._run = Run.of(trainer)
        if stage == "fit":
            if self._fit_run not in (None, self._run):
                self.meter.begin_account()
            self._fit_run = self._run
        self._run.join(self, trainer)

    def enter_steps(self, *, but: Sequence[str] = ()) -> None:
        """Have its hooks before and after a step that is watched called, ``but`` those that have nothing to do."""
        for hooks in WATCHED_STEP.values():
            enter(self, hooks)
        leave_out(self, but, base=Safeguard)

    def _leads(self, trainer: Trainer) -> Run | None:
        """The run of this very trainer: another one may have used this safeguard since."""
        from safeguards.core.run import Run

        self._run = Run.known(trainer)
        return self._run if self._run is not None and self._run.is_led_by(self) else None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if run := self._leads(trainer):
            run.begin()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if run := self._leads(trainer):
            run.announce(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if run := self._leads(trainer):
            run.open(trainer, pl_module, "validate")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if run := self._leads(trainer):
            run.open(trainer, pl_module, "test")

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if run := self._leads(trainer):
            run.before_step(pl_module)

    on_test_batch_start = on_validation_batch_start

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if run := self._leads(trainer):
            run.after_step(pl_module, outputs, batch, dataloader_idx)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if run := self._leads(trainer):
            run.examine()

    on_test_epoch_end = on_validation_epoch_end

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if run := self._leads(trainer):
            run.judge(trainer, pl_module)

    on_test_end = on_validation_end

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if run := self._leads(trainer):
            run.judge_epoch(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if run := self._leads(trainer):
            run.end_of_training(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if run := self._leads(trainer):
            run.broken_off(trainer, exception)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if run := self._leads(trainer):
            run.close(trainer)


def _checked_limits(kind: type[Safeguard], limits: Mapping[str, Limit]) -> dict[str, Limit]:
    if not isinstance(limits, Mapping) or not limits:
        raise ConfigurationError(
            f"{kind.__name__}(limits={limits!r}): expected a limit per measure, "
            f"as in limits={{{kind.measures[0]!r}: Limit(at_most=0.1)}}"
        )
    for measure, limit in limits.items():
        if measure not in kind.measures:
            near = difflib.get_close_matches(measure, kind.measures, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {list(kind.measures)}"
            raise ConfigurationError(f"{kind.__name__} has no measure {measure!r}: {hint}")
        if not isinstance(limit, Limit):
            raise ConfigurationError(f"{kind.__name__}(limits={{{measure!r}: {limit!r}}}): expected a Limit")
    return dict(limits)


def _one_of(argument: str, value: Any, kinds: Any) -> Any:
    if value not in get_args(kinds):
        raise ConfigurationError(f"{argument}={value!r}: expected one of {list(get_args(kinds))}")
    return value
