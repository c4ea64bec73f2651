"""Bars of long work: at a terminal only, on one process, gone when done, and no reason to fail."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from safeguards import AdversarialEvaluation, DriftReport, Limit, OverfittingGuard, Scene, ThreatModel
from safeguards.core import progress as progress_module
from safeguards.core.progress import progress
from tests.helpers.toys import PAIR, Net, rows, trainer


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Torn(Terminal):
    def write(self, text: str) -> int:
        raise OSError("the terminal is gone")


def job(*, rank: int = 0, enabled: bool = True) -> Any:
    return SimpleNamespace(is_global_zero=rank == 0, progress_bar_callback=SimpleNamespace(is_enabled=enabled))


def work(monkeypatch: pytest.MonkeyPatch, given: Any, to: Any, after: float = 0.0) -> str:
    monkeypatch.setattr(sys, "stderr", to)
    with progress(given, "pgd attack", 2, after=after) as told:
        told()
        told()
    return str(to.getvalue())


def test_it_is_seen_and_leaves_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = work(monkeypatch, job(), Terminal())
    assert "safeguards: pgd attack:   0%" in text
    assert "\n" not in text
    assert text.endswith("\r")
    assert text.split("\r")[-2].strip() == ""


@pytest.mark.parametrize(
    ("given", "to", "after"),
    [
        (job(), io.StringIO(), 0.0),
        (job(rank=1), Terminal(), 0.0),
        (job(enabled=False), Terminal(), 0.0),
        (SimpleNamespace(is_global_zero=True, progress_bar_callback=None), Terminal(), 0.0),
        (job(), Terminal(), 60.0),
        (job(), Torn(), 0.0),
    ],
    ids=["no terminal", "another rank", "bar off", "no bar", "short work", "terminal gone"],
)
def test_nothing_is_written_and_the_work_is_done(
    monkeypatch: pytest.MonkeyPatch, given: Any, to: Any, after: float
) -> None:
    assert work(monkeypatch, given, to, after).strip("\r ") == ""


@pytest.mark.parametrize(("after", "seen"), [(0.0, True), (60.0, False)])
def test_it_is_a_line_of_a_rich_display_that_is_up(monkeypatch: pytest.MonkeyPatch, after: float, seen: bool) -> None:
    console, progress_of = pytest.importorskip("rich.console"), pytest.importorskip("rich.progress")
    screen, given = Terminal(), job()
    shown = console.Console(file=screen, force_terminal=True, width=80)
    with progress_of.Progress(console=shown, auto_refresh=False) as lines:
        given.progress_bar_callback.progress = lines
        monkeypatch.setattr(progress_module, "SECONDS_A_DRAWING", 0.0)
        assert work(monkeypatch, given, Terminal(), after) == ""
        assert lines.task_ids == []
    assert ("safeguards: pgd attack" in screen.getvalue()) is seen
    assert ("50%" in screen.getvalue()) is seen


def test_a_terminal_that_goes_while_the_work_is_done_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(*_: object) -> None:
        raise OSError("the terminal is gone")

    monkeypatch.setattr(tqdm, "update", torn)
    monkeypatch.setattr(tqdm, "close", torn)
    assert "pgd attack" in work(monkeypatch, job(), Terminal())


def test_no_work_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress(job(), "drift page", 0, after=0):
        pass
    assert screen.getvalue() == ""


def test_an_error_of_the_work_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Torn())
    with pytest.raises(ZeroDivisionError), progress(job(), "work", 1, after=0):
        1 / 0  # noqa: B018


@pytest.mark.parametrize(
    ("attack", "options"),
    [("fgsm", {}), ("pgd", {"restarts": 2}), ("apgd", {"restarts": 2}), ("pgd", {"batch_size": 16, "eps_curve": []})],
)
def test_long_work_tells_every_piece_that_it_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: str, options: dict[str, Any]
) -> None:
    told: list[tuple[str, list[int], int | None]] = []

    @contextmanager
    def counted(_: Scene, what: str, total: int | None = None) -> Any:
        pieces: list[int] = []
        told.append((what, pieces, total))
        yield lambda: pieces.append(1)

    monkeypatch.setattr(Scene, "progress", counted)
    threat = ThreatModel(eps=0.1, clip=(-9, 9))
    watching = [
        AdversarialEvaluation(
            fields=PAIR, threat=threat, attack=attack, limits={"robust_accuracy": Limit(at_least=0)}, **options
        ),
        OverfittingGuard(fields=PAIR, limits={"generalization_gap": Limit(at_most=9)}),
        DriftReport(reference="train", fields=PAIR, limits={"drifted_share": Limit(at_most=1)}, report=False),
    ]
    torch.manual_seed(0)
    trainer(tmp_path, *watching, max_epochs=1, num_sanity_val_steps=0).fit(
        Net(), DataLoader(rows(64), 16), DataLoader(rows(57, 1), 16)
    )
    assert [what for what, *_ in told] == [f"{attack} attack", "training rows", "training rows"]
    assert [len(pieces) for _, pieces, _ in told] == [total for *_, total in told]
    assert [len(pieces) for _, pieces, _ in told[1:]] == [4, 4]
