"""The imports of a file, read from its source."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[2] / "safeguards"


@dataclass(frozen=True)
class Import:
    """One imported module; ``runs`` is whether merely loading the file loads it."""

    module: str
    line: int
    runs: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    @property
    def room(self) -> str | None:
        """The room of the library that it belongs to; None for other packages and for the library's own face."""
        parts = self.module.split(".")
        return parts[1] if parts[0] == "safeguards" and len(parts) > 1 and (LIBRARY / parts[1]).is_dir() else None


@cache
def imports_of(path: Path) -> list[Import]:
    return list(_walk(ast.parse(path.read_text()), runs=True))


def _walk(node: ast.AST, *, runs: bool) -> list[Import]:
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            found += [Import(name.name, child.lineno, runs) for name in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: relative imports hide the room"
            found += [Import(f"{child.module}.{name.name}", child.lineno, runs) for name in child.names]
        else:
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_type_checking(
                child
            )
            found += _walk(child, runs=runs and not deferred)
    return found


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
