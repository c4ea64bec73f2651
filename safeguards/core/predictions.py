"""Where a model's outputs come from, and what they must look like before anybody counts with them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, get_args

import torch
from torch import Tensor, nn

from safeguards.core.batch import first_tensor
from safeguards.core.errors import ConfigurationError, NotApplicable

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

    from safeguards.core.rows import Rows

__all__ = [
    "Capture",
    "Output",
    "Predictions",
    "StepOutputs",
    "Unsaid",
    "answered",
    "are_outputs",
    "as_logits",
    "doubt",
    "forward",
    "given_by",
]

Output = Literal["logits", "probabilities", "log_probabilities"]
TOLERANCE = 1e-4
ENOUGH_TO_DOUBT = 30  # that all lie in [0, 1] by chance: 2 ** -30 for logits around 0
REDIRECTION = "_ForwardRedirection"


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """How to get a model's outputs.

    ``outputs_of`` names a submodule whose output the step computes ("" is the module itself); ``predict`` is a function
    of module and inputs for modules whose ``forward`` is missing or returns something else; ``output`` says what the
    numbers are. None for ``output`` means logits, unless the values look like probabilities: then it must be said.
    ``features_of`` names a submodule whose output is looked at beside the model's own (`Rows.features`).
    """

    outputs_of: str | None = None
    features_of: str | None = None
    predict: Callable[[Any, Any], Any] | None = None
    output: Output | None = None

    def __post_init__(self) -> None:
        if self.output not in (None, "logits", "probabilities", "log_probabilities"):
            raise ConfigurationError(
                f'output={self.output!r}: expected "logits", "probabilities" or "log_probabilities"'
            )
        if self.predict is not None and not callable(self.predict):
            raise ConfigurationError(f"predict={self.predict!r}: expected a function of module and inputs")


def forward(trainer: Trainer, module: LightningModule, inputs: Any, how: Predictions) -> Any:
    """A forward of the safeguard's own, in the trainer's precision; gradients are as the caller has them."""
    with trainer.precision_plugin.forward_context():
        if how.predict is not None:
            return how.predict(module, inputs)
        try:
            return module(inputs)
        except NotImplementedError as error:
            raise NotApplicable(
                f"{type(module).__name__} has no forward: give predict=, outputs_of=, or return logits from the step"
            ) from error
        except TypeError as error:
            raise NotApplicable(
                f"{type(module).__name__} did not take what inputs= gives ({error}): give predict= a function of "
                "module and inputs that calls it as your steps do"
            ) from error


class Capture:
    """The outputs of one submodule while a step runs.

    A hook on the LightningModule itself also fires for the strategy's redirected call of the step, whose output is the
    step's; only the call inside it counts.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self.name = name
        self.seen: list[Any] = []
        self._redirected: list[bool] = []
        target = submodule(module, name)
        self._handles = [target.register_forward_pre_hook(self._before), target.register_forward_hook(self._after)]

    def _before(self, module: nn.Module, _: Any) -> None:
        redirect = vars(module).get("forward")
        self._redirected.append(REDIRECTION in getattr(redirect, "__qualname__", ""))

    def _after(self, _: nn.Module, __: Any, output: Any) -> None:
        if not self._redirected.pop():
            self.seen.append(output)

    def close(self) -> None:
        """Take the hooks away again."""
        for handle in self._handles:
            handle.remove()

    def output(self, n: int) -> Any:
        """What was captured. Raises `NotApplicable` unless it was exactly one output with ``n`` rows."""
        rows = [None if (tensor := first_tensor(output)) is None else len(tensor) for output in self.seen]
        if rows != [n]:
            raise NotApplicable(
                f"outputs_of={self.name!r} gave {len(rows)} outputs with rows {rows} in one step: expected 1 with {n}; "
                "name a submodule that a step calls once"
            )
        return self.seen[0]


def submodule(module: nn.Module, name: str) -> nn.Module:
    """A submodule by its dotted name. Raises `ConfigurationError` with the nearest names."""
    found: nn.Module | None = dict(module.named_modules()).get(name)
    if found is None:
        names = [known for known, _ in module.named_modules() if known]
        near = difflib.get_close_matches(name, names, n=3) or names[:8]
        raise ConfigurationError(
            f"outputs_of={name!r} names no submodule of {type(module).__name__}: nearest are {near}"
        )
    return found


class StepOutputs:
    """Outputs of one step, as the order of sources has it: the step's own logits, a captured output, a forward."""

    def __init__(
        self,
        *,
        step: Any,
        capture: Capture | None,
        batch_rows: int,
        make: Callable[[Any], Any],
        check: Callable[[Any, int], Tensor],
        lockstep: bool,
        beside: Capture | None = None,
    ) -> None:
        self._given = _logits_in(step)
        self._capture, self._batch_rows, self._make, self._check = capture, batch_rows, make, check
        self._beside = beside
        self.own_forward = self._given is None and capture is None
        self.covers_batch = not self.own_forward or lockstep

    def __call__(self, rows: Rows) -> Tensor:
        if not self.own_forward:
            return self._check(_or_captured(self._given, self._capture, self._batch_rows), rows.n)
        if rows.n == 0:
            return torch.empty(0)
        return self._check(self._make(rows.inputs), rows.n)

    def features(self) -> Tensor | None:
        """What the submodule ``features_of`` gave for the whole batch; None where none is named."""
        return None if self._beside is None else first_tensor(self._beside.output(self._batch_rows))


def given_by(step: Any, capture: Capture | None, n: int) -> Any:
    """Raw outputs of a step with ``n`` rows: its own logits, or what was captured; None where they take a forward.

    Raises what `Capture.output` does.
    """
    return _or_captured(_logits_in(step), capture, n)


def _or_captured(given: Any, capture: Capture | None, n: int) -> Any:
    return capture.output(n) if given is None and capture is not None else given


def _logits_in(step: Any) -> Any:
    return step["logits"] if isinstance(step, Mapping) and "logits" in step else None


@dataclass
class Unsaid:
    """Single outputs of which nobody said what they are: how many rows, and whether any lies outside [0, 1]."""

    outside: bool = False
    _counted: dict[int, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(self._counted.values())

    def note(self, logits: Tensor, start: int, steps: Sequence[int] | None = None) -> None:
        """Take in outputs ``(N,)`` from row ``start``; NaN lies outside [0, 1].

        They are of one step, or of several with so many rows each. A step counts once, in whatever order they come.
        """
        for n in steps or [len(logits)]:
            self._counted[start] = n
            start += n
        self.outside |= not bool(((logits >= 0) & (logits <= 1)).all())

    def doubt(self) -> None:
        """Raise `NotApplicable` where they could be probabilities and are too many for chance."""
        doubt(self.rows, outside=self.outside)


def doubt(rows: int, *, outside: bool) -> None:
    """Raise `NotApplicable` where so many single outputs could be probabilities and are too many for chance."""
    if rows >= ENOUGH_TO_DOUBT and not outside:
        raise NotApplicable(
            f'all {rows} single outputs lie in [0, 1]: say output="probabilities", or output="logits" if they are'
        )


def as_logits(raw: Any, n: int, output: Output | None, steps: Sequence[int] | None = None) -> Tensor:
    """Raw outputs as float32 logits ``(N, C)``, or ``(N,)`` where there is one logit; gradients pass through.

    ``steps`` are how many rows each step gave, where outputs of several stand together.

    Raises `NotApplicable` when they are no such thing, or are not what ``output`` says. NaN and infinities pass: they
    are the measure's to judge.
    """
    if not are_outputs(raw):
        kind = f"{raw.dtype} {tuple(raw.shape)}" if isinstance(raw, Tensor) else type(raw).__name__
        raise NotApplicable(f"cannot apply: the outputs are {kind}, expected floating (N, C) or (N,); give predict=")
    if len(raw) != n:
        raise NotApplicable(f"cannot apply: {len(raw)} outputs for {n} rows; give predict= what has one for each")
    values = raw.float()
    values = values.squeeze(1) if values.ndim == 2 and values.shape[1] == 1 else values
    slack = max(TOLERANCE, 2 * torch.finfo(raw.dtype).eps)
    return _from_unsaid(values, slack, steps or [n]) if output is None else _CONVERT[output](values, slack)


def are_outputs(raw: Any) -> TypeGuard[Tensor]:
    """Whether they are of a type and shape that logits can have."""
    return isinstance(raw, Tensor) and raw.is_floating_point() and raw.ndim in (1, 2)


def answered(logits: Tensor) -> Tensor:
    """Which rows of logits (N, C) or (N,) say something: bool (N,).

    Classes at -inf are ruled out, as by a mask: their probability is 0, and what is said of the others stands. NaN,
    +inf, a row without any class and a single logit that is not finite say nothing.
    """
    return (logits if logits.ndim == 1 or not logits.shape[1] else logits.amax(1)).isfinite()


def _from_unsaid(values: Tensor, slack: float, steps: Sequence[int]) -> Tensor:
    """One step whose rows all sum to one is enough: an odd row clears those of its own step alone."""
    if values.ndim == 2 and len(values) and any(_sums_to_one(step, slack) for step in _doubtful(values, slack, steps)):
        raise NotApplicable(
            'the outputs look like probabilities (each row sums to 1): say output="probabilities", or output="logits"'
        )
    return values


def _doubtful(values: Tensor, slack: float, steps: Sequence[int]) -> list[Tensor]:
    """Outputs of the steps whose first row sums to about one: a quick no for most."""
    starts = [0, *accumulate(steps[:-1])]
    near = (values[torch.tensor(starts)].sum(dim=1) - 1).abs() <= 2 * slack * values.shape[1]
    return [values[starts[i] : starts[i] + steps[i]] for i in near.nonzero().flatten().tolist()]


def _denied(output: Output, why: str) -> NotApplicable:
    others = " or ".join(f'"{other}"' for other in get_args(Output) if other != output)
    return NotApplicable(f'output="{output}" does not hold: {why}; say {others} if they are')


def _from_probabilities(values: Tensor, slack: float) -> Tensor:
    in_range = _finite(values, lambda v: (v >= -slack) & (v <= 1 + slack))
    if not in_range or (values.ndim == 2 and not _sums_to_one(values, slack, or_not_finite=True)):
        raise _denied("probabilities", "values are outside [0, 1] or rows do not sum to 1")
    return torch.log(_positive(values)) if values.ndim == 2 else torch.logit(values, eps=_tiny(values))


def _from_log_probabilities(values: Tensor, slack: float) -> Tensor:
    if not _finite(values, lambda v: v <= slack):
        raise _denied("log_probabilities", "some values are above 0")
    if values.ndim == 1:
        return torch.logit(values.exp(), eps=_tiny(values))
    if not _sums_to_one(values.exp(), slack, or_not_finite=True):
        raise _denied("log_probabilities", "exponentials of a row do not sum to 1")
    return values


_CONVERT: dict[Output, Callable[[Tensor, float], Tensor]] = {
    "logits": lambda values, _: values,
    "probabilities": _from_probabilities,
    "log_probabilities": _from_log_probabilities,
}


def _finite(values: Tensor, holds: Callable[[Tensor], Tensor]) -> bool:
    return bool((holds(values) | ~values.isfinite()).all())


def _sums_to_one(values: Tensor, slack: float, *, or_not_finite: bool = False) -> bool:
    finite = values.isfinite().all(dim=1)
    good = ((values.sum(dim=1) - 1).abs() <= slack * values.shape[1]) & (values >= -slack).all(dim=1)
    return bool((good | ~finite).all() if or_not_finite else (good & finite).all())


def _positive(values: Tensor) -> Tensor:
    return values.clamp_min(torch.finfo(values.dtype).tiny)


def _tiny(values: Tensor) -> float:
    return float(torch.finfo(values.dtype).eps)
