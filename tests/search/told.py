"""A search whose trials are told by hand."""

from safeguards.search import Ending, Search, Space

SPACE = Space.read(
    {
        "rate": {"type": "float", "low": 0.0, "high": 1.0},
        "kind": {"type": "categorical", "choices": ["a", "b"]},
        "more": {"type": "int", "low": 1, "high": 3, "when": {"kind": "b"}},
    }
)


def search(storage=None, **more):
    given = {"space": SPACE, "objectives": {"accuracy": "maximize"}, "constraints": ["toy/gap"], "sampler": "random"}
    return Search(**{**given, "storage": storage, **more})


def complete(value=0.5, gap=-0.1, **more):
    return Ending(state="complete", values={"accuracy": value}, violations={"toy/gap": gap}, **more)
