"""DeepSpeed on CPU processes, and weights read whole from under ZeRO. Importing this registers the strategies.

``DeepSpeedCPUStrategy`` belongs to ``pytorch_lightning`` where that is installed, ``LightningDeepSpeedCPUStrategy`` to
``lightning.pytorch``. The registered names, as in ``Trainer(strategy="deepspeed_cpu_stage_2")``, work in both. For GPUs
``VerifiedDeepSpeedStrategy`` is Lightning's own with the same care for its checkpoints.
"""

from safeguards.core.partition import is_partitioned
from safeguards.deepspeed.checkpoints import VerifiedCheckpoints
from safeguards.deepspeed.ops import compiler, say_what_device, stale_locks
from safeguards.deepspeed.strategy import STRATEGIES, VERIFIED, register
from safeguards.deepspeed.weights import full_state_dict

__all__ = [
    "DeepSpeedCPUStrategy",
    "LightningDeepSpeedCPUStrategy",
    "LightningVerifiedDeepSpeedStrategy",
    "VerifiedCheckpoints",
    "VerifiedDeepSpeedStrategy",
    "compiler",
    "full_state_dict",
    "is_partitioned",
    "stale_locks",
]

DeepSpeedCPUStrategy = STRATEGIES.get("pytorch_lightning") or STRATEGIES["lightning.pytorch"]
LightningDeepSpeedCPUStrategy = STRATEGIES.get("lightning.pytorch", DeepSpeedCPUStrategy)
VerifiedDeepSpeedStrategy = VERIFIED.get("pytorch_lightning") or VERIFIED["lightning.pytorch"]
LightningVerifiedDeepSpeedStrategy = VERIFIED.get("lightning.pytorch", VerifiedDeepSpeedStrategy)

say_what_device()
register()
