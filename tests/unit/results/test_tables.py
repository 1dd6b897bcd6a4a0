import json
from dataclasses import replace

import numpy as np
import pytest

from tokcom_phy.data.formats import Question
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.results.points import Point, read_points, write_point
from tokcom_phy.results.tables import COLUMNS, curves, tabulate, tabulate_curves, tabulate_differences
from tokcom_phy.training.evaluate import majority_per_template
from tokcom_phy.utils.errors import UserError


def point(seed=0, correct="1100", snr_db=-5.0):
    return Point("aligned", "awgn", snr_db, seed, correct, "1110", ["yes"] * 4, {"audio": 5.0}, {"audio": -5.0})


def question(template, answer):
    return Question("v", 1, ("Audio", "Counting"), template, template, answer)


def test_points_survive_the_disk(tmp_path):
    points = [point(seed) for seed in (0, 1)]
    for p in points:
        write_point(tmp_path, p)
    (tmp_path / "points" / ".left-by-a-kill.json").write_text("{")
    assert read_points(tmp_path) == points


def test_a_damaged_point_is_named_with_the_mend(tmp_path):
    write_point(tmp_path, point())
    path = tmp_path / "points" / f"{point().name}.json"
    path.write_text(path.read_text()[:20])
    with pytest.raises(UserError, match=r"is damaged .* delete it"):
        read_points(tmp_path)


def test_table_splits_accuracy_by_question_type():
    table = tabulate("e", [point()], ["A/x", "B/y", "A/x", "B/y"])
    assert list(table.columns) == COLUMNS
    accuracy = table[table["metric"] == "accuracy"].set_index("question_type")
    assert accuracy["value"].to_dict() == {"all": 0.5, "A/x": 0.5, "B/y": 0.5}
    assert accuracy["n"].to_dict() == {"all": 4, "A/x": 2, "B/y": 2}
    nmse = table[table["metric"] == "token_nmse_db_audio"].iloc[0]
    assert nmse["value"] == 5.0
    assert np.isnan(nmse["ci_low"])


def test_curves_average_over_seeds():
    found = curves([point(0, "1100"), point(1, "1111"), point(0, "0000", snr_db=3.0)])
    assert found[["snr_db", "value", "seeds", "n"]].to_numpy().tolist() == [[-5.0, 0.75, 2, 4], [3.0, 0.0, 1, 4]]
    assert (found["ci_low"] <= found["value"]).all()
    assert (found["value"] <= found["ci_high"]).all()


SCORES = {"good": [[3.0, 5.0, 4.0, 4.0], [5.0, 5.0, 5.0, 5.0]], "poor": [[1.0, 2.0, 4.0, 1.0], [3.0, 3.0, 3.0, 3.0]]}


def scored(variant, seed):
    metrics = {"words": SCORES[variant][seed]}
    return replace(point(seed), variant=variant, metrics=metrics)


def test_curves_have_rows_of_each_metric():
    """With one seed the interval is Student's over questions, beyond 1 where the scores are."""
    majority = replace(point(), variant=MAJORITY)
    table = tabulate_curves("e", [scored("good", 0), majority], ["A/x", "B/y", "A/x", "B/y"])
    (row,) = table[table["metric"] == "words"].to_dict("records")
    assert [row["variant"], row["question_type"], row["value"], row["n"]] == ["good", "all", 4.0, 4]
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((4.0 - 1.2992, 4.0 + 1.2992), abs=1e-4)  # t 3.1824, s .8165
    assert set(table[table["variant"] == MAJORITY]["metric"]) == {"accuracy"}


def test_differences_compare_each_metric_question_by_question(tmp_path):
    variants = {"good": {}, "poor": {"alignment": "none"}}
    series = [{"variants": ["good", "poor"], "links": ["awgn"], "snr_db": [-5.0]}]
    settings = {"name": "e", "title": "E", "profile": "tiny", "variants": variants, "evaluate": series}
    (tmp_path / "e.yaml").write_text(json.dumps(settings))
    experiment = load_experiment(str(tmp_path / "e.yaml"))
    table = tabulate_differences(experiment, [scored(variant, seed) for variant in SCORES for seed in (0, 1)])
    (row,) = table[table["metric"] == "words"].to_dict("records")
    assert [row["variant"], row["than_variant"], row["value"], row["seeds"], row["n"]] == ["good", "poor", 2.0, 2, 4]
    assert row["ci_low"] < 2.0 < row["ci_high"]
    assert row["ci_high"] - 2.0 == pytest.approx(2.0 - row["ci_low"])


def test_majority_answers_each_template_with_its_most_frequent_answer():
    seen = [question("How many?", a) for a in ("two", "Two ", "one")] + [question("Where?", "left")]
    asked = [question("How many?", "two"), question("How many?", "one"), question("New?", "two")]
    assert majority_per_template(seen, asked) == [True, False, True]
