"""The review page in headless Chromium: no script out of the store runs, and the keyboard does what the page says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safeguards.card import review_app
from safeguards.card.server import review_server
from safeguards.tracking import RunReader
from tests.card.conftest import Store
from tests.helpers.browser import browser, opened
from tests.helpers.markup import Parsed

Open = Callable[..., Parsed]


@contextmanager
def served(store: Store, more: str, *, to: str = "review.js", asked: list[str] | None = None) -> Iterator[str]:
    """The pages on a port of their own; ``more`` is added ``to`` a file, by default their script, which is the only one
    that they may run. ``asked`` gets every address that is asked for.
    """
    app: Any = review_app(RunReader(store.uri))

    def with_more(environment: Any, start: Any) -> Any:
        if asked is not None:
            asked.append(f"{environment['PATH_INFO']}?{environment['QUERY_STRING']}")
        body = app(environment, start)
        return [b"".join(body) + more.encode()] if environment["PATH_INFO"].endswith(to) else body

    def start_plainly(environment: Any, start: Any) -> Any:
        """The length of the script is another one now."""

        def begin(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start(status, [one for one in headers if one[0] != "Content-Length"], *rest)

        return with_more(environment, begin)

    with review_server(start_plainly, host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@browser
def test_no_script_out_of_the_store_runs(store: Store, tmp_path: Path) -> None:
    with served(store, "document.title += ' (own script ran)';") as place:
        for number, address in enumerate((f"/experiments/{store.experiment}", f"/runs/{store.runs['hostile']}", "/")):
            seen = opened(f"{place}{address}", tmp_path / str(number))
            assert "pwned" not in seen.title
            assert "canary" not in seen.text
            assert seen.title.endswith("(own script ran)")


KEYS = """
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const told = [];
const tell = () => told.push(document.activeElement.textContent.trim() || document.activeElement.name);
document.querySelector("table.grid tbody th a").focus();
for (const way of ["Down", "Up", "Up", "Right", "Down", "Left", "Left"]) { press(`Arrow${way}`); tell(); }
document.title = told.join("|");
"""


@browser
def test_arrow_keys_move_between_the_cells(store: Store, tmp_path: Path) -> None:
    """From the first run down, up, to the head, right to the next head; below that there are no links; then left."""
    with served(store, KEYS) as place:
        seen = opened(f"{place}/experiments/{store.experiment}?sort=name&down=0&text=od", tmp_path)
    assert seen.title == "nobody spoke|good|Run|Started (UTC)|Started (UTC)|Run|Run"


LIVE = """
const type = async () => {
  document.querySelector("input[name=run]").checked = true;
  const field = document.getElementById("text");
  field.value = "poor";
  field.dispatchEvent(new Event("input", { bubbles: true }));
  const told = () => document.getElementById("status").textContent.trim();
  for (let turn = 0; turn < 80 && told() !== "1 of 5 runs"; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  document.title = `${told()}|${location.search}`;
};
type();
"""

SLOWLY = """
const quick = window.fetch;
window.fetch = async (address, ...rest) => {
  if (address.includes("text=")) await new Promise((resolve) => setTimeout(resolve, 2500));
  return quick(address, ...rest);
};
document.getElementById("list").dataset.partial = "";
document.querySelector("input[name=run]").dispatchEvent(new Event("change", { bubbles: true }));
"""


@browser
def test_the_filter_answers_while_one_types_and_says_so(store: Store, tmp_path: Path) -> None:
    with served(store, LIVE) as place:
        seen = opened(f"{place}/experiments/{store.experiment}", tmp_path)
    told, _, query = seen.title.partition("|")
    assert told == "1 of 5 runs"
    assert "text=poor" in query
    assert len(seen.of("th", scope="row")) == 1
    assert seen.of("button", id="compare")[0].get("disabled") == ""


@browser
def test_a_list_that_fills_itself_throws_no_answer_of_the_filter_away(store: Store, tmp_path: Path) -> None:
    """The answer takes longer than the list waits before it is asked for again."""
    with served(store, SLOWLY + LIVE) as place:
        seen = opened(f"{place}/experiments/{store.experiment}", tmp_path)
    assert seen.title.startswith("1 of 5 runs|?text=poor")


HEARD = "<script>onmessage = (said) => { document.title = said.data; };</script>"


@browser
def test_a_report_cannot_read_these_pages(store: Store, tmp_path: Path) -> None:
    """It runs, and it is in an origin of its own."""
    with served(store, HEARD, to="report.html") as place:
        seen = opened(f"{place}/runs/{store.runs['silent']}/files/safeguards/report.html", tmp_path)
    assert seen.title == "drawn null"


@browser
def test_a_report_opens_no_address_to_which_it_could_send_what_it_holds(store: Store, tmp_path: Path) -> None:
    asked: list[str] = []
    with served(store, "", asked=asked) as place:
        seen = opened(f"{place}/runs/{store.runs['silent']}/files/safeguards/away.html", tmp_path)
    assert seen.title.startswith("safeguards/away.html")
    assert [one for one in asked if "/files/" in one]
    assert not [one for one in asked if "rows=" in one]
