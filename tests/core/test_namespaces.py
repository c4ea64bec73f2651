"""Both namespaces of Lightning, loaded together and one without the other, each in a fresh interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOB = """
import importlib, sys
blocked, first, also, named = {blocked!r}, {first!r}, {also!r}, {named!r}
for name in blocked:
    sys.modules[name] = None
if first:
    importlib.import_module(first)
if also:
    importlib.import_module(also)
import torch
from torch.utils.data import DataLoader, TensorDataset
import safeguards
from safeguards import BatchFields, FairnessCheck, Limit, verdicts
lightning = importlib.import_module(named)
assert {both!r} == all(issubclass(FairnessCheck, importlib.import_module(n + ".callbacks").Callback)
                       for n in ("pytorch_lightning", "lightning.pytorch") if n.split(".")[0] not in blocked)

class Net(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(2, 2)
    def forward(self, x):
        return self.net(x)
    def training_step(self, batch):
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])
    def validation_step(self, batch):
        self.log("loss", self.training_step(batch))
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

data = DataLoader(TensorDataset(torch.randn(40, 2), torch.arange(40) % 2), batch_size=8)
fields = BatchFields(inputs=0, target=1, groups={{"half": ["a", "b"] * 20}})
guard = FairnessCheck(fields=fields, limits={{"worst_group_accuracy": Limit(at_least=0.0)}})
trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                            enable_progress_bar=False, enable_model_summary=False, callbacks=[guard])
trainer.fit(Net(), data, data)
print("OUTCOME", verdicts(trainer)[-1].outcome, verdicts(trainer)[-1].n)
"""


@pytest.mark.parametrize(
    ("blocked", "first", "also", "named", "both"),
    [
        ([], "pytorch_lightning", None, "pytorch_lightning", False),
        ([], "lightning.pytorch", None, "lightning.pytorch", False),
        ([], "pytorch_lightning", "lightning.pytorch", "lightning.pytorch", True),
        ([], None, None, "lightning.pytorch", False),
        (["lightning"], None, None, "pytorch_lightning", True),
        (["pytorch_lightning"], None, None, "lightning.pytorch", True),
    ],
    ids=["pl", "lightning", "both", "mixed", "only pl", "only lightning"],
)
def test_safeguards_judge_in_every_namespace(
    blocked: list[str], first: str | None, also: str | None, named: str, both: bool, tmp_path: Path
) -> None:
    job = JOB.format(blocked=blocked, first=first, also=also, named=named, both=both)
    done = subprocess.run(
        [sys.executable, "-c", job],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "OUTCOME PASS 40" in done.stdout, done.stderr[-3000:]
