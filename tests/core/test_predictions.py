"""Where outputs come from, and what they must look like."""

import math
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn

from safeguards.core.errors import ConfigurationError, NotApplicable
from safeguards.core.predictions import Capture, Predictions, StepOutputs, Unsaid, answered, as_logits, submodule

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])


class Inputs:
    """Stands for rows: their number and their inputs."""

    def __init__(self, inputs: torch.Tensor) -> None:
        self.n, self.inputs = len(inputs), inputs


def source(**changes: Any) -> StepOutputs:
    given: dict[str, Any] = {
        "step": None,
        "capture": None,
        "batch_rows": 2,
        "make": lambda inputs: inputs * 2,
        "check": lambda raw, n: raw[:n],
        "lockstep": False,
    }
    return StepOutputs(**{**given, **changes})


def test_order_of_sources() -> None:
    net = nn.Linear(3, 3)
    capture = Capture(net, "")
    captured = net(LOGITS)
    capture.close()
    rows: Any = Inputs(LOGITS)
    assert source(step={"logits": LOGITS}, capture=capture)(rows) is not captured
    assert torch.equal(source(step={"logits": LOGITS}, capture=capture)(rows), LOGITS)
    assert torch.equal(source(step={"loss": 1}, capture=capture)(rows), captured)
    assert torch.equal(source(step=torch.tensor(1.0))(rows), LOGITS * 2)
    assert [source(step={"logits": 1}).own_forward, source(capture=capture).own_forward, source().own_forward] == [
        False,
        False,
        True,
    ]


def test_capture_wants_exactly_one_output_with_all_rows() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    capture = Capture(net, "0")
    net(LOGITS)
    assert capture.output(2).shape == (2, 3)
    with pytest.raises(
        NotApplicable, match=r"1 outputs with rows \[2\] in one step: expected 1 with 5; name a submodule that a step"
    ):
        capture.output(5)
    net(LOGITS)
    with pytest.raises(NotApplicable, match=r"2 outputs with rows \[2, 2\]"):
        capture.output(2)
    capture.close()
    net(LOGITS)
    assert len(capture.seen) == 2


def test_unknown_submodule_names_the_nearest() -> None:
    net = nn.ModuleDict({"head": nn.Linear(1, 1)})
    assert submodule(net, "head") is net["head"]
    with pytest.raises(ConfigurationError, match=r"outputs_of='haed'.*\['head'\]"):
        submodule(net, "haed")


def test_shapes() -> None:
    assert as_logits(LOGITS, 2, None) is LOGITS
    assert as_logits(torch.ones(4, 1, dtype=torch.float64) * 3, 4, None).tolist() == [3.0] * 4
    assert as_logits(torch.ones(4).half() * 3, 4, None).dtype is torch.float32


@pytest.mark.parametrize(
    ("raw", "n", "words"),
    [
        (LOGITS, 3, "2 outputs for 3 rows; give predict= what has one for each"),
        (torch.ones(2, 3, 4), 2, r"\(2, 3, 4\)"),
        (torch.ones(2, dtype=torch.int64), 2, "int64"),
        ((LOGITS, LOGITS), 2, "tuple"),
        (torch.softmax(LOGITS, 1), 2, "look like probabilities"),
    ],
)
def test_what_is_no_logits_cannot_apply(raw: Any, n: int, words: str) -> None:
    with pytest.raises(NotApplicable, match=words):
        as_logits(raw, n, None)


@pytest.mark.parametrize(
    ("sums", "steps", "clear"),
    [
        ([1, 0.9, 1, 1], [4], True),
        ([1, 0.9, 1, 1], [2, 2], False),
        ([1, 0.9, 1, 1], [3, 1], False),
        ([6, 0.9, 1, 1], [1, 3], True),
        ([6, 1, 1, 1], [1, 3], False),
    ],
)
def test_probabilities_are_told_by_any_one_step(sums: list[float], steps: list[int], clear: bool) -> None:
    rows = torch.tensor(sums).unsqueeze(1) * torch.tensor([0.25, 0.75])
    if clear:
        assert as_logits(rows, 4, None, steps) is rows
    else:
        with pytest.raises(NotApplicable, match="look like probabilities"):
            as_logits(rows, 4, None, steps)


def test_probabilities_become_logits_with_the_same_softmax() -> None:
    probabilities = torch.softmax(LOGITS, 1)
    assert torch.allclose(torch.softmax(as_logits(probabilities, 2, "probabilities"), 1), probabilities)
    assert torch.allclose(
        torch.sigmoid(as_logits(torch.tensor([0.2, 0.9]), 2, "probabilities")), torch.tensor([0.2, 0.9])
    )
    assert as_logits(torch.tensor([0.0, 1.0]), 2, "probabilities").isfinite().all()
    assert as_logits(probabilities, 2, "logits") is probabilities


def test_log_probabilities() -> None:
    log = torch.log_softmax(LOGITS, 1)
    assert torch.equal(as_logits(log, 2, "log_probabilities"), log)
    single = as_logits(torch.tensor([0.2]).log(), 1, "log_probabilities")
    assert torch.allclose(torch.sigmoid(single), torch.tensor([0.2]))


@pytest.mark.parametrize(
    ("raw", "output"),
    [
        (LOGITS, "probabilities"),
        (torch.tensor([1.5, 0.2]), "probabilities"),
        (torch.tensor([[0.4, 0.4], [0.5, 0.5]]), "probabilities"),
        (LOGITS, "log_probabilities"),
        (torch.tensor([[-0.1, -0.1], [-1.0, -1.0]]), "log_probabilities"),
    ],
)
def test_what_output_says_is_checked(raw: torch.Tensor, output: Any) -> None:
    with pytest.raises(NotApplicable, match=f'output="{output}" does not hold: ') as caught:
        as_logits(raw, 2, output)
    other = "log_probabilities" if output == "probabilities" else "probabilities"
    assert str(caught.value).endswith(f'; say "logits" or "{other}" if they are')


@pytest.mark.parametrize(
    ("row", "answers"),
    [
        ([0.0, 1.0, 2.0], True),
        ([0.0, -math.inf, 2.0], True),
        ([-math.inf, -math.inf, 2.0], True),
        ([-math.inf] * 3, False),
        ([0.0, math.inf, 2.0], False),
        ([0.0, math.nan, -math.inf], False),
    ],
)
def test_classes_that_a_mask_rules_out_leave_an_answer(row: list[float], answers: bool) -> None:
    assert answered(torch.tensor([[0.0, 0.0, 0.0], row])).tolist() == [True, answers]


def test_a_single_logit_has_no_other_to_go_by() -> None:
    assert answered(torch.tensor([1.0, -math.inf, math.inf, math.nan])).tolist() == [True, False, False, False]


@pytest.mark.parametrize("output", [None, "logits", "probabilities", "log_probabilities"])
def test_nan_passes_through_to_the_measure(output: Any) -> None:
    assert as_logits(torch.full((2, 3), torch.nan), 2, output).isnan().all()


@pytest.mark.parametrize(
    ("outputs", "doubted"),
    [
        (torch.linspace(0, 1, 30), True),
        (torch.linspace(0, 1, 29), False),
        (torch.linspace(0, 1.01, 30), False),
        (torch.linspace(-0.01, 1, 30), False),
        (torch.full((30,), torch.nan), False),
    ],
)
def test_thirty_single_outputs_that_could_all_be_probabilities_are_doubted(
    outputs: torch.Tensor, doubted: bool
) -> None:
    unsaid = Unsaid()
    parts = list(zip((0, 16), outputs.split(16), strict=True))
    for start, part in [*reversed(parts), *parts]:
        unsaid.note(part, start)
    unsaid.note(outputs, 0, [16, len(outputs) - 16])
    assert unsaid.rows == len(outputs)
    with pytest.raises(NotApplicable, match="all 30 single outputs") if doubted else nullcontext():
        unsaid.doubt()


def test_half_precision_probabilities_are_accepted() -> None:
    as_logits(torch.softmax(LOGITS, 1).bfloat16(), 2, "probabilities")


def test_gradients_pass_through() -> None:
    raw = LOGITS.clone().requires_grad_()
    as_logits(raw, 2, "logits").sum().backward()
    assert raw.grad is not None


@pytest.mark.parametrize("arguments", [{"output": "softmax"}, {"predict": 3}])
def test_bad_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Predictions(**arguments)
