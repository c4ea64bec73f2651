"""Both namespaces of Lightning, loaded together and one without the other, each in a process that had neither."""

import json
import sys

import pytest

from tests.helpers.launch import run

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

FORKS = """
import gc, json, os, sys
import fairlearn.metrics, torch._dynamo, torch.distributed.fsdp, torchmetrics  # nine tenths of the time, once
assert not {"lightning", "lightning_fabric", "pytorch_lightning", "safeguards"} & sys.modules.keys()
gc.freeze()
for name, code in json.loads(sys.argv[1]).items():
    child = os.fork()
    if child == 0:
        os.mkdir(name)
        os.chdir(name)
        said = os.open("said", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1)
        os.dup2(said, 2)
        exec(code, {})
        break
    os.waitpid(child, 0)
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
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By case what its process printed, and its errors."""
    place, names = tmp_path_factory.mktemp("place"), ("blocked", "first", "also", "named", "both")
    codes = {case: JOB.format(**dict(zip(names, given, strict=True))) for case, given in CASES.items()}
    run([sys.executable, "-c", FORKS, json.dumps(codes)], cwd=place)
    return {case: (place / case / "said").read_text() for case in CASES}


@pytest.mark.parametrize("name", CASES)
def test_safeguards_judge_in_every_namespace(name: str, said: dict[str, str]) -> None:
    assert "OUTCOME PASS 40" in said[name], said[name][-3000:]
