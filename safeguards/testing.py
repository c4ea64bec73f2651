"""What every safeguard must keep to, as checks that you can run on one of your own.

    from safeguards.testing import check_safeguard

    def make() -> Safeguard:
        return LabelBalance(fields=FIELDS, limits={"largest_class_share": Limit(at_most=0.9)})

    def test_contract(tmp_path):
        check_safeguard(make, tmp_path)
        check_processes("my_package.my_tests:make", tmp_path)

Batches are dicts with ``inputs`` float32 (N, 4), ``target`` int64 (N,), ``row_id`` int64 (N,), ``sex`` and
``age_group`` (lists of N labels), as in ``FIELDS``. Each check raises `ContractBroken` with the clause and what was
found.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from safeguards.core.batch import BatchFields
from safeguards.core.compat import installed_namespaces, loaded_namespaces
from safeguards.core.run import verdicts
from safeguards.core.safeguard import Safeguard
from safeguards.core.verdict import Outcome, Verdict

__all__ = [
    "CLAUSES",
    "FIELDS",
    "ContractBroken",
    "check_broken_model",
    "check_empty_data",
    "check_leaves_no_trace",
    "check_processes",
    "check_safeguard",
    "check_serialises",
    "check_state",
    "check_two_instances",
    "from_yaml",
]

Make = Callable[[], Safeguard]
FIELDS = BatchFields(inputs="inputs", target="target", groups={"sex": "sex", "age_group": "age_group"}, row_id="row_id")
ROWS, TRAINING_ROWS, BATCH = 57, 96, 8
RANK = re.compile(r"\brank \d+: ")
SECONDS, GROUP_SECONDS = 240, 60
"""How long processes may take, and how long one of them waits for another."""


class ContractBroken(AssertionError):  # noqa: N818 - a finding about a safeguard
    """A safeguard does not keep to a clause."""


class Table(Dataset[dict[str, Any]]):
    """Seeded rows of four features; the target follows the first."""

    def __init__(self, n: int, seed: int) -> None:
        self.x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> dict[str, Any]:
        labels = {"sex": "fm"[i % 3 == 0], "age_group": "young" if i % 2 else "old"}
        return {"inputs": self.x[i], "target": int(self.x[i, 0] > 0), "row_id": i, **labels}


def _lightning() -> Any:
    return import_module((loaded_namespaces() or installed_namespaces())[0])


def _net() -> Any:
    base: Any = _lightning().LightningModule

    class Net(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2))
            self.losses: list[float] = []

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)  # type: ignore[no-any-return]

        def training_step(self, batch: dict[str, Any]) -> Tensor:
            loss = nn.functional.cross_entropy(self(batch["inputs"]), batch["target"])
            self.log("train_loss", loss, on_epoch=True, sync_dist=True)
            self.losses.append(loss.item())
            return loss

        def validation_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
            logits = self(batch["inputs"])
            self.log("val_loss", nn.functional.cross_entropy(logits, batch["target"]), sync_dist=True)
            return {"logits": logits}

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    torch.manual_seed(5)
    return Net()


def _trainer(root: Path, *callbacks: Any, **options: Any) -> Any:
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
    }
    given = {"accelerator": "cpu", "devices": 1, "max_epochs": 1, "default_root_dir": str(root), **quiet}
    return _lightning().Trainer(**{**given, **options}, callbacks=list(callbacks))


def _loaders(rows: int = ROWS) -> tuple[Any, Any]:
    training = DataLoader(Table(TRAINING_ROWS, 1), batch_size=BATCH, shuffle=True)
    return training, DataLoader(Table(rows, 2), batch_size=BATCH)


def _fit(root: Path, *callbacks: Any, module: Any = None, **options: Any) -> tuple[Any, Any]:
    module = _net() if module is None else module
    job = _trainer(root, *callbacks, **options)
    job.fit(module, *_loaders())
    return job, module


def _require(holds: bool, clause: str, found: object) -> None:
    if not holds:
        raise ContractBroken(f"{clause}: {found}")


def from_yaml(path: Path | str) -> Safeguard:
    """The safeguard that a YAML file with ``class_path`` and ``init_args`` describes.

    Raises `ContractBroken` where none can be made of it.
    """
    import yaml
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--safeguard", type=Safeguard)
    try:
        parsed = parser.parse_object({"safeguard": yaml.safe_load(Path(path).read_text())})
        return parser.instantiate_classes(parsed).safeguard  # type: ignore[no-any-return]
    except Exception as error:
        raise ContractBroken(f"constructs from its YAML: {path}: {error}") from error


def check_leaves_no_trace(make: Make, root: Path) -> None:
    """Losses, weights, buffers and random states are bit-identical, with validation amid accumulated gradients."""
    options = {"accumulate_grad_batches": 4, "val_check_interval": 2}
    (_, bare), expected = _fit(root, **options), torch.get_rng_state()
    (_, watched), state = _fit(root, make(), **options), torch.get_rng_state()
    _require(watched.losses == bare.losses, "leaves no trace", "the losses of training differ")
    same = all(
        torch.equal(a, b) for a, b in zip(watched.state_dict().values(), bare.state_dict().values(), strict=True)
    )
    _require(same, "leaves no trace", "weights or buffers differ")
    _require(torch.equal(state, expected), "leaves no trace", "the random state differs")


def check_empty_data(make: Make, root: Path) -> None:
    """Without a validation every limit gets a verdict, and none lets the model through."""
    guard = make()
    job, _ = _fit(root, guard, limit_val_batches=0)
    _said_and_refused(guard, verdicts(job), "empty data", set(guard.limits))


def check_broken_model(make: Make, root: Path) -> None:
    """A model whose outputs are all NaN gets no verdict that lets it through."""
    guard, module = make(), _net()
    for parameter in module.parameters():
        parameter.data.fill_(float("nan"))
    job, _ = _fit(root, guard, module=module)
    _said_and_refused(guard, verdicts(job), "NaN model", set(guard.limits))


def _said_and_refused(guard: Safeguard, found: list[Verdict], clause: str, limits: set[str]) -> None:
    own = [verdict for verdict in found if verdict.safeguard == guard.label]
    _require({verdict.measure for verdict in own} == limits, clause, f"verdicts on {[v.measure for v in own]} only")
    passed = [f"{verdict.measure} {verdict.outcome}" for verdict in own if verdict.outcome.admits]
    _require(not passed, clause, f"let through: {passed}")


def check_state(make: Make, root: Path) -> None:
    """State is plain, survives a checkpoint that loads without pickles, and comes back as it was."""
    guard = make()
    job, _ = _fit(root, guard, limit_train_batches=2)
    path = root / "contract.ckpt"
    job.save_checkpoint(path)
    try:
        saved = torch.load(path, weights_only=True)["callbacks"][guard.state_key]
    except Exception as error:
        raise ContractBroken(f"state round trip: the checkpoint does not load: {error}") from error
    again = make()
    again.load_state_dict(saved)
    back = {**again.state_dict(), "run_id": saved["run_id"]}
    _require(back == saved, "state round trip", f"{saved} came back as {back}")


def check_two_instances(make: Make, root: Path) -> None:
    """Two of a kind in one trainer judge apart and alike."""
    first, second = make(), make()
    second.name = f"{second.topic}-again"
    try:
        job, _ = _fit(root, first, second)
    except RuntimeError as error:
        raise ContractBroken(f"two instances: {error}") from error
    found = verdicts(job)
    said = [[(v.measure, v.outcome, v.value) for v in found if v.safeguard == guard.label] for guard in (first, second)]
    _require(bool(said[0]) and said[0] == said[1], "two instances", said)


def check_judges(make: Make, root: Path) -> None:
    """In an ordinary fit every limit is judged: ERROR and NOT_EVALUATED are no answers."""
    guard = make()
    job, _ = _fit(root, guard)
    last = {v.measure: v for v in verdicts(job)}
    for measure in guard.limits:
        found = last.get(measure)
        judged = found is not None and found.outcome not in (Outcome.ERROR, Outcome.NOT_EVALUATED)
        _require(judged, "judges every limit", found or f"{measure} has no verdict")


def check_serialises(make: Make, root: Path) -> None:
    """A verdict goes through JSON and comes back equal."""
    job, _ = _fit(root, make())
    for verdict in verdicts(job):
        back = Verdict.from_dict(json.loads(json.dumps(verdict.to_dict(), allow_nan=False)))
        _require(back == verdict, "verdict serialises", f"{verdict} came back as {back}")


CLAUSES: dict[str, Callable[[Make, Path], None]] = {
    "judges every limit": check_judges,
    "leaves no trace": check_leaves_no_trace,
    "empty data": check_empty_data,
    "NaN model": check_broken_model,
    "state round trip": check_state,
    "two instances": check_two_instances,
    "verdict serialises": check_serialises,
}


def check_safeguard(make: Make, root: Path) -> None:
    """Every clause that one process can show; ``root`` is a scratch directory."""
    for clause in CLAUSES.values():
        clause(make, root)


def check_processes(target: str | Sequence[str], root: Path) -> None:
    """One process equals two: a target is "module:function", importable by a fresh interpreter; several share a start.

    Counts, n, outcomes and reasons must be equal, but for the rank of an error, and values within 1e-6 relative, on 57
    rows that two cannot share evenly; `ContractBroken` names every difference, or tells what each said that failed.
    """
    targets = [target] if isinstance(target, str) else list(target)
    alone, spread = _verdicts_on(1, targets, root), _verdicts_on(2, targets, root)
    found = [text for name in targets for text in _differences(name, alone[name], spread[name])]
    _require(not found, "one process equals two", "; ".join(found))


def _differences(name: str, alone: list[dict[str, Any]], spread: list[dict[str, Any]]) -> Iterator[str]:
    if not len(alone) == len(spread) > 0:
        yield f"{name}: {len(alone)} and {len(spread)} verdicts"
    for one, two in zip(map(_without_rank, alone), map(_without_rank, spread), strict=False):
        for key in ("measure", "outcome", "n", "reason"):
            if one[key] != two[key]:
                yield f"{name}: {key}: {one[key]} and {two[key]}"
        if not _close(one["value"], two["value"]):
            yield f"{name}: value: {one['value']} and {two['value']}"


def _without_rank(verdict: dict[str, Any]) -> dict[str, Any]:
    return {**verdict, "reason": RANK.sub("", verdict["reason"])} if verdict["outcome"] == "ERROR" else verdict


def _close(one: Any, two: Any) -> bool:
    if not isinstance(one, float) or not isinstance(two, float):
        return bool(one == two)
    return abs(one - two) <= 1e-6 * max(abs(one), abs(two))


def _verdicts_on(world: int, targets: list[str], root: Path) -> dict[str, list[dict[str, Any]]]:
    with socket.socket() as holder:  # until they listen there themselves, the system gives the port to nobody
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        return _verdicts_at(holder.getsockname()[1], world, targets, root)


def _verdicts_at(port: int, world: int, targets: list[str], root: Path) -> dict[str, list[dict[str, Any]]]:
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    command = [sys.executable, "-m", "safeguards.testing", str(root), str(world), *targets]
    jobs = [
        subprocess.Popen(
            command,
            env={**shared, "LOCAL_RANK": str(rank), "NODE_RANK": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        output = [job.communicate(timeout=SECONDS) for job in jobs]
    except subprocess.TimeoutExpired:
        raise ContractBroken(f"one process equals two: {world} took longer than {SECONDS} s") from None
    finally:
        for job in jobs:
            job.kill()
    failed = [f"rank {rank}: {output[rank][1][-2000:]}" for rank, job in enumerate(jobs) if job.returncode != 0]
    _require(not failed, "one process equals two", "\n".join(failed))
    return json.loads(output[0][0].splitlines()[-1])  # type: ignore[no-any-return]


def _strategy(world: int) -> Any:
    if world == 1:
        return "auto"
    strategies = import_module(f"{_lightning().__name__}.strategies")
    return strategies.DDPStrategy(timeout=timedelta(seconds=GROUP_SECONDS))


def _judge_untrained(target: str, root: Path, world: int) -> list[dict[str, Any]]:
    module, _, name = target.partition(":")
    make = getattr(import_module(module), name)
    frozen = _net()
    frozen.configure_optimizers = lambda: torch.optim.SGD(frozen.parameters(), lr=0.0)
    job = _trainer(root, make(), devices=world, strategy=_strategy(world), limit_train_batches=1)
    frozen.net[1].momentum = 0.0
    job.fit(frozen, *_loaders())
    return [verdict.to_dict() for verdict in verdicts(job)]


if __name__ == "__main__":
    scratch, processes = Path(sys.argv[1]), int(sys.argv[2])
    print(json.dumps({target: _judge_untrained(target, scratch, processes) for target in sys.argv[3:]}), flush=True)
    if torch.distributed.is_initialized():  # a process that exits while gloo's threads are at work may abort
        torch.distributed.destroy_process_group()
