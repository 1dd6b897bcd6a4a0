"""The two profiles: the paper's models and data, and small ones that run on a laptop through the same code.

A profile is a set of defaults that an experiment's own settings override; `tokcom_phy.experiments.schema` says what
each key means. ``named_lengths`` are the token lengths that an experiment may call by name wherever it gives lengths.
"""

from typing import Any

PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {
        "foundation": "tiny/foundation",
        "encoders": {"audio": "tiny/audio", "video": "tiny/video"},
        "lengths": {"audio": 32, "video": 32},
        "named_lengths": {"short": 8, "medium": 16, "long": 32, "longest": 64},
        "receiver_width": 256,
        "threads": 1,
        "data": {
            "synthetic": {
                "captions": 1200,
                "train_clips": 800,
                "test_clips": 400,
                "train_questions": 6400,
                "test_questions": 1000,
                "seed": 0,
            }
        },
        "stage1": {"steps": 200, "batch": 64, "learning_rate": 1e-3},
        "stage2": {"steps": 400, "batch": 16, "learning_rate": 1e-3},
    },
    "paper": {
        "foundation": "Qwen/Qwen2.5-1.5B",
        "precision": "bf16",
        "encoders": {"audio": "MIT/ast-finetuned-audioset-10-10-0.4593", "video": "google/vivit-b-16x2"},
        "lengths": {"audio": 64, "video": 64},
        "named_lengths": {"short": 16, "medium": 32, "long": 64, "longest": 128},
        "receiver_width": 1024,
        "data": {},
        "stage1": {"steps": 500, "batch": 32, "learning_rate": 1e-4},
        "stage2": {"steps": 2000, "batch": 8, "learning_rate": 1e-4, "final_learning_rate": 1e-4},
    },
}
