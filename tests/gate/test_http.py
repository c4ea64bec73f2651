"""The gate through a real ``mlflow server``: two promotions at once from two processes, of which exactly one wins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeguards.gate import History, audit, promote
from safeguards.gate.fresh import check_here
from safeguards.tracking import ModelRegistry
from tests.gate.evidence import policy
from tests.gate.test_promotion import make
from tests.helpers.launch import launch
from tests.helpers.mlflow_server import Server

ASKED = {"tracked": False}


def promote_at_once(uri: str, folders: list[str], barrier: str) -> dict[str, object]:
    """One rank of two: each waits for the other where it has ruled, and then both write."""
    import os
    import time

    from safeguards.gate import promotion

    rank = int(os.environ["RANK"])
    promotion.check_in_a_fresh_process = lambda folder, *, digest, allowed, seconds: check_here(
        folder, digest=digest, allowed=allowed
    )
    registry, append, tried = ModelRegistry("risk", uri), ModelRegistry.append, []

    def meet(self: ModelRegistry, number: int, text: str) -> bool:
        if not tried:
            Path(barrier, str(rank)).touch()
            for _ in range(5000):
                if len(list(Path(barrier).iterdir())) == 2:
                    break
                time.sleep(0.02)
        tried.append([number, append(self, number, text)])
        return bool(tried[-1][1])

    ModelRegistry.append = meet  # type: ignore[method-assign]
    ruling = promote(folders[rank], policy=policy(**ASKED), registry=registry, who=f"rank {rank}")
    return {"admitted": ruling.admitted, "reasons": list(ruling.reasons), "version": ruling.version, "tried": tried}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("at_once")
def test_of_two_promotions_at_once_exactly_one_wins(mlflow_server: Server, tmp_path: Path) -> None:
    mlflow_server.up()
    registry = ModelRegistry("risk", mlflow_server.uri)
    first, _ = make(tmp_path / "first", registry)
    assert promote(first, policy=policy(**ASKED), registry=registry).version == 1
    folders = [str(make(tmp_path / str(seed), registry, seed=seed)[0]) for seed in (1, 2)]
    barrier = tmp_path / "barrier"
    barrier.mkdir()
    given = {"uri": mlflow_server.uri, "folders": folders, "barrier": str(barrier)}
    said = [one.value for one in launch(f"{__file__}:promote_at_once", world=2, **given)]
    assert sorted(one["admitted"] for one in said) == [False, True], json.dumps(said)
    winner, loser = sorted(said, key=lambda one: not one["admitted"])
    assert winner["tried"] == [[2, True]]
    assert loser["tried"] == [[2, False], [3, True]], "the ruling was made anew on what stood then"
    assert "compare again, or a better model would be lost" in "; ".join(loser["reasons"])
    entries = History.of(registry.history()).entries
    assert [entry.action for entry in entries] == ["promoted", "promoted", "refused"]
    assert registry.champion() == winner["version"]
    assert audit(registry) == []
