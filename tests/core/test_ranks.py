"""Ranks that agree before they communicate: real processes, a fault on each, the same text on all."""

import time
from typing import Any

import pytest
import torch
import torch.distributed as dist

from safeguards.core.errors import NotApplicable, RankError
from safeguards.core.ranks import Ranks, describe
from tests.helpers.children import GROUP_SECONDS
from tests.helpers.launch import launch


def join() -> Ranks:
    dist.init_process_group("gloo")
    return Ranks(rank=dist.get_rank(), world=dist.get_world_size())


def everything() -> dict[str, Any]:
    """What the tests look at, in one process group."""
    ranks = join()
    return {"met": met(ranks), "faulty": faulty(ranks), "disagreeing": disagreeing(ranks)}


def met(ranks: Ranks) -> dict[str, Any]:
    """Every meeting once, with values that differ by rank."""
    r = ranks.rank
    return {
        "sum": ranks.sum(torch.tensor([r + 1, 10])).tolist(),
        "max": ranks.max(float(r)),
        "min": ranks.min(float(r)),
        "any": [ranks.any(r == 1), ranks.any(False)],
        "gather": ranks.gather({"rank": r, "uneven": list(range(r))}),
        "broadcast": ranks.broadcast({"from": r}, src=1),
        "together": ranks.together(lambda: r * 2),
    }


def faulty(ranks: Ranks) -> list[dict[str, Any]]:
    """Each rank in turn fails in local work while the others are somewhere else; then all go on together."""
    return [
        one_fault(ranks, bad, elsewhere) for bad in (0, 1) for elsewhere in ("together", "sum", "gather", "broadcast")
    ]


def one_fault(ranks: Ranks, bad: int, elsewhere: str) -> dict[str, Any]:
    def work() -> int:
        if ranks.rank == bad:
            raise ValueError(f"broken on {bad}")
        return 1

    meetings = {
        "together": lambda: ranks.together(work),
        "sum": lambda: ranks.sum(torch.ones(3)),
        "gather": lambda: ranks.gather([1]),
        "broadcast": lambda: ranks.broadcast("x", src=1 - bad),
    }
    started, text = time.perf_counter(), "no error"
    try:
        ranks.together(work) if ranks.rank == bad else meetings[elsewhere]()
    except RankError as error:
        text = str(error)
    return {
        "text": text,
        "quick": time.perf_counter() - started < GROUP_SECONDS / 2,
        "after": ranks.sum(torch.ones(1)).tolist(),
    }


def disagreeing(ranks: Ranks) -> list[dict[str, Any]]:
    """The first rank sums two numbers, the second does something else: a gather, or a sum of others."""
    others: list[Any] = [
        lambda: ranks.gather(1),
        lambda: ranks.sum(torch.ones(3)),
        lambda: ranks.sum(torch.ones(2, dtype=torch.float64)),
    ]
    return [one_disagreement(ranks, other) for other in others]


def one_disagreement(ranks: Ranks, other: Any) -> dict[str, Any]:
    try:
        ranks.sum(torch.ones(2)) if ranks.rank == 0 else other()
    except RankError as error:
        return {"text": str(error), "after": ranks.gather(ranks.rank)}
    return {"text": "no error"}


@pytest.fixture(scope="module")
def ranks_said() -> list[dict[str, Any]]:
    return [result.value for result in launch(f"{__file__}:everything", 2)]


def test_every_meeting(ranks_said: list[dict[str, Any]]) -> None:
    first, second = (dict(said["met"]) for said in ranks_said)
    assert first.pop("together") == 0
    assert second.pop("together") == 2
    assert first == second
    assert first == {
        "sum": [3, 20],
        "max": 1.0,
        "min": 0.0,
        "any": [True, False],
        "gather": [{"rank": 0, "uneven": []}, {"rank": 1, "uneven": [0]}],
        "broadcast": {"from": 1},
    }


def test_fault_on_one_rank_is_the_same_error_on_all(ranks_said: list[dict[str, Any]]) -> None:
    first, second = (said["faulty"] for said in ranks_said)
    assert first == second
    expected = [f"rank {bad}: ValueError: broken on {bad}" for bad in (0, 1) for _ in range(4)]
    assert first == [{"text": text, "quick": True, "after": [2.0]} for text in expected]


def test_different_collectives_are_never_paired(ranks_said: list[dict[str, Any]]) -> None:
    others = ["gather", "sum (3,) torch.float32", "sum (2,) torch.float64"]
    texts = [f"rank 0: about to sum (2,) torch.float32; rank 1: about to {other}" for other in others]
    expected = [{"text": text, "after": [0, 1]} for text in texts]
    assert [said["disagreeing"] for said in ranks_said] == [expected] * 2


def test_one_process_is_the_same_code() -> None:
    ranks = Ranks()
    assert ranks.gather(5) == [5]
    assert ranks.sum(torch.ones(2)).tolist() == [1, 1]
    with pytest.raises(RankError, match=r"^ValueError: no$"):
        ranks.together(lambda: (_ for _ in ()).throw(ValueError("no")))
    with pytest.raises(RankError, match=r"^it broke$"):
        ranks.agree("it broke")


def test_sum_leaves_its_argument_alone() -> None:
    own = torch.ones(2)
    assert Ranks().sum(own) is not own


def test_error_that_all_ranks_share_is_said_once() -> None:
    assert str(RankError([(0, "same"), (1, "same")], world=2)) == "same"
    assert str(RankError([(0, "same"), (1, "same")], world=3)) == "rank 0: same; rank 1: same"


def test_descriptions_are_one_line() -> None:
    assert describe(ValueError("a\nb")) == "ValueError: a b"
    assert describe(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert describe(NotApplicable("cannot apply")) == "cannot apply"
    assert len(describe(ValueError("x" * 10_000))) == 600
    assert "hunter2" not in describe(ValueError("x" * 560 + " http://user:hunter2-and-more@host/path failed"))
