"""The review page as a Flask application: read only, by GET and HEAD, for the hosts that were named."""

from __future__ import annotations

import logging
import mimetypes
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from safeguards.card.champions import ModelViews
from safeguards.card.compare import compared, settings
from safeguards.card.decoding import html_text
from safeguards.card.pages import filled
from safeguards.card.table import SILENT, Asked, arranged, measures_of, tally
from safeguards.core.report import latest, overall
from safeguards.core.verdict import Verdict
from safeguards.tracking import Experiment, RunList, RunReader, RunStory
from safeguards.tracking.store import said

if TYPE_CHECKING:
    from flask import Blueprint, Flask, Response

__all__ = ["review_app", "review_pages"]

log = logging.getLogger(__name__)

LOCAL = ("localhost", "127.0.0.1", "[::1]")
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "frame-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of the page around a report, which its frame inherits: it may draw itself, and no address opens in the frame."""
FILE_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

SEEN = ("text/plain", "image/png", "image/svg+xml", "image/jpeg", "application/json")
TEXTS = (".jsonl", ".json", ".yaml", ".yml", ".md", ".log", ".csv", ".txt")
READ = ("GET", "HEAD")
GATE = "safeguards.gate"
"""The experiment in which the gate keeps its histories; they have pages of their own."""


def review_app(reader: RunReader, *, hosts: Sequence[str] = ()) -> Flask:
    """The pages alone. ``hosts`` are names in addition to those of this machine under which they may be asked for:
    any other ``Host`` is refused, or a page from elsewhere could point its own name at this server and read it.
    """
    from flask import Flask, abort, request

    app = Flask("safeguards.review", static_folder=None)
    known = {*LOCAL, *(host.lower() for host in hosts)}

    @app.before_request
    def only_read_by_known_names() -> None:
        if request.method not in READ:
            abort(405)
        if _name(request.headers.get("Host", "")) not in known:
            abort(403)

    app.register_blueprint(review_pages(reader))
    app.after_request(_guarded)
    app.register_error_handler(Exception, _told)
    return app


def review_pages(reader: RunReader) -> Blueprint:
    """The same as a part of another application, such as MLflow's server."""
    from flask import Blueprint

    pages = Blueprint("review", __name__, static_folder="static", static_url_path="/static")
    views, of_models = _Views(reader), ModelViews(reader)
    for rule, view in (
        ("/", views.experiments),
        ("/experiments/<experiment_id>", views.runs),
        ("/runs/<run_id>", views.run),
        ("/runs/<run_id>/files/<path:path>", views.file),
        ("/compare", views.compare),
        ("/models", of_models.models),
        ("/models/<name>", of_models.model),
        ("/models/<name>/<int:version>", of_models.card),
    ):
        pages.add_url_rule(rule, view.__name__, view, methods=["GET"], provide_automatic_options=False)
    pages.after_request(_guarded)
    pages.register_error_handler(LookupError, _told)
    return pages


def _name(host: str) -> str:
    """A ``Host`` header without its port."""
    return re.sub(r":[0-9]*$", "", host).lower()


class _Views:
    """One method for each address."""

    def __init__(self, reader: RunReader) -> None:
        self.reader, self.list = reader, RunList(reader)

    def experiments(self) -> Any:
        from flask import redirect, url_for

        found = [one for one in self.reader.experiments() if one.name != GATE]
        if len(found) == 1:
            return redirect(url_for("review.runs", experiment_id=found[0].experiment_id))
        return _page("experiments.html", experiments=found)

    def runs(self, experiment_id: str) -> str:
        from flask import request

        experiment = self._experiment(experiment_id)
        asked = Asked.of(request.args)
        listing = self.list.of(experiment_id)
        return _page(
            "runs.html",
            experiment=experiment,
            asked=asked,
            listing=listing,
            sheet=arranged(listing.rows, asked),
            measures=measures_of(listing.rows),
            endings=sorted({row.ended for row in listing.rows if row.ended}),
            tally=tally(listing.rows),
            silent=SILENT,
        )

    def run(self, run_id: str) -> str:
        story = self.reader.story(run_id)
        last = latest(story.verdicts)
        return _page("run.html", story=story, last=last, overall=overall(story.verdicts), trails=_trails(story, last))

    def compare(self) -> str:
        from flask import request

        asked = request.args.getlist("run")[:2]
        stories = [self.reader.story(run_id) for run_id in asked]
        if len(stories) < 2:
            raise LookupError("to compare, tick two runs in the table")
        return _page(
            "compare.html", one=stories[0], other=stories[1], lines=compared(*stories), settings=settings(*stories)
        )

    def file(self, run_id: str, path: str) -> Response:
        return _file(self.reader.artifact(run_id, path), path)

    def _experiment(self, experiment_id: str) -> Experiment:
        for one in self.reader.experiments():
            if one.experiment_id == experiment_id:
                return one
        raise LookupError(f"there is no experiment {experiment_id!r}")


def _trails(story: RunStory, last: Sequence[Verdict]) -> list[list[Verdict]]:
    """For each of the last verdicts, all of the same measure, stage and loader, in the order in which they came."""
    key: Callable[[Verdict], tuple[Any, ...]] = lambda one: (  # noqa: E731 - used twice below
        one.safeguard,
        one.measure,
        one.moment.stage,
        one.moment.loader,
    )
    return [[one for one in story.verdicts if key(one) == key(verdict)] for verdict in last]


def _page(template: str, **values: Any) -> str:
    from flask import url_for

    return filled(template, url_for=url_for, **values)


def _file(content: bytes, path: str) -> Response:
    """Reports are shown where they can do no harm; what a browser need not show is offered for keeping."""
    from flask import Response

    kind = "text/plain" if path.endswith(TEXTS) else mimetypes.guess_type(path)[0] or ""
    if kind == "text/html":
        return _report(content, path)
    response = Response(content, mimetype=kind if kind in SEEN else "application/octet-stream")
    response.headers["Content-Security-Policy"] = FILE_POLICY
    if kind not in SEEN:
        response.headers["Content-Disposition"] = "attachment"
    return response


def _report(content: bytes, path: str) -> Response:
    """In a frame of its own, without the origin of these pages; on its own it could open an address and so send what it
    holds.
    """
    from flask import Response

    page = filled("report.html", path=path, content=html_text(content))
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


def _guarded(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _told(error: Exception) -> tuple[str, int, dict[str, str]]:
    """What went wrong as a page. An error that nobody foresaw says its kind alone: its text may quote an address with
    its password.
    """
    from flask import url_for

    code = getattr(error, "code", None)
    if isinstance(error, LookupError):
        code, text = 404, str(error.args[0] if error.args else error)
    elif isinstance(code, int):
        text = str(getattr(error, "name", "refused"))
    else:
        log.error("a page could not be made: %s", said(error))
        code, text = 500, f"the page could not be made ({type(error).__name__}); this server's log says more"
    return filled("problem.html", url_for=url_for, text=text), code, {"Allow": ", ".join(READ)} if code == 405 else {}
