"""Training ends at the next step under any minima, and the minima come back."""

from types import SimpleNamespace

import pytest

from safeguards.core.stopping import Stop
from tests.helpers.toys import Net, loader, trainer


def fake(min_epochs, min_steps):
    loop = SimpleNamespace(min_epochs=min_epochs, epoch_loop=SimpleNamespace(min_steps=min_steps))
    return SimpleNamespace(fit_loop=loop, should_stop=False)


def minima(trainer):
    return trainer.fit_loop.min_epochs, trainer.fit_loop.epoch_loop.min_steps


@pytest.mark.parametrize("given", [(5, None), (None, 7), (0, None), (3, 4)])
def test_minima_are_lifted_and_come_back(given):
    trainer, stop = fake(*given), Stop()
    stop.at_next_step(trainer)
    stop.at_next_step(trainer)
    assert trainer.should_stop
    assert minima(trainer) == (0, None)
    stop.restore(trainer)
    assert minima(trainer) == given


@pytest.mark.parametrize("first_back", [0, 1])
def test_two_that_stop_one_trainer_leave_it_as_the_user_set_it(first_back):
    trainer, stops = fake(5, 6), (Stop(), Stop())
    for stop in stops:
        stop.at_next_step(trainer)
    stops[first_back].restore(trainer)
    stops[1 - first_back].restore(trainer)
    assert minima(trainer) == (5, 6)


def test_a_fit_with_minima_ends_after_the_epoch_that_asked(tmp_path):
    import pytorch_lightning as pl

    class Asks(pl.Callback):
        stop = Stop()

        def on_validation_end(self, trainer, pl_module):
            self.stop.at_next_step(trainer)

        def on_train_end(self, trainer, pl_module):
            self.stop.restore(trainer)

    fitted = trainer(tmp_path, Asks(), max_epochs=4, min_epochs=3, num_sanity_val_steps=0)
    fitted.fit(Net(), loader(), loader())
    assert fitted.current_epoch == 1
    assert fitted.fit_loop.min_epochs == 3
