"""The pages as a server answers them: read only, for named hosts, whatever the names in the store."""

from __future__ import annotations

import re
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from safeguards.card import review_app
from safeguards.tracking import RunReader
from tests.card.conftest import BIDI, HOSTILE, LONG, SCRIPT, Store
from tests.helpers.markup import Parsed
from tests.helpers.runs import many


def page(pages: Any, address: str) -> Parsed:
    answer = pages.get(address)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return Parsed(answer.get_data(as_text=True))


def every_address(store: Store) -> list[str]:
    runs = list(store.runs.values())
    return [
        "/",
        f"/experiments/{store.experiment}",
        f"/experiments/{store.experiment}?measure=fairness.gap&sort=margin:fairness.gap&down=0",
        *(f"/runs/{run}" for run in runs),
        "/models",
        f"/compare?run={runs[0]}&run={runs[1]}",
        f"/compare?run={runs[2]}&run={runs[3]}",
    ]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_nothing_but_reading_is_answered(method: str, pages: Any, store: Store) -> None:
    for address in (*every_address(store), "/static/review.js", "/nowhere"):
        answer = getattr(pages, method)(address)
        assert answer.status_code == 405
        assert set(answer.headers["Allow"].replace(" ", "").split(",")) <= {"GET", "HEAD"}


def test_head_is_a_get_without_the_page(pages: Any, store: Store) -> None:
    answer = pages.head(f"/experiments/{store.experiment}")
    assert (answer.status_code, answer.get_data()) == (200, b"")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1"])
def test_a_name_that_was_not_given_is_refused(host: str, pages: Any, store: Store) -> None:
    answer = pages.get(f"/experiments/{store.experiment}", headers={"Host": host})
    assert answer.status_code == 403
    assert b"credit" not in answer.get_data()


@pytest.mark.parametrize("host", ["localhost", "localhost:5080", "127.0.0.1:5080", "[::1]:5080", "review.example"])
def test_names_of_this_machine_and_those_that_were_given_are_answered(host: str, store: Store) -> None:
    pages = review_app(RunReader(store.uri), hosts=["review.example"]).test_client()
    assert pages.get("/", headers={"Host": host}).status_code == 200


def test_every_answer_says_what_a_browser_may_do(pages: Any, store: Store) -> None:
    for address in (*every_address(store), "/static/review.css", "/static/review.js", "/nowhere", "/runs/none"):
        headers = pages.get(address).headers
        policy = dict(rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers
        assert "Set-Cookie" not in headers


def test_hostile_names_are_text_on_every_page(pages: Any, store: Store) -> None:
    for address in every_address(store):
        seen = page(pages, address)
        assert seen.handlers == []
        assert seen.unbalanced == []
        assert seen.of("script") == [{"src": "/static/review.js", "defer": None}]
        assert not {"img", "iframe", "object", "base", "style"} & set(seen.tags)
        assert [one for one in seen.addresses if not one.startswith(("/", "#", "data:,"))] == []
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x1b]", seen.text)
        assert "n" * 2001 not in seen.text


def test_secrets_that_others_stored_are_on_no_page(pages: Any, store: Store) -> None:
    for address in every_address(store):
        assert "canary" not in pages.get(address).get_data(as_text=True)
    told = page(pages, f"/runs/{store.runs['hostile']}").text
    assert "api_key [redacted]" in told
    assert "postgres://[redacted]@db/x" in told
    assert "token=[redacted]" in told


def test_what_was_hostile_can_be_read(pages: Any, store: Store) -> None:
    told = page(pages, f"/runs/{store.runs['hostile']}").text
    assert SCRIPT in told
    assert r"safe \u202egpj.exe\u2066 \x1b[31m \u200b" in told
    assert "[10,000 characters]" in told
    assert "{{ 7 * 7 }}" in told
    assert {BIDI, LONG} < set(HOSTILE)


def test_nothing_is_loaded_from_elsewhere(pages: Any, store: Store) -> None:
    for address in every_address(store):
        assert "://" not in " ".join(page(pages, address).addresses)
    for name in ("review.css", "review.js"):
        text = pages.get(f"/static/{name}").get_data(as_text=True)
        assert not re.search(r"https?:|@import|url\(", text)


def test_the_table_can_be_used_without_seeing_it(pages: Any, store: Store) -> None:
    seen = page(pages, f"/experiments/{store.experiment}?sort=outcome&down=0")
    (head,) = [found for found in seen.of("th", scope="col") if found.get("aria-sort") == "ascending"]
    assert head["class"] == ""
    assert {one.get("aria-sort") for one in seen.of("th", scope="col")} == {None, "none", "ascending"}
    assert len(seen.of("th", scope="row")) == 5
    assert seen.tags["caption"] == 1
    assert seen.of("p", role="status")[0]["aria-live"] == "polite"
    labelled = {found["for"] for found in seen.of("label")}
    fields = {found["id"] for tag in ("input", "select") for found in seen.of(tag) if found.get("id")}
    assert labelled == fields
    assert all(box["aria-label"] for box in seen.of("input", type="checkbox"))
    assert seen.of("a", href="#main") == [{"class": "skip", "href": "#main"}]
    assert seen.of("main")[0]["id"] == "main"
    assert seen.of("html") == [{"lang": "en"}]
    assert all(found.get("tabindex") == "0" for found in seen.of("div", role="region"))


@pytest.mark.parametrize("address", ["run", "compare"])
def test_every_table_has_a_caption_and_scopes(address: str, pages: Any, store: Store) -> None:
    runs = store.runs
    place = f"/runs/{runs['good']}" if address == "run" else f"/compare?run={runs['good']}&run={runs['bad']}"
    seen = page(pages, place)
    assert seen.tags["table"] == seen.tags["caption"] >= 2
    assert all(found.get("scope") for found in seen.of("th"))
    assert seen.tags["h1"] == 1


def test_each_run_is_a_row_with_outcomes_and_margins(pages: Any, store: Store) -> None:
    told = page(pages, f"/experiments/{store.experiment}?text=good").text
    assert "1 of 5 runs" in told
    assert "! WARN ✓ PASS +0.05 ! WARN +0.01" in told
    told = page(pages, f"/experiments/{store.experiment}?text=poor").text
    assert "stopped for safety ✕ FAIL ? INCONCLUSIVE +0 ✕ FAIL −0.2" in told  # noqa: RUF001 - a minus


def test_silence_stands_in_the_table_and_on_the_page(pages: Any, store: Store) -> None:
    told = page(pages, f"/experiments/{store.experiment}?outcome=SILENT").text
    assert "1 of 5 runs" in told
    assert "nobody spoke" in told
    told = page(pages, f"/runs/{store.runs['silent']}").text
    assert "No safeguard has spoken in this run. Silence is not a pass." in told


def test_a_run_tells_its_verdicts_with_all_that_carries_them(pages: Any, store: Store) -> None:
    told = page(pages, f"/runs/{store.runs['good']}").text
    assert "fairness gap ✓ PASS 0.05 [0.02, 0.08] ≤ 0.1 +0.05 100 –" in told  # noqa: RUF001 - a dash
    assert "PASS it is validate, epoch 1, step 10" in told
    assert "south" in told
    assert "All 2 looks" in told
    assert "lr 0.1" in told


def test_tags_that_contradict_the_ledger_are_said(pages: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    client, run = MlflowClient(store.uri), store.runs["bad"]
    client.set_tag(run, "safeguards.outcome", "PASS")
    try:
        told = page(pages, f"/runs/{run}").text
    finally:
        client.set_tag(run, "safeguards.outcome", "FAIL")
    assert "The tags say PASS, the ledger says FAIL" in told
    assert "The tags say" not in page(pages, f"/runs/{run}").text


def test_two_runs_side_by_side(pages: Any, store: Store) -> None:
    told = page(pages, f"/compare?run={store.runs['good']}&run={store.runs['bad']}").text
    assert "✓ PASS 0.05 [0.02, 0.08] +0.05 ✕ FAIL 0.3 – −0.2 +0.25 −0.25 worse" in told  # noqa: RUF001 - signs
    assert "not judged" in told
    assert "depth 2 –" in told  # noqa: RUF001 - a dash
    assert "lr 0.1 0.3" in told


@pytest.mark.parametrize("query", ["", "?run=x", "?run=x&run=y"])
def test_a_comparison_of_nothing_says_what_to_do(query: str, pages: Any) -> None:
    answer = pages.get(f"/compare{query}")
    assert answer.status_code == 404
    told = Parsed(answer.get_data(as_text=True)).text
    assert "tick two runs" in told or "there is no run 'x'" in told


def test_a_report_draws_itself_in_a_place_of_its_own(pages: Any, store: Store) -> None:
    answer = pages.get(f"/runs/{store.runs['silent']}/files/safeguards/report.html")
    assert answer.mimetype == "text/html"
    seen = Parsed(answer.get_data(as_text=True))
    (frame,) = seen.of("iframe")
    assert frame["sandbox"] == "allow-scripts"
    assert frame["title"] == "safeguards/report.html"
    assert str(frame["srcdoc"]).startswith("<!DOCTYPE html><title>report</title><script>")
    assert seen.of("script") == []
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "frame-src 'none'", "form-action 'none'"} <= {*policy}
    assert "connect-src" not in str(policy)


def test_texts_are_shown_as_text(pages: Any, store: Store) -> None:
    answer = pages.get(f"/runs/{store.runs['good']}/files/safeguards/verdicts.jsonl")
    assert answer.mimetype == "text/plain"
    assert answer.get_data().count(b"\n") == 3


@pytest.mark.parametrize(
    "path", ["../../mlflow.db", "..%2f..%2fmlflow.db", "/etc/passwd", "safeguards/none.html", "%00"]
)
def test_only_files_that_the_run_lists_are_given(path: str, pages: Any, store: Store) -> None:
    answer = pages.get(f"/runs/{store.runs['good']}/files/{path}", follow_redirects=True)
    assert answer.status_code == 404
    assert b"SQLite" not in answer.get_data()


@pytest.mark.parametrize(
    "query", ["?page=0", "?page=99", "?page=-1", "?page=x", "?sort=nothing", "?down=x&sort=margin:"]
)
def test_no_query_breaks_the_table(query: str, pages: Any, store: Store) -> None:
    assert len(page(pages, f"/experiments/{store.experiment}{query}").of("th", scope="row")) == 5


def test_an_error_nobody_foresaw_tells_no_text(store: Store) -> None:
    class Broken(RunReader):
        def experiments(self) -> Any:
            raise RuntimeError("postgresql://u:canary@host")

    pages = review_app(Broken(store.uri)).test_client()
    answer = pages.get("/")
    assert answer.status_code == 500
    assert b"RuntimeError" in answer.get_data()
    assert b"canary" not in answer.get_data()


class Counting(RunReader):
    """Counts what is asked of the store, which gives more than its first answer once it is told to."""

    asked = 0
    goes_on = threading.Event()

    def rows(self, experiment_id: str, *, at_once: int) -> Any:
        for page in super().rows(experiment_id, at_once=at_once):
            Counting.asked += 1
            yield page
            assert Counting.goes_on.wait(100)

    def _repository(self, run: Any) -> Any:
        raise AssertionError("a list of runs opens no artifact")


def test_the_first_of_many_runs_are_seen_after_one_query(tmp_path: Path, empty_database: Path) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copyfile(empty_database, database)
    words = ("PASS", "WARN", "FAIL", "INCONCLUSIVE", "ERROR")
    many(database, "big", [{"gap": words[i % 5], "ratio": "PASS", "parity": words[i % 3]} for i in range(700)])
    reader = Counting(f"sqlite:///{database}")
    (experiment,) = [one for one in reader.experiments() if one.name == "big"]
    app = review_app(reader)
    address = f"/experiments/{experiment.experiment_id}"
    first = app.test_client().get(address).get_data(as_text=True)
    assert Counting.asked == 1
    assert len(first) < 200_000
    seen = Parsed(first)
    assert len(seen.of("th", scope="row")) == 100
    assert "older runs are still being read" in seen.text
    Counting.goes_on.set()
    runs = app.view_functions["review.runs"].__self__.list  # type: ignore[attr-defined]
    assert len(runs.settled(experiment.experiment_id).rows) == 700
    told = page(app.test_client(), f"{address}?outcome=ERROR&sort=started&down=0&page=2")
    assert "140 of 700 runs, page 2 of 2" in told.text
    assert [one["aria-label"] for one in told.of("input", type="checkbox")][-1] == "Compare run 699"
    assert Counting.asked == 7
