"""The core on several processes: row identity with every kind of loader, and state over a resume."""

import itertools
from pathlib import Path

import pytest

from safeguards.core.ledger import read
from tests.helpers.launch import launch

JOBS = Path(__file__).with_name("spread.py")


def test_row_identity_of_every_kind_of_loader() -> None:
    (alone,) = launch(f"{JOBS}:identities", 1, strategy="auto")
    first, second = launch(f"{JOBS}:identities", 2, strategy="ddp")
    assert first.value == second.value
    one, two = alone.value, first.value
    assert {name: case["n"] for name, case in one.items()} == {
        "sampler": 57,
        "ids and sampler": 57,
        "ids and own order": 57,
        "own order, no inputs": 57,
        "ids of pairs": 57,
        "labels and sampler": 57,
        "labels and own order": 57,
        "own order": 57,
        "stream": 20,
        "shuffled": 57,
    }
    for name in ("sampler", "ids and sampler"):
        assert two[name] == one[name]
    assert two["ids and own order"]["ids"] == [0, *range(56)], "the copy goes, the row of the same id on one rank stays"
    for name in ("labels and sampler", "labels and own order"):
        assert (two[name]["outcome"], two[name]["n"], two[name]["groups"]) == ("PASS", 57, one[name]["groups"])
    for name in ("ids", "n", "right"):
        assert two["own order, no inputs"][name] == one["own order, no inputs"][name]
    assert two["ids of pairs"]["outcome"] == "ERROR"
    assert "row_id: 29 rows have the id of a row on another process, where at most 1" in two["ids of pairs"]["reason"]
    for name in ("own order", "stream"):
        assert two[name]["outcome"] == "INCONCLUSIVE"
        assert "rows have no identity on several processes" in two[name]["reason"]
    assert (two["shuffled"]["n"], two["shuffled"]["right"]) == (57, one["shuffled"]["right"])


def test_ranks_with_other_numbers_of_batches_do_not_wait_for_each_other_where_weights_are_in_parts() -> None:
    first, second = launch(f"{JOBS}:uneven", 2, strategy="deepspeed_cpu_stage_3")
    assert first.value == second.value
    refused, judged = first.value
    assert refused[:3] == ["0", "ERROR", 0]
    assert "the loader gives the processes 2, 3 batches" in refused[3]
    assert judged[:3] == ["1", "PASS", 32]


@pytest.mark.parametrize(
    ("strategy", "world"), [("ddp", 2), ("deepspeed_cpu_stage_2", 2), ("deepspeed_cpu_stage_3", 2)]
)
def test_state_survives_a_resume_and_is_the_same_on_all_ranks(strategy: str, world: int, tmp_path: Path) -> None:
    first, second = launch(f"{JOBS}:resumed", world, strategy=strategy, root=str(tmp_path))
    for result in (first, second):
        assert result.value["looks"] == [2]
        assert result.value["state"]["looks"] == {"validate/": 2}
        assert len(set(result.value["ids"])) == 1
    assert first.value["state"] == second.value["state"]
    assert first.value["state"]["cost"]["seconds"] > 0
    (ledger,) = tmp_path.glob("safeguards/*/verdicts.jsonl")
    assert ledger.parent.name == first.value["ids"][0]
    assert [verdict.moment.epoch for verdict in read(ledger)[0]] == [0, 1], "the first process alone writes"
    assert [result.stdout.count("all verdicts: ") for result in (first, second)] == [2, 0], "and prints, once a fit"


@pytest.mark.parametrize("strategy", ["ddp", "deepspeed_cpu_stage_3"])
def test_processes_of_different_speed_agree_on_the_rows_and_looks_that_a_cap_allows(strategy: str) -> None:
    first, second = launch(f"{JOBS}:capped", 2, strategy=strategy)
    looks = first.value
    assert second.value == looks
    assert 3 <= len(looks) < 12, "some looks are left out"
    monitored = looks[0]["monitored"]
    assert [epoch for epoch, value in enumerate(monitored) if value != "nan"] == [look["epoch"] for look in looks]
    assert looks[0]["n"] < 100
    assert looks[-1]["n"] > 1.5 * looks[0]["n"]
    assert sum(look["seconds"] for look in looks) <= 0.1 * 11.0 * (looks[-1]["epoch"] + 1)
    assert not any("whole batches" in look["reason"] for look in looks)
    (alone,) = launch(f"{JOBS}:capped", 1, strategy="auto")
    assert alone.value[0]["ids"] == looks[0]["ids"], "the first look takes the same rows on any number of processes"
    nested = [set(look["ids"]) for look in sorted(looks, key=lambda look: look["n"])]
    assert all(len(ids) == look for ids, look in zip(nested, sorted(look["n"] for look in looks), strict=True))
    assert all(fewer <= more for fewer, more in itertools.pairwise(nested)), "a larger look takes the rows of a smaller"


def test_a_cap_that_saves_no_forward_where_weights_are_in_parts_says_so() -> None:
    first, second = launch(f"{JOBS}:capped", 2, strategy="deepspeed_cpu_stage_3", told=False, epochs=1)
    (look,) = first.value
    assert second.value == first.value
    assert look["n"] < 100
    assert "its forwards were of whole batches, which take all processes" in look["reason"]
