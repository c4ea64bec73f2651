"""Both namespaces of Lightning, loaded together and one without the other, each in a fresh interpreter."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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


CASES: dict[str, tuple[list[str], str | None, str | None, str, bool]] = {
    "pl": ([], "pytorch_lightning", None, "pytorch_lightning", False),
    "lightning": ([], "lightning.pytorch", None, "lightning.pytorch", False),
    "both": ([], "pytorch_lightning", "lightning.pytorch", "lightning.pytorch", True),
    "mixed": ([], None, None, "lightning.pytorch", False),
    "only pl": (["lightning"], None, None, "pytorch_lightning", True),
    "only lightning": (["pytorch_lightning"], None, None, "lightning.pytorch", True),
}


@pytest.fixture(scope="module")
def interpreters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """One per case, two at a time."""

    def interpret(name: str) -> subprocess.CompletedProcess[str]:
        blocked, first, also, named, both = CASES[name]
        return subprocess.run(
            [sys.executable, "-c", JOB.format(blocked=blocked, first=first, also=also, named=named, both=both)],
            cwd=tmp_path_factory.mktemp("place"),
            env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=240,
        )

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CASES, pool.map(interpret, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_safeguards_judge_in_every_namespace(
    name: str, interpreters: dict[str, subprocess.CompletedProcess[str]]
) -> None:
    done = interpreters[name]
    assert "OUTCOME PASS 40" in done.stdout, done.stderr[-3000:]
