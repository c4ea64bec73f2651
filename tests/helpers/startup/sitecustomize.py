"""Python reads this at each start, for this folder is on the path of whatever a test starts: see children.py.

Torch keeps its default in one module, which torch and Lightning copy from when they are imported.

Python looks for garbage after each 700 new objects. Among the million that heavy libraries make when they are imported
it finds none, and takes a seventh of the time.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

gc.set_threshold(50_000, 20, 100)


class Shorten:
    """Finds torch's default as the path does, and shortens it once it is there."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "torch.distributed.constants" or "TEST_GROUP_SECONDS" not in os.environ:
            return None
        spec = PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            module.__dict__["default_pg_timeout"] = timedelta(seconds=float(os.environ["TEST_GROUP_SECONDS"]))

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Shorten)
