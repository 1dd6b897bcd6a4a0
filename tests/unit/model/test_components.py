"""A system with own parts: what they are built with, what they are given, and how their mistakes are reported."""

import json
import sys

import pytest
import torch
from huggingface_hub import ModelCard
from torch import nn

from tokcom_phy.model.components import Components
from tokcom_phy.model.compression import compress
from tokcom_phy.model.slide import slide
from tokcom_phy.model.system import TokenCommSystem
from tokcom_phy.model.system_config import SystemConfig
from tokcom_phy.model.transmission import LinkUse
from tokcom_phy.radio import load_link
from tokcom_phy.utils.errors import UserError

QUESTIONS = ["Which instrument sounds first?", "How many?"]
WIDTHS = {"audio": 6, "video": 10}


class Doubling(nn.Module):
    """Remembers what it is built and called with."""

    def __init__(self, token_width, hidden_width, modality, num_tokens=None, factor=2.0):
        super().__init__()
        self.built = (token_width, hidden_width, modality, num_tokens)
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, tokens, noise_var, mask):
        self.given = noise_var, mask
        return self.factor * tokens


class Projection(nn.Module):
    def __init__(self, encoder_width, token_width):
        super().__init__()
        self.layer = nn.Linear(encoder_width, token_width, bias=False)

    def forward(self, features):
        return self.layer(features)


class TiedReceiver(nn.Module):
    def __init__(self, token_width):
        super().__init__()
        self.first = self.second = nn.Linear(token_width, token_width)

    def forward(self, tokens):
        return self.second(self.first(tokens))


def last_tokens(tokens, length):
    return tokens[:, -length:]


def halved(tokens):
    return tokens[:, ::2]


def pair(tokens):
    return tokens, tokens


def failing(tokens):
    raise ValueError("no\nsuch thing")


def own(name, **arguments):
    return {"_target_": f"test_components.{name}", **arguments}


def function(name):
    return own(name, _partial_=True)


@pytest.fixture
def build(foundation, monkeypatch):
    monkeypatch.setitem(sys.modules, "test_components", sys.modules[__name__])

    def build(token_lengths=None, **components):
        torch.manual_seed(0)
        config = SystemConfig(WIDTHS, 32, 16, "on-air", Components(**components), token_lengths or {})
        return TokenCommSystem(config, foundation)

    return build


def features(audio=5, video=9):
    generator = torch.Generator().manual_seed(1)
    return {
        "audio": torch.randn(2, audio, 6, generator=generator),
        "video": torch.randn(2, video, 10, generator=generator),
    }


def use(link="awgn", snr_db=10.0):
    return LinkUse(load_link(link), snr_db, 7, (0, 1))


def test_a_receiver_is_built_for_each_modality_with_the_widths_it_names(build):
    system = build({"audio": 5}, receiver=own("Doubling", factor=3.0))
    built = {m: receiver.component.built for m, receiver in system.receivers.items()}
    assert built == {m: (32, 16, m, 5 if m == "audio" else None) for m in ("audio", "video", "text")}
    transmission = system.transmit(features(), system.foundation.tokenize_questions(QUESTIONS), use())
    for modality, tokens in system.receive(transmission).items():
        torch.testing.assert_close(tokens, 3.0 * transmission.received[modality])


def test_modalities_that_are_not_named_keep_the_papers_part_and_its_initial_weights(build):
    usual, changed = build(), build(receiver={"text": own("TiedReceiver")})
    assert torch.equal(usual.receivers["audio"].layers[0].weight, changed.receivers["audio"].layers[0].weight)
    assert torch.equal(usual.receivers["video"].layers[2].bias, changed.receivers["video"].layers[2].bias)
    assert type(changed.receivers["text"].component) is TiedReceiver


def test_a_receiver_knows_the_noise_of_every_token(build):
    """On AWGN noise variance over signal power is N0; on a fading link it is that of the token's own symbols."""
    system = build(receiver=own("Doubling"))
    question = system.foundation.tokenize_questions(QUESTIONS)
    assert not question.mask.all()
    system.receive(system.transmit(features(), question, use("awgn", torch.tensor([10.0, 20.0]))))
    noise_var, mask = system.receivers["text"].component.given
    assert torch.equal(mask, question.mask)
    expected = torch.tensor([[0.1], [0.01]]).expand_as(noise_var).masked_fill(~mask, 1.0)
    torch.testing.assert_close(noise_var, expected)

    transmission = system.transmit(features(), question, use("ofdm-tdl-c"))
    system.receive(transmission)
    noise_var, mask = system.receivers["text"].component.given
    symbols = transmission.state.effective_noise_var["text"].unflatten(1, (question.length, 16)).mean(-1)
    for example in range(2):
        valid = noise_var[example][mask[example]]
        torch.testing.assert_close(valid, symbols[example, : len(valid)])
    assert noise_var[mask].std() > 0


def test_an_own_transmitter_and_selector_stand_before_the_link(build):
    system = build({"audio": 3, "video": 4}, transmitter=own("Projection"), selector=function("last_tokens"))
    whole = features()
    sent = system.transmit(whole, None, use()).sent
    torch.testing.assert_close(sent["audio"], system.transmitters["audio"].component.layer(whole["audio"][:, -3:]))
    torch.testing.assert_close(sent["video"], system.transmitters["video"].component.layer(whole["video"][:, -4:]))


def test_without_a_selector_slide_selects_and_selected_tokens_stay(build):
    system, whole = build({"audio": 3, "video": 9}), features()
    selected = system.select(whole)
    assert torch.equal(selected["audio"], slide(whole["audio"], 3))
    assert selected["video"] is whole["video"]
    with pytest.raises(UserError, match="token length 3: this encoder gives 2 tokens"):
        system.select(features(audio=2))


def test_a_named_compression_is_that_of_the_modality(build, tmp_path):
    whole = features()
    system = build({"audio": 3, "video": 4}, selector={"audio": "mean-pool"})
    assert torch.equal(system.select(whole)["audio"], compress(whole["audio"], 3, "mean-pool"))
    assert torch.equal(system.select(whole)["video"], slide(whole["video"], 4))
    system.save_pretrained(tmp_path)
    again = TokenCommSystem.from_pretrained(tmp_path)
    assert again.config.components == system.config.components
    assert torch.equal(
        build({"audio": 3}, selector="max-pool").select(whole)["audio"], compress(whole["audio"], 3, "max-pool")
    )


def test_gradients_reach_own_parts(build):
    system = build({"audio": 3}, transmitter={"audio": own("Projection")}, receiver=own("Doubling"))
    question, answer = system.foundation.tokenize_questions(QUESTIONS), system.foundation.tokenize_answers(["a", "b"])
    system(features(), question, answer, use("rayleigh")).backward()
    for name, parameter in system.named_parameters():
        assert parameter.grad is not None or not parameter.requires_grad, name


def test_own_parts_are_saved_by_name_and_come_back(build, tmp_path):
    components = {"receiver": {"text": own("TiedReceiver"), "audio": own("Doubling", factor=3.0)}}
    system = build({"audio": 3}, selector=function("last_tokens"), **components)
    system.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["components"]["receiver"] == components["receiver"]
    assert saved["token_lengths"] == {"audio": 3}
    again = TokenCommSystem.from_pretrained(tmp_path, foundation=system.foundation)
    assert again.config == system.config
    answers = [s.answer(QUESTIONS, features(), "awgn", 10.0)[0] for s in (system, again)]
    assert answers[0] == answers[1]
    card = ModelCard.load(tmp_path / "README.md").text
    assert "| receiver.text | `test_components.TiedReceiver`, not included |\n| receiver.audio |" in card


def test_a_system_whose_component_is_not_here_is_one_line(build, tmp_path):
    system = build(receiver=own("Doubling"))
    system.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("test_components.", "gone_components."))
    with pytest.raises(UserError, match="receiver: no module 'gone_components' for"):
        TokenCommSystem.from_pretrained(tmp_path, foundation=system.foundation)


def test_a_system_from_the_hub_runs_own_code_only_where_it_is_trusted(build, tmp_path, monkeypatch):
    system = build(receiver=own("Doubling"))
    system.save_pretrained(tmp_path / "snapshot")
    monkeypatch.setattr("tokcom_phy.model.system.snapshot", lambda *_: tmp_path / "snapshot")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"someone/system runs code of its own, receiver 'test_components\.Doubling'"):
        TokenCommSystem.from_pretrained("someone/system", foundation=system.foundation)
    trusted = TokenCommSystem.from_pretrained("someone/system", foundation=system.foundation, trust_components=True)
    assert trusted.config == system.config


@pytest.mark.parametrize(
    ("components", "message"),
    [
        (
            {"receiver": function("halved")},
            r"receiver: 'test_components.halved' turns tokens of shape \(2, 5, 32\)",
        ),
        ({"receiver": function("pair")}, "receiver: 'test_components.pair' returns a tuple, expected a tensor"),
        ({"transmitter": {"video": function("halved")}}, r"transmitter.video: .* into \(2, 5, 10\) float32, expected"),
        ({"selector": {"audio": function("failing")}}, "selector.audio: 'test_components.failing' fails on tokens of"),
        ({"selector": own("last_tokens")}, "needs 'tokens', 'length': give it beside _target_, or _partial_: true"),
        (
            {"receiver": {"vido": own("TiedReceiver")}},
            "receiver.vido: no modality 'vido' is received: did you mean",
        ),
        ({"selector": {"text": function("halved")}}, "selector.text: no modality 'text' is selected"),
        ({"selector": {"text": "mean-pool"}}, "selector.text: no modality 'text' is selected"),
        ({"selector": "mean-pol"}, "selector: unknown selector 'mean-pol': did you mean 'mean-pool'?"),
        ({"selector": {"audio": "pool"}}, "selector.audio: unknown selector 'pool'"),
        ({"receiver": {"depth": 2}}, "receiver: got {'depth': 2}: write {_target_: MODULE.NAME, ARGUMENT: VALUE}"),
        ({"receiver": "transformer"}, "receiver: got 'transformer': write {_target_"),
        ({"receiver": own("Doubling", depth=3)}, "receiver: 'test_components.Doubling' takes no argument 'depth'"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(build, components, message):
    def build_and_send():
        system = build(**components)
        system.receive(system.transmit(features(), None, use()))

    with pytest.raises(UserError, match=message) as caught:
        build_and_send()
    assert len(str(caught.value).splitlines()) == 1


def test_answer_gives_texts_and_what_went_over_the_air(build):
    system = build({"audio": 3, "video": 4}).train()
    texts, transmission = system.answer(QUESTIONS, features(), "rayleigh", 5.0, seed=3)
    assert len(texts) == 2
    assert {m: tuple(t.shape[1:]) for m, t in transmission.sent.items() if m != "text"} == {
        "audio": (3, 32),
        "video": (4, 32),
    }
    assert system.training
    assert system.answer(QUESTIONS, features(), load_link("rayleigh"), 5.0, seed=3)[0] == texts
    again = system.answer(QUESTIONS, features(), "rayleigh", 5.0, seed=4)[1]
    assert not torch.equal(again.received["audio"], transmission.received["audio"])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"vidio": torch.zeros(2, 3, 10)}, "unknown modality 'vidio': did you mean 'video'"),
        (
            {"video": torch.zeros(2, 3, 9)},
            r"video features have shape \(2, 3, 9\): give 2 questions' tokens of",
        ),
        ({"video": torch.zeros(3, 3, 10)}, "give 2 questions' tokens"),
    ],
)
def test_features_of_another_shape_are_refused(build, features, message):
    with pytest.raises(UserError, match=message):
        build().answer(QUESTIONS, features, "awgn", 5.0)
