"""The configuration of a LightningCLI job, kept beside its verdicts."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from safeguards.core.compat import installed_namespaces, loaded_namespaces
from safeguards.core.files import local_root
from safeguards.core.redact import known_secrets, redact_tree

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer
    from pytorch_lightning.cli import SaveConfigCallback
else:
    _names = loaded_namespaces() or installed_namespaces()
    SaveConfigCallback = importlib.import_module(f"{_names[0]}.cli").SaveConfigCallback

__all__ = ["SaveConfig"]


class SaveConfig(SaveConfigCallback):
    """``LightningCLI(save_config_callback=SaveConfig)``: the configuration without secrets, as an artifact.

    Lightning's own callback needs a local log directory, which an MLflow logger does not have. Without a logger that
    keeps texts, the file goes to the trainer's ``default_root_dir``.
    """

    def __init__(self, parser: Any, config: Any, **options: Any) -> None:
        super().__init__(parser, config, **{**options, "save_to_log_dir": False})

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Rank 0, once, when the first stage is set up."""
        text = self._text()
        keepers = [logger for logger in trainer.loggers if hasattr(logger, "keep_text")]
        for logger in keepers:
            logger.keep_text(text, self.config_filename)
        if not keepers:
            folder = local_root(trainer.default_root_dir)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / self.config_filename).write_text(text, encoding="utf-8")

    def _text(self) -> str:
        import yaml

        tree = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        return yaml.safe_dump(redact_tree(tree, known_secrets(os.environ)), sort_keys=False, allow_unicode=True)
