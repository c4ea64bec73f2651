"""Reading fields out of batches of every form."""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch

from safeguards.core.batch import BatchFields, first_tensor, ordinary, rows_of, select, take
from safeguards.core.columns import read_labels
from safeguards.core.errors import ConfigurationError, FieldError

X, Y = torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 0])
Pair = namedtuple("Pair", "x y")


@dataclass
class Patient:
    x: torch.Tensor
    meta: dict[str, torch.Tensor]


class Slotted:
    __slots__ = ("x",)


@pytest.mark.parametrize(
    ("batch", "selector"),
    [
        ((X, Y), 1),
        ([X, Y], -1),
        ((X, Y), np.int64(1)),
        ({"y": Y}, "y"),
        ({"a.b": Y}, "a.b"),
        ({"a": {"b": Y}}, "a.b"),
        (Patient(X, {"y": Y}), "meta.y"),
        (Pair(X, Y), "y"),
        (Pair(X, Y), 1),
        (({"y": Y}, X), "0.y"),
        ((X, Y), lambda batch: batch[1]),
        ({1: Y}, 1),
    ],
)
def test_every_form(batch: object, selector: object) -> None:
    assert select(batch, selector, "target") is Y  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("batch", "selector", "words"),
    [
        ({"x": X, "y": Y}, "sex", ["target='sex'", "dict", "['x', 'y']"]),
        ((X, Y), 2, ["target=2", "tuple", "positions 0 to 1"]),
        (X, 1, ["Tensor", "(3, 2)"]),
        (Patient(X, {}), "meta.y", ["Patient", "meta", "x"]),
        ((X, Y), lambda batch: batch["no"], ["target", "<lambda>", "TypeError"]),
        (Slotted(), "sex", ["target='sex'", "Slotted"]),
        (None, "sex", ["target='sex'", "NoneType"]),
    ],
)
def test_missing_field_names_field_type_and_keys(batch: object, selector: object, words: list[str]) -> None:
    with pytest.raises(FieldError) as caught:
        select(batch, selector, "target")  # type: ignore[arg-type]
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "column",
    [
        ["a", "b", "c"],
        ("a", "b", "c"),
        np.array(["a", "b", "c"]),
        pd.Series(["a", "b", "c"]),
        pd.Series(["a", "b", "c"], index=[0, 1, 2], dtype="category"),
        pd.DataFrame({"sex": ["a", "b", "c"]}),
        {0: "a", 1: "b", 2: "c"},
    ],
)
def test_column_beside_the_set_is_looked_up_by_position(column: object) -> None:
    fields = BatchFields(inputs=0, groups={"sex": column})
    assert fields.group_labels((X, Y), torch.tensor([2, 0]), 3) == {"sex": ["c", "a"]}


def test_column_of_numbers_is_looked_up_by_position() -> None:
    fields = BatchFields(inputs=0, groups={"age": torch.tensor([30, 40, 50]), "sex": np.array([0, 1, 1])})
    assert fields.group_labels((X, Y), torch.tensor([2, 0]), 3) == {"age": [50, 30], "sex": [1, 0]}


def test_a_position_may_be_a_number_of_numpys() -> None:
    fields = BatchFields(inputs=np.int64(0), groups={"sex": np.int64(1)})  # type: ignore[arg-type]
    assert fields.group_labels((X, Y), None, None) == {"sex": [0, 1, 0]}


def test_column_of_another_length_is_refused() -> None:
    fields = BatchFields(inputs=0, groups={"sex": ["a", "b"]})
    with pytest.raises(FieldError, match=r"groups\['sex'\] has 2 labels for a validation set of 3 rows"):
        fields.group_labels((X, Y), torch.tensor([0]), 3)


@pytest.mark.parametrize("whose", ["test", "second"])
def test_column_of_the_validation_set_never_meets_the_rows_of_another(whose: str) -> None:
    fields = BatchFields(inputs=0, groups={"sex": ["a", "b", "c"]})
    with pytest.raises(FieldError, match=f"beside the rows of .'validate'., not of '{whose}'"):
        fields.group_labels((X, Y), torch.tensor([0]), 3, whose)
    both = BatchFields(inputs=0, groups={"sex": {"validate": ["a", "b", "c"], whose: ["x", "y", "z"]}})
    assert both.group_labels((X, Y), torch.tensor([2]), 3, whose) == {"sex": ["z"]}
    assert both.group_labels((X, Y), torch.tensor([2]), 3) == {"sex": ["c"]}


def test_column_without_positions_is_refused() -> None:
    with pytest.raises(FieldError, match="unshuffled"):
        BatchFields(inputs=0, groups={"sex": ["a"]}).group_labels((X, Y), None, None)


def test_labels_become_plain() -> None:
    assert read_labels(torch.tensor([1, 2]), "g") == [1, 2]
    assert read_labels(torch.tensor([[1], [2]]), "g") == [1, 2]
    assert read_labels(pd.Series(["a", None]), "g") == ["a", None]
    dates = pd.Series(pd.to_datetime(["2020-01-31", None]))
    assert read_labels(dates, "g") == ["2020-01-31T00:00:00.000000000", None]
    assert read_labels(dates.to_numpy().astype("datetime64[D]"), "g") == ["2020-01-31", None]
    with pytest.raises(FieldError, match="2 values per row"):
        read_labels(torch.ones(3, 2), "g")
    with pytest.raises(FieldError, match="expected one label per row"):
        read_labels("abc", "g")


@pytest.mark.parametrize(
    "arguments",
    [
        {"inputs": 1.5},
        {"inputs": 0, "target": [1]},
        {"inputs": 0, "groups": ["sex"]},
        {"inputs": 0, "groups": {"sex": 1.5}},
        {"inputs": 0, "groups": {"sex": None}},
    ],
)
def test_bad_fields_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        BatchFields(**arguments)  # type: ignore[arg-type]


def test_take_keeps_the_structure() -> None:
    taken = take({"a": X, "b": (Y, Pair(X, Y))}, torch.tensor([2, 0]))
    assert torch.equal(taken["a"], X[[2, 0]])
    assert isinstance(taken["b"][1], Pair)
    assert torch.equal(taken["b"][1].y, Y[[2, 0]])


def test_take_picks_from_lists_of_words() -> None:
    assert take({"text": ["a", "b", "c"], "x": [X]}, torch.tensor([2, 0]))["text"] == ["c", "a"]


def test_a_field_without_rows_is_told_with_the_remedy():
    with pytest.raises(
        FieldError, match="inputs holds no tensor with rows: it is str; name a tensor, or a dict, list or"
    ):
        rows_of("abc", "inputs")
    assert rows_of({"a": {"b": X}}, "inputs") == 3


def test_first_tensor_passes_over_scalars() -> None:
    assert first_tensor({"n": 3, "s": torch.tensor(1.0), "x": [X]}) is X
    assert first_tensor({"n": 3}) is None


def test_inference_tensors_become_ordinary() -> None:
    with torch.inference_mode():
        made = {"x": X * 2}
    with torch.inference_mode(False):
        copy = ordinary(made)["x"]
    assert made["x"].is_inference()
    assert not copy.is_inference()
    assert torch.equal(copy, X * 2)


def first(batch):
    return batch[0]


SERIES = pd.Series(["f", "m", "f"])


@pytest.mark.parametrize(
    "options",
    [
        {"inputs": 0, "target": "y", "row_id": np.int64(2), "groups": {"sex": "a.b", "age": 3}},
        {"inputs": first, "groups": {"sex": SERIES, "age": first}},
    ],
)
def test_fields_that_find_the_same_are_equal(options):
    fields = BatchFields(**options)
    assert fields == BatchFields(**{**options, "groups": dict(options["groups"])})
    assert len({fields, BatchFields(**options)}) == 1
    for other in (
        {"inputs": 1},
        {"target": None if "target" in options else 1},
        {"row_id": 4},
        {"groups": {"sex": "a.b"}},
        {"groups": {"sex": "a.c", "age": 3}},
        {"groups": dict(reversed(options["groups"].items()))},
    ):
        assert fields != BatchFields(**{**options, **other})
    assert fields != options


class Odd:
    """A function whose equality is no answer."""

    def __call__(self, batch):
        return batch[0]

    def __eq__(self, other):
        raise ValueError("ambiguous")

    __hash__ = None


@pytest.mark.parametrize(
    "make",
    [SERIES.copy, lambda: np.array(["f", "m"]), lambda: ["f", "m"], lambda: {1: "f"}, Odd],
    ids=["series", "array", "list", "mapping", "function"],
)
def test_functions_and_columns_are_equal_to_themselves_alone(make):
    one, other = make(), make()
    fields = BatchFields(inputs=0, row_id=1, groups={"sex": one})
    assert fields == BatchFields(inputs=0, row_id=1, groups={"sex": one})
    assert len({fields, BatchFields(inputs=0, row_id=1, groups={"sex": other})}) == 2
    assert fields != BatchFields(inputs=0, row_id=1, groups={"sex": 1})
