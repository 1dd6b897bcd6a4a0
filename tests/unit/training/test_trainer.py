import shutil
import signal

import pytest
import torch
import training_case
from pydantic import ValidationError
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from tokcom_phy.data.formats import Caption
from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.system import LinkUse
from tokcom_phy.radio import load_link
from tokcom_phy.training.batches import EpochSampler
from tokcom_phy.training.finetune import finetune
from tokcom_phy.training.settings import AlignmentSettings, FinetuningSettings, LoraSettings
from tokcom_phy.training.trainer import LinkSampler, TrainingLogs, train
from tokcom_phy.utils.errors import UserError


class Line(nn.Module):
    """Fits y = 3 x by one weight; ``broken`` makes its loss NaN."""

    def __init__(self, broken: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.broken = broken

    def forward(self, x, sample_indices):
        loss = (self.weight * x - 3 * x).square().mean()
        return {"loss": loss * float("nan") if self.broken else loss}


def collate(captions, part):
    return {"x": torch.tensor([[float(c.text)] for c in captions[part]])}


ITEMS = [Caption(f"v{i}", str(i / 8)) for i in range(1, 17)]


def settings(**changes):
    return FinetuningSettings(**{"steps": 60, "batch": 8, "learning_rate": 0.2, "final_learning_rate": 0.01, **changes})


def test_every_step_has_its_loss_and_training_converges():
    line = Line()
    told = []
    losses = train(line, ITEMS, collate, settings(), 0, lambda done, of, loss: told.append((done, of)))
    assert len(losses) == 60
    assert told == [(i, 60) for i in range(1, 61)]
    assert line.weight.item() == pytest.approx(3.0, abs=0.05)


def test_same_seed_same_losses_other_seed_other_order():
    runs = [train(Line(), ITEMS, collate, settings(), seed) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_too_few_items_for_a_batch_are_refused():
    with pytest.raises(UserError, match="16 training items do not fill a batch of 17"):
        train(Line(), ITEMS, collate, settings(batch=17), 0)


def test_a_diverged_training_ends_at_once_and_is_not_kept():
    told = []
    with pytest.raises(UserError, match="diverged: the loss is nan at step 1"):
        train(Line(broken=True), ITEMS, collate, settings(steps=9), 0, lambda done, of, loss: told.append(done))
    assert told == [1]


class Interrupted(Exception):
    pass


def interrupt_at(step):
    def on_progress(done, of, loss):
        if done == step:
            raise Interrupted

    return on_progress


class Noisy(Line):
    """Draws from the global generator in every step, as dropout does, and remembers where its examples stood."""

    def __init__(self):
        super().__init__()
        self.sample_indices = []

    def forward(self, x, sample_indices):
        self.sample_indices += sample_indices
        return super().forward(x * torch.rand_like(x), sample_indices)


CHECKPOINT = ["model.safetensors", "optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json", "files.json"]


def damage_file(file, how):
    if how == "deleted":
        file.unlink()
    elif how == "truncated":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


@pytest.fixture(scope="module")
def whole():
    """A training of twelve steps that nothing stops, and its losses."""
    module = Noisy()
    return module, train(module, ITEMS, collate, settings(steps=12), 0)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folder of one that is killed after ten steps, with its checkpoints after four and eight."""
    folder = tmp_path_factory.mktemp("killed")
    logs = TrainingLogs("line", folder / "checkpoints", folder / "logs")
    with pytest.raises(Interrupted):
        train(Noisy(), ITEMS, collate, settings(steps=12, checkpoint_steps=4), 0, interrupt_at(10), logs)
    return folder


@pytest.mark.parametrize(
    ("damage", "how"),
    [(None, None), *((file, how) for file in CHECKPOINT for how in ("deleted", "truncated", "altered"))],
)
def test_a_killed_training_resumes_from_its_last_complete_checkpoint(tmp_path, whole, killed, damage, how):
    """With the losses and weights of a training that was not killed, whichever file of a checkpoint was damaged."""
    folder = shutil.copytree(killed, tmp_path / "copied")
    if damage:
        damage_file(folder / "checkpoints" / "checkpoint-8" / damage, how)
    resumed, logs = Noisy(), TrainingLogs("line", folder / "checkpoints", folder / "logs")
    module, losses = whole
    assert train(resumed, ITEMS, collate, settings(steps=12, checkpoint_steps=4), 0, None, logs) == losses
    assert torch.equal(resumed.weight, module.weight)
    assert resumed.sample_indices == list(range(8 * (4 if damage else 8), 8 * 12))


class Signalled(Noisy):
    """Sends its process signals in the forward pass of one step."""

    def __init__(self, step, *signals):
        super().__init__()
        self.step, self.signals = step, signals

    def forward(self, x, sample_indices):
        if sample_indices[0] == 8 * (self.step - 1):
            for number in self.signals:
                signal.raise_signal(number)
        return super().forward(x, sample_indices)


class Terminated(Exception):
    pass


@pytest.fixture
def handlers():
    """SIGINT and SIGTERM as a worker process has them."""

    def terminate(*_):
        raise Terminated

    kept = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGTERM, terminate)
    yield terminate
    signal.signal(signal.SIGINT, kept[0])
    signal.signal(signal.SIGTERM, kept[1])


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
@pytest.mark.parametrize("step", [1, 6, 12])
def test_an_interrupted_training_keeps_its_step(tmp_path, whole, handlers, number, error, step):
    plan = settings(steps=12, checkpoint_steps=100)
    logs = TrainingLogs("line", tmp_path / "checkpoints", tmp_path / "logs")
    told = []
    with pytest.raises(error):
        train(Signalled(step, number), ITEMS, collate, plan, 0, lambda done, of, loss: told.append(done), logs)
    assert told == list(range(1, step))
    assert signal.getsignal(signal.SIGTERM) is handlers
    resumed = Noisy()
    assert train(resumed, ITEMS, collate, plan, 0, None, logs) == whole[1]
    assert resumed.sample_indices == list(range(8 * step, 8 * 12))


def test_a_second_interrupt_takes_effect_at_once(tmp_path, handlers):
    logs = TrainingLogs("line", tmp_path / "checkpoints", tmp_path / "logs")
    module = Signalled(3, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(module, ITEMS, collate, settings(), 0, None, logs)
    assert len(module.sample_indices) == 8 * 2
    assert not list((tmp_path / "checkpoints").glob("checkpoint-*"))


def test_ignored_signals_stay_ignored(tmp_path, handlers):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs = TrainingLogs("line", tmp_path / "checkpoints", tmp_path / "logs")
    assert len(train(Signalled(3, signal.SIGINT), ITEMS, collate, settings(steps=5), 0, None, logs)) == 5


def test_schedules_and_optimisers_are_the_libraries(tmp_path):
    """SGD on one weight with a linear schedule by hand."""
    plan = settings(steps=3, optimizer="sgd", lr_scheduler_type="linear", learning_rate=0.3, max_grad_norm=0.0)
    line = Line()
    train(line, ITEMS[:8], collate, plan, 0)
    square = sum(float(item.text) ** 2 for item in ITEMS[:8]) / 8
    weight = 0.0
    for rate in (0.3, 0.2, 0.1):
        weight -= rate * 2 * square * (weight - 3.0)
    assert line.weight.item() == pytest.approx(weight, rel=1e-5)


def test_a_schedule_that_cannot_be_made_is_one_line():
    plan = settings(lr_scheduler_type="warmup_stable_decay")
    with pytest.raises(UserError, match="with lr_scheduler_type 'warmup_stable_decay' cannot be made") as caught:
        train(Line(), ITEMS, collate, plan, 0)
    assert len(str(caught.value).splitlines()) == 1


def test_buffers_of_what_is_trained_are_in_checkpoints(tmp_path):
    line = Line()
    line.register_buffer("count", torch.tensor(5.0))
    logs = TrainingLogs("line", tmp_path / "checkpoints", tmp_path / "logs")
    train(line, ITEMS, collate, settings(steps=2), 0, None, logs)
    assert set(load_file(tmp_path / "checkpoints" / "checkpoint-2" / "model.safetensors")) == {"weight", "count"}


def test_frozen_weights_are_not_in_checkpoints(tmp_path):
    line = Line()
    line.frozen = nn.Linear(1000, 1000).requires_grad_(False)
    logs = TrainingLogs("line", tmp_path / "checkpoints", tmp_path / "logs")
    train(line, ITEMS, collate, settings(steps=2), 0, None, logs)
    assert set(load_file(tmp_path / "checkpoints" / "checkpoint-2" / "model.safetensors")) == {"weight"}
    assert len(line.state_dict()) == 3


def test_samples_visit_every_item_of_an_epoch_before_the_next():
    sampler = EpochSampler(num_items=10, steps=5, batch=4, seed=0)
    steps = [sampler.step(index) for index in range(0, 20, 4)]
    for epoch in (steps[0] + steps[1], steps[2] + steps[3]):
        assert len(set(epoch)) == 8
    assert steps[0] + steps[1] != steps[2] + steps[3]
    assert all(sampler.step(index) == steps[index // 4] for index in range(20))


def test_no_epoch_of_a_seed_has_the_order_of_another():
    """With seed + epoch, epoch 1 of seed 0 had the order of epoch 0 of seed 1."""
    orders = [
        tuple(EpochSampler(num_items=12, steps=8, batch=12, seed=seed).step(12 * e))
        for seed in range(8)
        for e in range(8)
    ]
    assert len(set(orders)) == 64


def test_a_sample_is_sent_at_the_same_snr_whichever_process_computes_it():
    radio = LinkSampler(load_link("rayleigh"), (-5.0, 15.0), 3)
    whole, part = radio.at(range(8)), radio.at(range(4, 8))
    assert torch.equal(whole.snr_db[4:], part.snr_db)
    assert ((whole.snr_db >= -5) & (whole.snr_db <= 15)).all()
    assert whole.snr_db.unique().numel() == 8


def without_dropout(module):
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module


def finetuned(foundation_folder, folder, dropout=True, precision=torch.float32, on_progress=None, logs=None, **changes):
    foundation = Foundation.load(foundation_folder, precision)
    system = training_case.system(foundation)
    foundation.add_lora()
    plan = FinetuningSettings(steps=4, **training_case.BATCH, **changes)
    batcher = training_case.batcher(foundation, folder / "features")
    radio = LinkSampler(load_link("rayleigh"), 10.0, 5)
    system = system if dropout else without_dropout(system)
    losses = finetune(system, training_case.questions(), batcher, radio, plan, 5, on_progress, logs)
    return losses, system


def test_a_system_killed_while_it_learns_ends_as_if_it_had_not_been(foundation_folder, tmp_path):
    """Frozen foundation model, adapter with dropout and fading link included; what was done is not done again."""
    losses, whole = finetuned(foundation_folder, tmp_path)
    logs = TrainingLogs("system", tmp_path / "checkpoints", tmp_path / "logs")
    once_again = {"logs": logs, "checkpoint_steps": 1}
    for step in (2, 3):
        with pytest.raises(Interrupted):
            finetuned(foundation_folder, tmp_path, on_progress=interrupt_at(step), **once_again)
    steps = []
    resumed_losses, resumed = finetuned(
        foundation_folder, tmp_path, on_progress=lambda done, of, loss: steps.append(done), **once_again
    )
    assert steps == [3, 4]
    assert resumed_losses == losses
    for (name, expected), found in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(found, expected), name


def test_accumulation_changes_no_loss(foundation_folder, tmp_path):
    """Although its parts hold different numbers of answer tokens; dropout, drawn part by part, is off."""
    at_once, _ = finetuned(foundation_folder, tmp_path, dropout=False)
    in_parts, _ = finetuned(foundation_folder, tmp_path, dropout=False, accumulation=4)
    assert in_parts == pytest.approx(at_once, rel=1e-5)
    assert len(set(at_once)) == 4


def test_gradient_checkpointing_changes_no_loss_and_ends_with_the_training(foundation_folder, tmp_path):
    kept, _ = finetuned(foundation_folder, tmp_path)
    again, system = finetuned(foundation_folder, tmp_path, gradient_checkpointing=True)
    assert again == kept
    assert not system.foundation.model.is_activation_checkpointing


def test_in_bf16_the_foundation_is_half_and_all_that_is_trained_is_float32(foundation_folder, tmp_path):
    full, _ = finetuned(foundation_folder, tmp_path)
    half, system = finetuned(foundation_folder, tmp_path, precision=torch.bfloat16)
    assert half == pytest.approx(full, rel=0.03)
    dtypes = {(p.requires_grad, p.dtype) for p in system.parameters()}
    assert dtypes == {(True, torch.float32), (False, torch.bfloat16)}
    question = system.foundation.tokenize_questions(training_case.QUESTIONS)
    features = {m: torch.randn(3, 2, width) for m, width in training_case.WIDTHS.items()}
    prefix, _, transmission = system.read(features, question, LinkUse(load_link("rayleigh"), 10.0, 0, range(3)))
    assert {t.dtype for t in (prefix, *transmission.sent.values(), *transmission.received.values())} == {torch.float32}


def test_tensorboard_gets_the_loss_of_every_step(tmp_path):
    logs = TrainingLogs("line", tmp_path / "checkpoints", tmp_path / "logs")
    losses = train(Line(), ITEMS, collate, settings(steps=3, report_to=["tensorboard"]), 0, None, logs)
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    assert [e.value for e in events.Scalars("train/loss")] == pytest.approx(losses)
    assert {"train/grad_norm", "train/learning_rate"} <= set(events.Tags()["scalars"])


def test_every_key_is_documented():
    for model in (AlignmentSettings, FinetuningSettings, LoraSettings):
        assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"report_to": ["wandb"]}, "wandb is not installed: pip install wandb"),
        ({"accumulation": 3}, "batch 8 does not split into 3 equal parts"),
        ({"optimizer": "adafactr"}, "unknown optimizer 'adafactr': did you mean 'adafactor'"),
        ({"lr_scheduler_type": "cosin"}, "unknown lr_scheduler_type 'cosin': did you mean 'cosine'"),
        ({"lr_scheduler_type": "greedy"}, "unknown lr_scheduler_type 'greedy'"),
        ({"lora": {"rank": 8}}, "lora.rank"),
    ],
)
def test_settings_that_cannot_be_are_refused(monkeypatch, change, message):
    monkeypatch.setattr("tokcom_phy.training.settings.find_spec", lambda name: None)
    with pytest.raises(ValidationError, match=message):
        settings(**change)
