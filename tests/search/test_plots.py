"""Pictures: what is drawn where, read back from the figure; and that nothing of a name is acted on."""

import warnings

import pytest

from safeguards.search import drawing, plots
from safeguards.search.drawing import shown, shown_names, wrapped
from safeguards.search.plots import draw_front, draw_history, draw_importance, draw_limits
from safeguards.search.story import Story, Tried

PNG = b"\x89PNG\r\n\x1a\n"
HOSTILE = "<script>$\\frac{x}{$_" + "long." * 40 + "\u202e\n\u6f22\x00e\u0301" + "\u0336" * 30


def story(tried, objectives=("accuracy",), constraints=("toy/gap",), name="study"):
    ways = dict(zip(objectives, ["maximize", "minimize", "minimize"], strict=False))
    return Story(
        identity="x", name=name, objectives=ways, constraints=constraints, unmeasured=1000.0, tried=list(tried)
    )


def complete(number, values, violations, names=("accuracy", "seconds"), constraints=("toy/gap",)):
    return Tried(
        number=number,
        state="complete",
        values=dict(zip(names, values, strict=False)),
        violations=dict(zip(constraints, violations, strict=True)),
    )


TRIED = [
    complete(0, [0.6], [-0.2]),
    complete(1, [0.9], [0.1]),
    Tried(number=2, state="pruned", violations={"toy/gap": 0.1}),
    Tried(number=3, state="failed", reason="x"),
    complete(4, [0.5], [-0.1]),
    complete(5, [0.8], [1000.0]),
    complete(6, [0.7], [0.0]),
    Tried(number=7, state="lost", reason="its search was killed"),
]


@pytest.fixture
def figure(monkeypatch):
    """The figure of the next picture."""
    made = []

    def keep(width, height, draw):
        def both(one):
            made.append(one)
            draw(one)

        return drawing.drawn(width, height, both)

    monkeypatch.setattr(plots, "drawn", keep)
    return made


def spots(axes, label):
    (found,) = [one for one in axes.collections if one.get_label() == label]
    return [tuple(map(float, spot)) for spot in found.get_offsets().data]


def line(axes, label):
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return list(zip(map(float, found.get_xdata()), map(float, found.get_ydata()), strict=True))


def test_the_history_shows_each_trial_once_and_the_best_feasible_so_far(figure):
    assert draw_history(story(TRIED)).startswith(PNG)
    panel, strip = figure[0].axes
    assert spots(panel, "feasible") == [(0, 0.6), (4, 0.5), (6, 0.7)]
    assert spots(panel, "infeasible") == [(1, 0.9), (5, 0.8)]
    assert line(panel, "best feasible so far") == [(0, 0.6), (4, 0.6), (6, 0.7), (7, 0.7)]
    assert [[tuple(spot) for spot in one.get_offsets().data] for one in strip.collections] == [[(2, 0)], [(3, 1)]]
    assert figure[0].get_suptitle() == "study: 7 trials, 3 feasible"


def test_the_best_of_what_is_minimized_is_the_smallest(figure):
    tried = [complete(number, [0.5, seconds], [0.0]) for number, seconds in enumerate([3.0, 5.0, 2.0])]
    draw_history(story(tried, ("accuracy", "seconds")))
    assert line(figure[0].axes[1], "best feasible so far") == [(0, 3.0), (1, 3.0), (2, 2.0), (2, 2.0)]


def test_the_limits_mark_what_was_chosen_and_what_would_have_been(figure):
    draw_limits(story(TRIED))
    (panel,) = figure[0].axes
    assert spots(panel, "feasible") == [(-0.2, 0.6), (-0.1, 0.5), (0.0, 0.7)]
    assert spots(panel, "infeasible") == [(0.1, 0.9)]
    assert spots(panel, "best feasible") == [(0.0, 0.7)]
    assert spots(panel, "best without limits") == [(0.1, 0.9)]
    assert panel.get_title() == "toy/gap\n1 not measured"
    left, right = panel.get_xlim()
    assert left < 0 < right


def test_the_front_joins_feasible_trials_only(figure):
    tried = [
        complete(0, [0.9, 4.0], [0.3]),
        complete(1, [0.8, 5.0], [-0.1]),
        complete(2, [0.7, 3.0], [0.0]),
        complete(3, [0.6, 4.5], [-0.1]),
    ]
    draw_front(story(tried, ("accuracy", "seconds")))
    (panel,) = figure[0].axes
    assert line(panel, "Pareto front, feasible") == [(3.0, 0.7), (5.0, 0.8)]
    assert line(panel, "Pareto front without limits") == [(3.0, 0.7), (4.0, 0.9)]
    assert spots(panel, "infeasible") == [(4.0, 0.9)]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="two objectives"):
        draw_front(story(TRIED))
    with pytest.raises(ValueError, match="no constraint"):
        draw_limits(story([], constraints=()))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_trials_are_drawn_too(count):
    names = ("accuracy", "seconds")
    one = story([complete(number, [0.5, 2.0], [1000.0]) for number in range(count)], names)
    assert all(draw(one).startswith(PNG) for draw in (draw_history, draw_front, draw_limits))


def test_the_importance_is_a_table_with_the_weightiest_parameter_on_top(figure):
    draw_importance({"accuracy": {"a": 0.2, "b": 0.8}, "toy/gap": {"a": 0.3, "b": 0.7}}, title="study")
    (axes,) = figure[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["accuracy", "toy/gap"]
    assert [text.get_text() for text in axes.texts] == ["80%", "70%", "20%", "30%"]


def test_a_name_is_drawn_as_it_is_written_and_never_read(monkeypatch, figure):
    """TeX and formulas would run a program or raise; the user's own style must not bring them back."""
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    names, limits = (HOSTILE, HOSTILE + "2"), (HOSTILE, "a/b", "c/d", "e/f")
    tried = [complete(n, [0.1 * n, 1.0], [-0.1, 0.1, 0.2, 1000.0], names, limits) for n in range(4)]
    one = story(tried, names, limits, name=HOSTILE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(draw(one).startswith(PNG) for draw in (draw_history, draw_front, draw_limits))
        assert draw_importance({HOSTILE: {HOSTILE: 0.5, HOSTILE + "2": 0.5}}, title=HOSTILE).startswith(PNG)
    assert matplotlib.rcParams["text.usetex"] is True
    lines = [line for one in figure for axes in one.axes for line in axes.get_ylabel().split("\n")]
    assert max(map(len, lines)) <= 44


def test_a_name_that_does_not_fit_takes_two_lines():
    assert wrapped("val_accuracy", 28) == "val_accuracy"
    assert wrapped("safeguard/adversarial/robust_accuracy", 28) == "safeguard/adversarial/\nrobust_accuracy"
    assert wrapped("x" * 30, 28) == "x" * 28 + "\n" + "x" * 2
    assert [len(line) for line in wrapped("a" * 100, 28).split("\n")] == [28, 28]
    assert [len(line) for line in wrapped("a/" + "b" * 54, 28).split("\n")] == [28, 28]


def test_the_limits_have_the_front_of_value_and_violation(figure):
    tried = [
        complete(n, [value], [gap]) for n, (value, gap) in enumerate([(0.5, -0.2), (0.9, 0.1), (0.4, 0.0), (0.7, -0.1)])
    ]
    draw_limits(story(tried))
    (axes,) = figure[0].axes
    (front,) = [line for line in axes.get_lines() if line.get_label() == "Pareto front"]
    assert front.get_xydata().tolist() == [[-0.2, 0.5], [-0.1, 0.7], [0.0, 0.7], [0.1, 0.9]]


def test_long_names_keep_their_ends_and_stay_apart():
    assert shown("model.init_args.rate") == "model.init_args.rate"
    assert shown("a" * 10 + "middle" + "b" * 10, 9) == "aaa\u2026bbbbb"
    assert shown("a\nb\u202ec\x00") == "a\u00b7b\u00b7c\u00b7"
    assert shown("e\u0301\u0336\u0336") == "\u00e9"
    assert shown("") == "\u00b7"
    found = shown_names(["x" * 100, "x" * 101, "y"], 12)
    assert len(set(found.values())) == 3
    assert max(map(len, found.values())) <= 12
