"""Annotations in the formats of VALOR and MUSIC-AVQA, without media."""

import json
from pathlib import Path


def write_annotations(root: Path) -> None:
    """40 captions and 30 questions to train on, one more that is marked as deleted, and 10 to test on."""
    (root / "VALOR" / "annotations").mkdir(parents=True)
    (root / "MUSIC-AVQA" / "annotation").mkdir(parents=True)
    captions = [{"video_id": f"c{number}", "desc": "a guitar is heard"} for number in range(40)]
    (root / "VALOR/annotations/desc_train.json").write_text(json.dumps(captions))
    for split, count in (("train", 31), ("test", 10)):
        questions = [
            {
                "video_id": f"{split}{number}",
                "question_id": number,
                "type": '["Audio", "Counting"]',
                "question_content": "How many?",
                "templ_values": "[]",
                "question_deleted": int(number == 30),
                "anser": "one",
            }
            for number in range(count)
        ]
        (root / f"MUSIC-AVQA/annotation/avqa-{split}.json").write_text(json.dumps(questions))
