import pytest
import pytorch_lightning as pl
import torch
from torch.nn import functional

from pipelines.data import DiabetesStudy, Digits
from pipelines.models import ImageNet8, TabularNet
from tests.helpers.toys import trainer


def fit(model, data, tmp_path, epochs):
    pl.seed_everything(0)
    job = trainer(tmp_path, max_epochs=epochs)
    job.fit(model, datamodule=data)
    return {name: float(value) for name, value in job.callback_metrics.items()}


@pytest.mark.parametrize(
    ("build", "data", "epochs", "accuracy"),
    [(TabularNet, DiabetesStudy(), 5, 0.65), (ImageNet8, Digits(), 3, 0.85)],
    ids=["tabular", "image"],
)
def test_a_network_learns_and_logs(build, data, epochs, accuracy, tmp_path):
    model = build(features=data.features) if build is TabularNet else build()
    metrics = fit(model, data, tmp_path, epochs)
    assert metrics["val_accuracy"] > accuracy
    assert {"train_loss_epoch", "val_loss"} <= set(metrics)


def test_the_validation_step_gives_its_loss_and_logits():
    data = DiabetesStudy()
    model = TabularNet(features=data.features).eval()
    model.log_dict = lambda *args, **kwargs: None
    batch = next(iter(data.val_dataloader()))
    found = model.validation_step(batch, 0)
    assert torch.equal(found["logits"], model(batch["inputs"]))
    assert found["loss"] == functional.cross_entropy(found["logits"], batch["target"])
    assert found["logits"].shape == (32, 2)
