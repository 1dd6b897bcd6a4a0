"""What is asked of synthetic clips has one answer, which is true, and is put in MUSIC-AVQA's terms."""

import re
from collections import Counter, defaultdict

import numpy as np
import pytest

from tokcom_phy.data.formats import QUESTION_TYPES
from tokcom_phy.synthetic.questions import (
    NUMBERS,
    TEMPLATES,
    balanced_questions,
    questions,
    stepping_stones,
)
from tokcom_phy.synthetic.scene import (
    CLIP_SECONDS,
    GAP_SECONDS,
    INSTRUMENTS,
    MAX_TOGETHER,
    NOTE_SECONDS,
    POSITIONS,
    Player,
    Scene,
    sample_scene,
)

ALWAYS = (0.0, CLIP_SECONDS)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(7)
    return [sample_scene(rng) for _ in range(1500)]


@pytest.fixture
def quartet() -> Scene:
    """A guitar and a flute, which plays along with it once; a drum that stays silent; a late cello."""
    players = (
        Player("acoustic_guitar", "left", ALWAYS, ((1.0, 1.5), (3.0, 3.5), (6.0, 6.5)), loud=False),
        Player("flute", "middle", (0.0, 4.4), ((3.05, 3.45),), loud=True),
        Player("drum", "middle", (4.9, CLIP_SECONDS), (), loud=True),
        Player("cello", "right", (7.0, 9.5), ((8.0, 8.6),), loud=False),
    )
    return Scene(players, "outdoor", voice=(2.0, 3.0), seed=3)


def answers(scene: Scene) -> dict[str, str]:
    return {q.text: q.answer for q in questions(scene)}


def test_answers_of_one_scene(quartet: Scene) -> None:
    expected = {
        "How many musical instruments were heard throughout the video?": "three",
        "Is there a drum sound?": "no",
        "How many times does the acoustic_guitar play?": "three",
        "Is the flute louder than the cello?": "yes",
        "Is the cello playing longer than the acoustic_guitar?": "no",
        "How many types of musical instruments appeared in the entire video?": "four",
        "Is there a drum in the entire video?": "yes",
        "Where is the performance?": "outdoor",
        "What kind of instrument is the leftest instrument?": "acoustic_guitar",
        "What kind of instrument is the rightest instrument?": "cello",
        "What is the instrument on the left of flute?": "acoustic_guitar",
        "What kind of instrument enters last?": "cello",
        "Is there a voiceover?": "yes",
        "Is the drum in the video playing?": "no",
        "How many instruments in the video did not sound from beginning to end?": "one",
        "Where is the first sounding instrument?": "left",
        "Where is the loudest instrument?": "middle",
        "Which is the musical instrument that sounds at the same time as the flute?": "acoustic_guitar",
        "Is the instrument on the left playing longer than the instrument on the right?": "yes",
        "What is the second instrument that comes in?": "flute",
        "Which instrument makes sounds before the flute?": "acoustic_guitar",
        "Which instrument plays last before the cello comes in?": "acoustic_guitar",
        "Which instrument plays the last note?": "cello",
        "Which is the loudest instrument in the first half?": "flute",
    }
    asked = answers(quartet)
    assert {text: asked.get(text) for text in expected} == expected


def test_nothing_is_asked_that_has_no_one_answer(quartet: Scene) -> None:
    asked = answers(quartet)
    assert "What is the instrument on the left of cello?" not in asked, "two instruments are left of the cello"
    assert "Which is the loudest instrument in the second half?" not in asked, "nobody is loud there"
    assert "Which instrument sounds while the cello is silent?" not in asked, "two do"
    close = Scene(
        (
            Player("violin", "left", ALWAYS, ((1.0, 1.5),), True),
            Player("tuba", "right", ALWAYS, ((1.2, 1.6),), True),
        ),
        "indoor",
        None,
        1,
    )
    assert not any("first" in text or "comes in" in text or "last" in text for text in answers(close))


def test_stepping_stones_are_single_facts(quartet: Scene) -> None:
    facts = {q.text: q.answer for q in stepping_stones(quartet)}
    assert facts["drum where?"] == "middle"
    assert facts["drum plays?"] == "zero"
    assert facts["flute level?"] == "loud"
    assert facts["cello begins?"] == "last"
    assert "middle who?" not in facts, "two stand there, one after the other"


def test_comparisons_lead_from_a_few_words_to_the_real_question(quartet: Scene) -> None:
    facts = {q.text: q.answer for q in stepping_stones(quartet)}
    real = {q.text: q.answer for q in questions(quartet)}
    short = {q.text: q.answer for q in stepping_stones(quartet, sentences=False)}
    assert facts["flute louder than cello?"] == real["Is the flute louder than the cello?"]
    assert facts["Is the flute louder than the cello?"] == real["Is the flute louder than the cello?"]
    assert set(facts) - set(short) == {text for text in facts if text.startswith("Is the ")} != set()
    assert all(facts[text] == answer for text, answer in short.items())


def test_scenes_keep_their_promises(scenes: list[Scene]) -> None:
    for scene in scenes:
        players = scene.players
        assert 2 <= len(players) <= 4
        assert scene.sounding
        assert len({p.instrument for p in players}) == len(players)
        assert [POSITIONS.index(p.position) for p in players] == sorted(POSITIONS.index(p.position) for p in players)
        for player in players:
            assert 0 <= player.seen[0] < player.seen[1] <= CLIP_SECONDS
            for start, end in player.notes:
                assert player.seen[0] <= start < end <= player.seen[1]
                assert NOTE_SECONDS[0] - 0.11 <= end - start <= NOTE_SECONDS[1] + 0.002
            gaps = [after[0] - before[1] for before, after in zip(player.notes, player.notes[1:], strict=False)]
            assert all(gap >= GAP_SECONDS - 0.002 for gap in gaps)
        edges = [edge for p in players for note in p.notes for edge in note]
        assert max(sum(p.plays_at(edge) for p in players) for edge in edges) <= MAX_TOGETHER


def test_all_nine_types_and_no_contradictions(scenes: list[Scene]) -> None:
    asked = [questions(scene) for scene in scenes[:300]]
    assert {q.type for qs in asked for q in qs} == {t.type for t in TEMPLATES} == set(QUESTION_TYPES)
    assert {q.template for qs in asked for q in qs} == {t.text for t in TEMPLATES}
    assert all(len({q.text for q in qs}) == len(qs) for qs in asked), "a question is asked once, so it has one answer"


def test_templates_and_answers_follow_the_dataset(scenes: list[Scene]) -> None:
    vocabulary = {*INSTRUMENTS, *NUMBERS, *POSITIONS, "yes", "no", "indoor", "outdoor"}
    for question in (q for scene in scenes[:300] for q in questions(scene)):
        assert question.answer in vocabulary
        assert len(re.findall(r"<\w+>", question.template)) == len(question.values)
        assert "<" not in question.text


def test_balance(scenes: list[Scene]) -> None:
    chosen = balanced_questions(scenes, 1200, np.random.default_rng(0))
    assert len(chosen) == 1200
    assert all(question in questions(scenes[index]) for index, question in chosen[:50])
    by_template: dict[str, Counter] = defaultdict(Counter)
    for _, question in chosen:
        by_template[question.template][question.answer] += 1
    sizes = [sum(counts.values()) for counts in by_template.values()]
    assert max(sizes) - min(sizes) <= 1
    assert all(max(counts.values()) - min(counts.values()) <= 1 for counts in by_template.values())
    majority = sum(max(counts.values()) for counts in by_template.values()) / len(chosen)
    assert 0.25 <= majority <= 0.33


def test_balance_is_reproducible_and_stops_when_exhausted(scenes: list[Scene]) -> None:
    twice = [balanced_questions(scenes[:50], 200, np.random.default_rng(1)) for _ in range(2)]
    assert twice[0] == twice[1]
    everything = sum(len(questions(scene)) for scene in scenes[:3])
    assert len(balanced_questions(scenes[:3], 10_000, np.random.default_rng(1))) == everything
