"""What the processes of a job do at its end."""

from __future__ import annotations

import torch

__all__ = ["leave_group"]


def leave_group() -> None:
    """All processes, when nothing is left to say between them: one that exits while gloo's threads work may abort."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
