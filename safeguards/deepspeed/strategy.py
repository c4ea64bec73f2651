"""Lightning's DeepSpeed strategy on CPU processes: real ZeRO over gloo, for development and for tests.

The Trainer of ``pytorch_lightning`` and that of ``lightning.pytorch`` each refuse the other's strategies. So the one
class body below is joined with the strategy of each package that is installed (the second takes 0.1 s to import).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch

from safeguards.core.compat import installed_namespaces
from safeguards.core.errors import ConfigurationError
from safeguards.deepspeed import ops
from safeguards.deepspeed.checkpoints import VerifiedCheckpoints

__all__ = ["STRATEGIES", "VERIFIED", "register"]

OFFLOAD = {"offload_optimizer": True, "offload_parameters": True}
BUCKET_ELEMENTS = 20_000_000
"""Lightning's 200 million are sized for a GPU's memory: with them each process would set aside gigabytes."""


class _OnProcesses(VerifiedCheckpoints):
    """DeepSpeed's ZeRO on CPU processes of one machine: ``Trainer(accelerator="cpu", devices=2, strategy=...)``.

    Args:
        stage: what is split over the processes: 1 optimizer states, 2 gradients too, 3 weights too, the smallest
            included: DeepSpeed would keep those whole, and small networks would show none of what large ones do.
        timeout: how long a process waits for the others, a ``timedelta`` or seconds; None is torch's 30 minutes.
        config: a DeepSpeed configuration or the path of one, instead of the settings that ``stage`` gives.
        reduce_bucket_size: elements of one message of gradients; a buffer of this size is set aside.
        allgather_bucket_size: elements of one message of updated weights.
        options: ``resume_unverified``, see `VerifiedCheckpoints`, and any other of Lightning's ``DeepSpeedStrategy``.

    Raises:
        ConfigurationError: for another stage, when deepspeed is missing, or when the Trainer is not on the CPU.

    """

    _lightning: ClassVar[type[Any]]

    def __init__(
        self,
        *,
        stage: int = 2,
        timeout: timedelta | float | None = None,
        config: dict[str, Any] | Path | str | None = None,
        reduce_bucket_size: int = BUCKET_ELEMENTS,
        allgather_bucket_size: int = BUCKET_ELEMENTS,
        **options: Any,
    ) -> None:
        if stage not in (1, 2, 3) or isinstance(stage, bool):
            raise ConfigurationError(f"DeepSpeedCPUStrategy(stage={stage!r}): expected 1, 2 or 3")
        patience = _as_timedelta(timeout)
        ops.prepare()
        super().__init__(
            stage=stage,
            timeout=patience,
            config=config,
            reduce_bucket_size=reduce_bucket_size,
            allgather_bucket_size=allgather_bucket_size,
            **options,
        )
        if isinstance(self.config, dict):
            self.config.setdefault("zero_force_ds_cpu_optimizer", False)
            if config is None and stage == 3:
                self.config["zero_optimization"].setdefault("stage3_param_persistence_threshold", 0)

    def setup_environment(self) -> None:
        """What Lightning does behind its check for a GPU, with one numbered CPU device per process."""
        if type(self.accelerator).__name__ != "CPUAccelerator":
            raise ConfigurationError(
                f"DeepSpeedCPUStrategy on {type(self.accelerator).__name__}: write Trainer(accelerator='cpu'), "
                "or take Lightning's own strategy 'deepspeed_stage_2' for GPUs"
            )
        self.parallel_devices = [torch.device("cpu", index) for index in range(self.num_processes)]
        super(self._lightning, self).setup_environment()


def _as_timedelta(timeout: timedelta | float | None) -> timedelta:
    if timeout is None:
        default: timedelta = torch.distributed.constants.default_pg_timeout
        return default
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if not seconds > 0:
        raise ConfigurationError(f"DeepSpeedCPUStrategy(timeout={timeout!r}): expected more than 0 seconds")
    return timedelta(seconds=seconds)


def _strategies() -> Mapping[str, type[Any]]:
    """One class per Lightning package that is installed, as it is called in `safeguards.deepspeed`."""
    names = {"pytorch_lightning": "DeepSpeedCPUStrategy", "lightning.pytorch": "LightningDeepSpeedCPUStrategy"}
    return {
        package: _joined(_strategies_of(package).DeepSpeedStrategy, names[package])
        for package in installed_namespaces()
    }


def _verified() -> Mapping[str, type[Any]]:
    """Lightning's own strategy of each package that is installed, for GPUs, with checkpoints that are checked."""
    names = {
        "pytorch_lightning": "VerifiedDeepSpeedStrategy",
        "lightning.pytorch": "LightningVerifiedDeepSpeedStrategy",
    }
    members = {"__doc__": VerifiedCheckpoints.__doc__, "__module__": "safeguards.deepspeed"}
    return {
        package: type(names[package], (VerifiedCheckpoints, _strategies_of(package).DeepSpeedStrategy), members)
        for package in installed_namespaces()
    }


def _strategies_of(package: str) -> Any:
    return import_module(f"{package}.strategies")


def _joined(base: type[Any], name: str) -> type[Any]:
    members = {"_lightning": base, "__doc__": _OnProcesses.__doc__, "__module__": "safeguards.deepspeed"}
    return type(name, (_OnProcesses, base), members)


STRATEGIES = _strategies()
VERIFIED = _verified()


def register() -> None:
    """Name the strategies ``deepspeed_cpu_stage_1``, ``_2``, ``_3`` and ``_3_offload`` in each package's registry, and
    ``deepspeed_verified_stage_1``, ``_2`` and ``_3`` for GPUs.
    """
    for package, strategy in STRATEGIES.items():
        registry = _strategies_of(package).StrategyRegistry
        for stage in (1, 2, 3):
            registry.register(f"deepspeed_cpu_stage_{stage}", strategy, override=True, stage=stage)
            registry.register(f"deepspeed_verified_stage_{stage}", VERIFIED[package], override=True, stage=stage)
        registry.register("deepspeed_cpu_stage_3_offload", strategy, override=True, stage=3, **OFFLOAD)
