import pytest
import torch
from huggingface_hub import HfApi, ModelCard, RepoUrl
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file

from tokcom_phy.model.system import LinkUse, SystemConfig, TokenCommSystem
from tokcom_phy.radio import load_link
from tokcom_phy.utils.errors import UserError

QUESTIONS = ["Which instrument sounds first?", "How many?"]


@pytest.fixture
def system(foundation):
    torch.manual_seed(0)
    return TokenCommSystem(SystemConfig({"audio": 6, "video": 10}, 32, 16, "on-air"), foundation)


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(1)
    return {
        "audio": torch.randn(2, 3, 6, generator=generator),
        "video": torch.randn(2, 4, 10, generator=generator),
    }


def radio(link="awgn", snr_db=10.0, indices=(0, 1)):
    return LinkUse(load_link(link), snr_db, 7, indices)


def test_everything_is_read_in_declared_order_text_last(system, features):
    question = system.foundation.tokenize_questions(QUESTIONS)
    prefix, mask, transmission = system.read(features, question, radio("ideal"))
    received = system.receive(transmission)
    length = question.length
    torch.testing.assert_close(prefix, torch.cat([received["audio"], received["video"], received["text"]], dim=1))
    assert mask[:, :7].all()
    assert torch.equal(mask[:, 7:], question.mask)
    assert prefix.shape == (2, 7 + length, 32)


def test_an_ideal_link_changes_nothing(system, features):
    text = system.foundation.tokenize_text(QUESTIONS)
    transmission = system.transmit(features, text, radio("ideal"))
    for modality, sent in transmission.sent.items():
        valid = transmission.masks[modality]
        torch.testing.assert_close(transmission.received[modality][valid], sent[valid], rtol=1e-5, atol=1e-6)


def test_a_reliable_question_skips_link_and_receiver(system, foundation, features):
    reliable = TokenCommSystem(SystemConfig({"audio": 6, "video": 10}, 32, 16, "reliable"), foundation)
    question = foundation.tokenize_questions(QUESTIONS)
    prefix, _, transmission = reliable.read(features, question, radio(snr_db=-40.0))
    assert "text" not in transmission.sent
    torch.testing.assert_close(prefix[:, 7:], foundation.embed(question.ids))


def test_a_question_over_the_air_is_padded_on_neither_side(system, features):
    """The same question gets the same noise whatever the length of those beside it."""
    together = system.foundation.tokenize_questions(QUESTIONS)
    alone = system.foundation.tokenize_questions(QUESTIONS[1:])
    padding = together.length - alone.length
    assert padding > 0
    both = system.transmit(features, together, radio()).received["text"]
    one = system.transmit({m: x[1:] for m, x in features.items()}, alone, radio(indices=(1,))).received["text"]
    torch.testing.assert_close(both[1:, padding:], one)
    assert (both[1, :padding] == 0).all()


def test_a_question_as_identifiers_arrives_or_is_padding(system, features):
    foundation = system.foundation
    question = foundation.tokenize_questions(QUESTIONS)
    digital = load_link("digital-awgn", bits=1, modulation="16-QAM", text="identifiers")
    for snr_db, ids in (
        (40.0, question.ids),
        (-20.0, torch.full_like(question.ids, foundation.tokenizer.pad_token_id)),
    ):
        received = system.transmit(features, question, LinkUse(digital, snr_db, 7, (0, 1))).received["text"]
        torch.testing.assert_close(received[question.mask], foundation.embed(ids).float()[question.mask])


def test_training_through_a_digital_link_moves_what_was_delivered(system, features):
    question = system.foundation.tokenize_questions(QUESTIONS)
    answer = system.foundation.tokenize_answers(["cello", "two"])
    over = {"extends": "awgn", "snr_offset_db": {"video": -60.0}}
    digital = load_link("digital-awgn", bits=1, modulation="16-QAM", over=over)
    system(features, question, answer, LinkUse(digital, 30.0, 7, (0, 1))).backward()
    moved = {
        modality: next(system.transmitters[modality].parameters()).grad.abs().sum() for modality in ("audio", "video")
    }
    assert moved["audio"] > 0
    assert moved["video"] == 0


def test_gradients_reach_transceivers_and_adapter_only(system, features):
    system.foundation.add_lora()
    question = system.foundation.tokenize_questions(QUESTIONS)
    answer = system.foundation.tokenize_answers(["cello", "two"])
    system(features, question, answer, radio("rayleigh")).backward()
    for name, parameter in system.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
        else:
            assert name.startswith("foundation.")


def test_saved_system_answers_the_same(system, features, tmp_path):
    system.foundation.add_lora()
    with torch.no_grad():
        for name, parameter in system.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(2))
    system.eval()
    question = system.foundation.tokenize_questions(QUESTIONS)
    before, _ = system.generate(features, question, radio(), 5)
    system.save_pretrained(tmp_path / "saved")
    again = TokenCommSystem.from_pretrained(str(tmp_path / "saved")).eval()
    after, _ = again.generate(features, question, radio(), 5)
    assert torch.equal(before, after)
    assert again.config == system.config
    assert set(load_file(tmp_path / "saved" / "transceivers.safetensors")) == set(system.transceivers())


def test_adapter_loads_with_plain_peft(system, tmp_path):
    system.foundation.add_lora()
    system.save_pretrained(tmp_path / "saved")
    plain = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "saved" / "adapter")
    assert any("lora_A" in name for name, _ in plain.named_parameters())


def test_the_model_card_says_what_it_is_made_of(system, tmp_path):
    system.save_pretrained(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "tokcom-phy"
    assert "token-communication" in card.data.tags
    assert card.data.base_model is None
    parameters = (6 * 32 + 32) + (10 * 32 + 32) + 3 * (32 * 16 + 16 + 16 * 32 + 32)
    for words in ("audio (features of width 6), video (features of width 10), text", f"{parameters:,} parameters"):
        assert words in card.text
    assert "| adapter | none |" in card.text
    system.foundation.add_lora()
    system.foundation.name = "Qwen/Qwen2.5-1.5B"
    system.save_pretrained(tmp_path / "adapted")
    again = ModelCard.load(tmp_path / "adapted" / "README.md")
    assert again.data.base_model == "Qwen/Qwen2.5-1.5B"
    assert "`adapter/`" in again.text


def test_what_is_pushed_to_the_hub_is_the_saved_folder(system, tmp_path, monkeypatch):
    """Up to the two calls that leave the machine."""
    system.foundation.add_lora()
    pushed = {}

    def upload(self, *, repo_id, folder_path, **options):
        pushed.update({p.relative_to(folder_path).as_posix(): p.read_bytes() for p in folder_path.rglob("*.*")})
        return f"https://huggingface.co/{repo_id}"

    monkeypatch.setattr(
        HfApi, "create_repo", lambda self, repo_id, **options: RepoUrl(f"https://huggingface.co/{repo_id}")
    )
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    assert system.push_to_hub("someone/system") == "https://huggingface.co/someone/system"
    assert pushed.keys() == {
        "README.md",
        "config.json",
        "transceivers.safetensors",
        "adapter/README.md",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    }
    (tmp_path / "transceivers.safetensors").write_bytes(pushed["transceivers.safetensors"])
    assert load_file(tmp_path / "transceivers.safetensors").keys() == system.transceivers().keys()


def test_a_checkpoint_of_another_size_is_refused(system, foundation, tmp_path):
    system.save_pretrained(tmp_path / "saved")
    other = TokenCommSystem(SystemConfig({"audio": 6, "video": 12}, 32, 16), foundation)
    with pytest.raises(UserError, match=r"another size: transmitters\.video\.projection\.weight is \(32, 10\)"):
        other.load_transceivers(tmp_path / "saved" / "transceivers.safetensors")


def test_a_foundation_of_another_width_is_refused(foundation):
    with pytest.raises(UserError, match="width 32: use the model"):
        TokenCommSystem(SystemConfig({"audio": 6}, 64), foundation)


def test_a_folder_without_a_system_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no system"):
        TokenCommSystem.from_pretrained(str(tmp_path))


def test_a_system_that_is_nowhere_is_one_clear_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("/nowhere/system", "nobody/no-such-system"):
        with pytest.raises(
            UserError, match=rf"no system in {name}, .*give a folder with config\.json, transceivers\.safetensors"
        ) as caught:
            TokenCommSystem.from_pretrained(name)
        assert "\n" not in str(caught.value)
