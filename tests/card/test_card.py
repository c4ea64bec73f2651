"""What a card tells of a record: every number by hand, each a link to its run, step and artifact."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safeguards.card import NoEvidence, Risk, Stated, evidence_of, lint_card, model_card, write_card
from safeguards.card.citing import Citer
from safeguards.card.timelines import families
from safeguards.core.errors import EvidenceError
from safeguards.core.verdict import Outcome
from safeguards.gate import History, Ruling
from safeguards.tracking import RunReader
from tests.card.records import PAIRED, RUN, champion, looked_at, record
from tests.helpers.markup import Parsed
from tests.helpers.runs import kept, verdict

REFUSED = Ruling(admitted=False, reasons=("drift/drifted_share: INCONCLUSIVE",), waived=("fairness/parity: set aside",))


def told(**parts: Any) -> Parsed:
    """The page of a record, once the linter has nothing to say about it."""
    stated, signed = parts.pop("stated", None), parts.pop("signed", False)
    evidence = evidence_of(parts.pop("record", record()), **parts)
    page = model_card(evidence, stated=stated, signed=signed)
    assert lint_card(page, evidence, stated) == []
    seen = Parsed(page)
    assert seen.unbalanced == []
    return seen


def test_each_verdict_is_told_with_all_that_carries_it() -> None:
    text = told().text
    assert "overfitting gap validate , step 10 ✓ PASS 0.05 [ 0.02 , 0.08 ] at most 0.1 +0.05 100" in text
    assert "adversarial robust_accuracy validate , step 10 ! WARN 0.09 – at most 0.1 +0.01 100" in text  # noqa: RUF001
    assert "Gravest of the latest outcomes: – NOT EVALUATED" in text  # noqa: RUF001 - a dash is the sign of silence
    assert "Not every latest verdict lets the model through. This card was made without a ruling of the gate." in text


def test_what_was_not_evaluated_has_a_list_of_its_own() -> None:
    text = told(champion=champion()).text
    silent = text.partition("Asked for, and not answered for the weights of this card:")[2].partition("Measured, and")
    assert silent[0].strip() == "uncertainty calibration – NOT EVALUATED no validation loader"  # noqa: RUF001
    assert "drift drifted_share ? INCONCLUSIVE too few rows" in silent[2]
    assert "Judged for the champion, and not for this model fairness ratio , validate" in text
    all_answered = told(record=record(verdicts=(verdict(),))).text
    assert "Every measure that the run was asked for was answered." in all_answered
    assert "asked for and did not find" not in all_answered
    refused = told(record=record(verdicts=(verdict(),)), ruling=REFUSED).text
    assert "What the gate asked for and did not find stands among its reasons above." in refused


def test_a_number_leads_to_its_run_its_step_and_its_artifact() -> None:
    seen = told(champion=champion())
    (link,) = [one for one in seen.of("a") if one.get("data-evidence") == "/record/verdicts/2/details/groups/0/n"][:1]
    assert link["title"] == f"run {RUN}, step 10, safeguards/verdicts.jsonl"
    assert link["href"] == "#e-record-2"
    assert len(seen.of("tr", id="e-record-2")) == 1
    row = seen.text.partition("Where each cited verdict stands")[2]
    assert f"fairness parity {RUN} validate , epoch 1 , step 10 safeguards/verdicts.jsonl" in row
    theirs = [one for one in seen.of("a") if one.get("data-evidence") == "/champion/verdicts/0/value"]
    assert theirs[0]["title"] == f"run {RUN[:-1]}0, step 10, safeguards/verdicts.jsonl"


def test_groups_have_bars_with_exact_intervals() -> None:
    """Each of two rates at 1 - 0.05 / 2: scipy.stats.binomtest(30, 40).proportion_ci(0.975, "exact"), then 5 of 10."""
    seen = told()
    assert "sex=f 40 0.75 [ 0.5656 , 0.886 ] 0.5 [ 0.1585 , 0.8415 ]" in seen.text
    assert "Too small to judge: sex=x ." in seen.text
    assert "The intervals hold together with 95.0000% confidence." in seen.text
    plots = [one["aria-label"] for one in seen.of("svg")]
    assert "accuracy. One bar for each group, with its interval; the table below has the numbers." in plots
    assert [one["class"] for one in seen.of("rect")].count("bar plain") == 2 * 2 + 1 + 2  # rates, columns, costs


def test_robust_accuracy_is_drawn_over_eps() -> None:
    seen = told()
    assert "no attack 0.9 0.03 0.7 [ 0.6 , 0.8 ] 0.06 0.4 [ 0.3 , 0.5 ]" in seen.text
    assert "Attack: name pgd , steps 10 , norm inf , eps 0.03 ." in seen.text
    assert "gradients : ok: 100 of 100 rows have one" in seen.text
    (drawn,) = [place for place, (tag, at) in enumerate(seen.elements) if "over eps" in str(at.get("aria-label"))]
    path = next(at for tag, at in seen.elements[drawn:] if tag == "polyline")
    points = [tuple(map(float, one.split(","))) for one in str(path["points"]).split()]
    assert [x for x, _ in points] == [60.0, 285.0, 510.0]  # eps 0, half of the largest, the largest
    heights = [168.0 - share * (168.0 - 22.0) for share in (0.9, 0.7, 0.4)]
    assert [y for _, y in points] == pytest.approx(heights, abs=0.06)


def test_columns_that_drifted_come_first() -> None:
    seen = told()
    assert "bmi drifted 0.35 0.0001 age quiet 0.02 0.6 site quiet – –" in seen.text  # noqa: RUF001 - dashes
    assert "counts from 0.1" in seen.text
    assert [one["class"] for one in seen.of("rect")].count("bar drifted") == 1


def test_the_moments_at_which_a_verdict_failed_are_told() -> None:
    seen = told()
    assert "Moments at which a verdict failed; where a reaction was asked for, it followed here Step What failed 0" in (
        seen.text
    )
    assert "✕ FAIL 0.3 [ 0.2 , 0.4 ] 10 ✓ PASS 0.05 [ 0.02 , 0.08 ]" in seen.text  # the trail of the gap
    assert [one["class"] for one in seen.of("polygon")] == ["dot fail"]


def test_costs_are_told_by_safeguard() -> None:
    assert "Safeguard Time adversarial 1 min 30 s fairness 0.5 s" in told().text


def test_the_difference_to_the_champion() -> None:
    text = told(champion=champion()).text
    assert "overfitting gap ! WARN 0.09 ✓ PASS 0.05 −0.04" in text  # noqa: RUF001 - a minus
    assert "fairness parity not judged – ✓ PASS 0.05 –" in text  # noqa: RUF001 - dashes
    assert "weights: the same, 777777777777" in text
    assert "accuracy frozen 0.8 0.85 +0.05 [ 0.01 , 0.09 ] 200" in text
    changed = told(champion=champion(weights="e" * 64)).text
    assert "weights: eeeeeeeeeeee became 777777777777" in changed
    assert "The champion's record was not given to this card." in told().text
    alone = told(record=record(champion=None, comparisons=())).text
    assert "There was no champion to compare with." in alone


def test_the_gate_and_its_history_are_told() -> None:
    entry = History(entries=(), problems=()).next(
        when="2026-11-25T12:34:56+00:00",
        who="ann@host",
        action="refused",
        why="new data",
        before=1,
        after=1,
        version=2,
        record=record().digest,
        policy="f" * 64,
    )
    text = told(ruling=REFUSED, history=History(entries=(entry,), problems=()), champion=champion()).text
    assert "The gate refused it drift/drifted_share: INCONCLUSIVE" in text
    assert "Set aside by a waiver fairness/parity: set aside" in text
    line = f"2026-11-25 12:34 refused 2 {record().digest[:12]} (this one) ann@host new data {'f' * 12}"
    assert line in text
    admitted = told(ruling=Ruling(admitted=True, version=12)).text
    assert "The gate admitted it" in admitted
    assert "Version in the registry 12 Record" in admitted


def test_what_people_state_stands_as_theirs_and_what_they_do_not_is_listed() -> None:
    risk = Risk(risk="rejects one sex more often", measure="fairness/parity", residual="small", accepted_by="Ann")
    seen = told(stated=Stated(owner="the credit team, room 7", risks=(risk, Risk(risk="unwatched"))))
    assert "Owner the credit team, room 7" in seen.text
    watched = "rejects one sex more often fairness parity at most 0.1 ✓ PASS small Ann"
    assert f"{watched} unwatched nothing – not judged not stated nobody" in seen.text  # noqa: RUF001 - a dash
    missing = seen.text.partition("Nobody has stated:")[2].partition(".")[0]
    assert missing.startswith(" licence, intended purpose, intended users")
    assert "owner" not in missing
    everything = replace(Stated(**dict.fromkeys(Stated().missing, "said"))  # type: ignore[arg-type]
                         , risks=(risk,))  # fmt: skip
    assert "Everything that this card asks for is stated." in told(stated=everything).text


def test_a_model_that_gave_no_numbers_has_a_card_too() -> None:
    broken = verdict("gap", "FAIL", reason="the loss is NaN")
    text = told(record=record(verdicts=(replace(broken, value=float("nan"), margin=None),)), champion=champion()).text
    assert "fairness gap validate , step 0 ✕ FAIL nan – at most 0.1 – 100" in text  # noqa: RUF001 - dashes
    empty = told(record=record(verdicts=(), costs={}, seeds={}, notes={}, comparisons=()))
    assert "The record holds no verdict. Silence is not a pass." in empty.text
    assert "answer not_evaluated" in {one["class"] for one in empty.of("section") if "class" in one}


def test_many_looks_are_thinned_and_none_that_failed_is_left_out() -> None:
    looks = tuple(verdict("gap", "FAIL" if epoch in (7, 801) else "PASS", epoch=epoch) for epoch in range(1000))
    seen = told(record=record(verdicts=looks))
    assert "Looks at this measure; not all of them, but every one that failed" in seen.text
    assert [one["class"] for one in seen.of("polygon")] == ["dot fail"] * 2
    assert [one["class"] for one in seen.of("circle")].count("dot pass") == 40
    assert "8,010" in seen.text


def test_a_signature_is_claimed_only_where_it_was_checked() -> None:
    assert "was signed by a key that this reader trusts." in told(signed=True).text
    assert "was not checked against a signature" in told().text


def test_no_number_gets_onto_a_card_without_evidence() -> None:
    cite = Citer(evidence_of(record()))
    for source in ("/record/nothing", "/record/verdicts/99/value", "value", ("invented", "/record/model")):
        with pytest.raises(NoEvidence):
            cite(source)
    with pytest.raises(NoEvidence, match="is no number"):
        cite("/record/model")
    with pytest.raises(NoEvidence, match="cannot be computed"):
        cite(("difference", "/record/model", "/record/verdicts/0/value"))


@pytest.fixture
def tracked(empty_database: Path, tmp_path: Path) -> Any:
    """A reader, and the run of a record with its ledger and curves."""
    import shutil

    from mlflow.tracking import MlflowClient

    database = tmp_path / "mlflow.db"
    shutil.copyfile(empty_database, database)
    client: Any = MlflowClient(f"sqlite:///{database}")
    experiment = client.create_experiment("credit", (tmp_path / "artifacts").as_uri())
    made_with = {"mlflow.source.git.commit": "4f3e2d", "safeguards.versions": "torch 2.13.0, mlflow 3.1"}
    run = kept(client, experiment, "risk", looked_at(), place=tmp_path, ended="stopped_for_safety", tags=made_with)
    client.set_terminated(run, end_time=client.get_run(run).info.start_time + 90_000)
    for step, loss in ((5, 0.9), (10, 0.4)):
        client.log_metric(run, "val_loss", loss, step=step, timestamp=step)
        client.log_metric(run, "val_accuracy", 1 - loss, step=step, timestamp=step)
    return RunReader(f"sqlite:///{database}"), run, tmp_path / run / "verdicts.jsonl"


def sealed(run: str, ledger: Path) -> Any:
    from safeguards.core.files import digest_of_file

    return record(tracking_run=run, ledger=digest_of_file(ledger)[1])


def test_curves_and_files_are_those_of_the_run(tracked: Any, tmp_path: Path) -> None:
    reader, run, ledger = tracked
    path = write_card(
        tmp_path / "card.html", sealed(run, ledger), reader=reader, links="http://ann:canary@localhost:5080/"
    )
    page = path.read_text()
    seen = Parsed(page)
    assert "The run ended: stopped_for_safety ." in seen.text
    assert "the whole run, tests included: 1 min 30 s" in seen.text
    assert "commit: 4f3e2d versions: torch 2.13.0, mlflow 3.1" in seen.text
    assert "Losses that were logged; each upright line is a moment at which a verdict failed" in seen.text
    assert "val_loss 0.4" in seen.text
    assert "val_accuracy 0.6" in seen.text
    (link,) = [one for one in seen.of("a") if one.get("data-evidence") == "/curves/val_loss/1/value"]
    assert link["title"] == f"MLflow run {run}, step 10, metric"
    outside = {one for one in seen.addresses if not one.startswith("#")}
    place = f"http://[redacted]@localhost:5080/runs/{run}"
    assert outside == {place, f"{place}/files/safeguards/verdicts.jsonl"}
    assert "canary" not in page


def test_a_file_that_is_gone_or_changed_refuses_the_card(tracked: Any, tmp_path: Path) -> None:
    reader, run, ledger = tracked
    other = replace(sealed(run, ledger), verdicts=looked_at(over="WARN"))
    with pytest.raises(EvidenceError, match="jsonl holds other verdicts than the record"):
        write_card(tmp_path / "card.html", other, reader=reader)
    (found,) = tmp_path.glob(f"artifacts/{run}/artifacts/safeguards/verdicts.jsonl")
    found.unlink()
    with pytest.raises(EvidenceError, match="is cited, and the run does not have it"):
        write_card(tmp_path / "card.html", sealed(run, ledger), reader=reader)
    with pytest.raises(LookupError, match="there is no run"):
        write_card(tmp_path / "card.html", record(tracking_run="0" * 32), reader=reader)
    assert not (tmp_path / "card.html").exists()


def test_secrets_are_on_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "canary-of-the-environment")
    texts = ("api_key=canary-of-a-key1", "postgres://u:canary-of-a-uri@host/db", "canary-of-the-environment")
    verdicts = tuple(
        verdict(f"m{place}", "FAIL", reason=text, details={"columns": {text: {"standing": text}}, "page": text})
        for place, text in enumerate(texts)
    )
    pairs = tuple(replace(PAIRED, measure=f"accuracy/group={text}", unit=text) for text in texts)
    names = {"notes": dict.fromkeys(texts, texts[1]), "costs": dict.fromkeys(texts, 1.0)}
    sealed = record(verdicts=verdicts, comparisons=pairs, champion=champion().digest, **names)
    evidence = evidence_of(sealed, champion=champion(), ruling=Ruling(admitted=False, reasons=texts))
    page = model_card(evidence)
    assert lint_card(page, evidence) == []
    assert "canary" not in page
    assert "accuracy/group=api_key=[redacted]" in page
    assert evidence.digest == sealed.digest
    assert json.dumps(evidence.document).count("canary") == 0
    assert {one.outcome for one in evidence.record.verdicts} == {Outcome.FAIL}


def test_a_ledger_that_lost_a_secret_on_its_way_is_the_same(tracked: Any, tmp_path: Path) -> None:
    """The tracker takes out secrets that it knows; a record that was sealed without knowing them has them still."""
    reader, run, ledger = tracked
    (kept_file,) = tmp_path.glob(f"artifacts/{run}/artifacts/safeguards/verdicts.jsonl")
    kept_file.write_text(kept_file.read_text().replace("too few rows", "token=[redacted]"))
    told = tuple(
        replace(one, reason=one.reason.replace("too few rows", "token=canary-of-a-key1")) for one in looked_at()
    )
    page = write_card(tmp_path / "card.html", replace(sealed(run, ledger), verdicts=told), reader=reader).read_text()
    assert "token=[redacted]" in page
    assert "canary" not in page


def test_losses_and_other_metrics_share_no_axis_and_one_point_is_no_curve() -> None:
    many, one, none = [{}, {}], [{}], []
    found = families({"val_loss": one, "train_loss": many, "val_accuracy": one, "lr": none})
    assert found == [["val_loss", "train_loss"]]
    assert families({"val_loss": many, "val_accuracy": many}) == [["val_loss"], ["val_accuracy"]]
    assert families({}) == []
