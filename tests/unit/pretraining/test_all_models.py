"""All tiny models made by one call, which goes on after a kill; what their cards say."""

import json
from pathlib import Path

import pytest

from tokcom_phy.cli.pretrain import SHIPPED_MODELS
from tokcom_phy.pretraining import all_models
from tokcom_phy.pretraining.all_models import MANIFEST, pretrain_all
from tokcom_phy.pretraining.cards import foundation_card, weights_digest


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Quick stand-ins for the three trainings; what they are called for is listed."""
    calls: list[str] = []

    def stand_in(part: str) -> object:
        def train(out: Path, *, steps: int, seed: int) -> None:
            calls.append(part)
            if steps == 13:
                raise KeyboardInterrupt
            out.mkdir(parents=True, exist_ok=True)
            (out / "model.safetensors").write_bytes(f"{part} {steps} {seed}".encode())

        return train

    for part, name in (("audio", "pretrain_audio"), ("video", "pretrain_video"), ("foundation", "pretrain_foundation")):
        monkeypatch.setattr(all_models, name, stand_in(part))
    return calls


def test_finished_models_are_not_made_again(tmp_path: Path, made: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        pretrain_all(tmp_path, seed=1, audio_steps=2, video_steps=13)
    assert made == ["audio", "video"]
    digests = pretrain_all(tmp_path, seed=1, audio_steps=2, video_steps=2)
    assert made == ["audio", "video", "video", "foundation"]
    assert digests == {part: weights_digest(tmp_path / part) for part in ("audio", "video", "foundation")}
    assert pretrain_all(tmp_path, seed=1, audio_steps=2, video_steps=2) == digests
    assert len(made) == 4


def test_another_seed_or_damaged_weights_are_made_anew(tmp_path: Path, made: list[str]) -> None:
    pretrain_all(tmp_path, seed=1)
    pretrain_all(tmp_path, seed=2)
    assert made == ["audio", "video", "foundation"] * 2
    (tmp_path / "video/model.safetensors").write_bytes(b"damaged")
    pretrain_all(tmp_path, seed=2)
    assert made[6:] == ["video"]
    assert set(json.loads((tmp_path / MANIFEST).read_text())) == {"audio", "video", "foundation"}


@pytest.mark.parametrize("part", ["audio", "video", "foundation"])
def test_cards_of_the_shipped_models_name_their_weights(part: str) -> None:
    folder = SHIPPED_MODELS / part
    assert f"SHA-256 `{weights_digest(folder)}`" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_foundation_card_names_what_is_weak() -> None:
    metrics = {
        "text": {"all": 0.9, "Audio Counting": 0.9, "Is it loud?": 0.6, "Who?": 0.9},
        "timeline 32": {"all": 0.9, "Audio Counting": 0.9, "Is it loud?": 0.9, "Who?": 0.9},
        "blind": {"all": 0.3, "Audio Counting": 0.3, "Is it loud?": 0.5, "Who?": 0.1},
    }
    card = foundation_card(metrics, "tokcom pretrain foundation", 1000)
    weak = card[card.index("## Weak spots") :]
    assert "`timeline 32` hardly better (by less than 15%) than blind:\n\n- none" in weak
    assert "`text` hardly better (by less than 15%) than blind:\n\n- Is it loud?" in weak
    assert "Who?" not in weak
