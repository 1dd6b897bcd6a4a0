"""What is said of synthetic clips is true of them, and in MUSIC-AVQA's terms."""

import re
from collections import Counter, defaultdict

import numpy as np
import pytest

from tokcom_phy.data.formats import QUESTION_TYPES
from tokcom_phy.synthetic.language import (
    balanced_questions,
    caption,
    clauses,
    heard,
    questions,
    seen,
    stepping_stones,
)
from tokcom_phy.synthetic.scene import CLIP_SECONDS, INSTRUMENTS, Player, Scene, sample_scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(7)
    return [sample_scene(rng) for _ in range(1500)]


@pytest.fixture
def trio() -> Scene:
    """A cello, then an acoustic guitar that overlaps it; a silent drum."""
    players = (
        Player("acoustic_guitar", "left", start=2.0, end=2.6, loud=False),
        Player("drum", "middle", start=0.0, end=0.0, loud=True),
        Player("cello", "right", start=0.5, end=3.0, loud=True),
    )
    return Scene(players, place="outdoor", voiceover=True, seed=3)


def answers(scene: Scene) -> dict[str, str]:
    return {q.text: q.answer for q in questions(scene)}


def test_answers_of_one_scene(trio):
    expected = {
        "How many musical instruments were heard throughout the video?": "two",
        "Is there a drum sound?": "no",
        "Is the cello louder than the acoustic_guitar?": "yes",
        "Is the acoustic_guitar playing longer than the cello?": "no",
        "How many types of musical instruments appeared in the entire video?": "three",
        "How many cello are in the entire video?": "one",
        "What is the instrument on the left of drum?": "acoustic_guitar",
        "What kind of instrument is the rightest instrument?": "cello",
        "Where is the performance?": "outdoor",
        "Is there a voiceover?": "yes",
        "Is the drum in the video playing?": "no",
        "How many instruments in the video did not sound from beginning to end?": "one",
        "How many sounding drum in the video?": "zero",
        "Which is the musical instrument that sounds at the same time as the cello?": "acoustic_guitar",
        "Is the cello on the right louder than the acoustic_guitar on the left?": "yes",
        "Is the acoustic_guitar on the left playing longer than the cello on the right?": "no",
        "What is the last instrument that comes in?": "acoustic_guitar",
        "Which instrument makes sounds before the acoustic_guitar?": "cello",
    }
    asked = answers(trio)
    assert {text: asked.get(text) for text in expected} == expected
    assert "What kind of musical instrument is it?" not in asked
    assert "What is the instrument on the left of cello?" not in asked, "two instruments are left of the cello"


def test_questions_of_twins_do_not_point_at_either():
    twins = (Player("violin", "left", 0.2, 0.8, True), Player("violin", "right", 1.5, 4.0, False))
    asked = answers(Scene(twins, "indoor", voiceover=False, seed=1))
    assert asked["How many violin are in the entire video?"] == "two"
    assert asked["How many sounding violin in the video?"] == "two"
    assert not any("louder" in text or "longer" in text for text in asked)


def test_stepping_stones_are_single_facts(trio):
    facts = {q.text: q.answer for q in stepping_stones(trio)}
    assert facts["Where is the drum?"] == "middle"
    assert facts["How loud is the instrument on the left?"] == "soft"
    assert facts["How long does the cello play?"] == "long"
    assert facts["When does the acoustic_guitar come in?"] == "last"
    assert "How loud is the drum?" not in facts


def test_all_nine_types_and_no_contradictions(scenes):
    asked = [questions(scene) for scene in scenes[:300]]
    assert {q.type for qs in asked for q in qs} == set(QUESTION_TYPES)
    assert all(len({q.text for q in qs}) == len(qs) for qs in asked), "a question is asked once, so it has one answer"


def test_templates_and_answers_follow_the_dataset(scenes):
    vocabulary = {
        *INSTRUMENTS,
        "yes",
        "no",
        "zero",
        "one",
        "two",
        "three",
        "left",
        "middle",
        "right",
        "indoor",
        "outdoor",
    }
    for question in (q for scene in scenes[:300] for q in questions(scene)):
        assert question.answer in vocabulary
        assert len(re.findall(r"<\w+>", question.template)) == len(question.values)
        assert "<" not in question.text


def test_caption_tells_the_facts(scenes):
    for scene in scenes[:300]:
        text = caption(scene)
        assert scene.place in text.lower()
        for player in scene.players:
            assert player.instrument.replace("_", " ") in text
            assert f"the {player.position}" in text
        assert "_" not in text
        assert re.fullmatch(r"[A-Z].*\.", text)
        assert ("voice-over is heard" in text or "Somebody speaks" in text) == scene.voiceover
        long, loud = (sum(getattr(p, name) for p in scene.sounding) for name in ("long", "loud"))
        assert len(re.findall("for a long time|at length", text)) == long
        assert len(re.findall(r"\bloud\b", text)) == loud
        if len(scene.sounding) > 1:
            names = [p.instrument.replace("_", " ") for p in scene.sounding if scene.unique(p)]
            order = [text.index(name, text.index("First")) for name in names]
            assert order == sorted(order)


def test_captions_are_seeded_and_varied(scenes, trio):
    assert caption(trio) == caption(trio) == " ".join(clauses(trio))
    wordings = {caption(Scene(trio.players, trio.place, trio.voiceover, seed)) for seed in range(40)}
    assert len(wordings) > 20


def test_moments(trio):
    assert heard(trio, 0.1) == [("voice", 0.5)]
    both = [("first loud long cello", 1.0), ("last soft brief acoustic guitar", 0.5)]
    assert heard(trio, 2.2) == [*both, ("voice", 0.5)]
    assert seen(trio, 2.2, 0) == "outdoor left acoustic guitar playing"
    assert seen(trio, 2.2, 1) == "outdoor middle drum still"
    alone = Scene(trio.players[:1], "indoor", voiceover=False, seed=0)
    assert heard(alone, CLIP_SECONDS - 0.1) == [("silence", 1.0)]
    assert seen(alone, 0.0, 2) == "indoor right empty"


def test_balance(scenes):
    chosen = balanced_questions(scenes, 1200, np.random.default_rng(0))
    assert len(chosen) == 1200
    by_template: dict[str, Counter] = defaultdict(Counter)
    for index, question in chosen:
        assert question in questions(scenes[index])
        by_template[question.template][question.answer] += 1
    sizes = [sum(counts.values()) for counts in by_template.values()]
    assert max(sizes) - min(sizes) <= 1
    assert all(max(counts.values()) - min(counts.values()) <= 1 for counts in by_template.values())
    majority = sum(max(counts.values()) for counts in by_template.values()) / len(chosen)
    assert 0.33 <= majority <= 0.40


def test_balance_is_reproducible_and_stops_when_exhausted(scenes):
    twice = [balanced_questions(scenes[:50], 200, np.random.default_rng(1)) for _ in range(2)]
    assert twice[0] == twice[1]
    everything = sum(len(questions(scene)) for scene in scenes[:3])
    assert len(balanced_questions(scenes[:3], 10_000, np.random.default_rng(1))) == everything
