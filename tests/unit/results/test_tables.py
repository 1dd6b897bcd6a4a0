import numpy as np
import pytest

from tokcom_phy.data.formats import Question
from tokcom_phy.results.points import Point, read_points, write_point
from tokcom_phy.results.tables import COLUMNS, accuracy_curves, tabulate
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
    curves = accuracy_curves([point(0, "1100"), point(1, "1111"), point(0, "0000", snr_db=3.0)])
    assert curves[["snr_db", "value", "seeds", "n"]].to_numpy().tolist() == [[-5.0, 0.75, 2, 4], [3.0, 0.0, 1, 4]]
    assert (curves["ci_low"] <= curves["value"]).all()
    assert (curves["value"] <= curves["ci_high"]).all()


def test_majority_answers_each_template_with_its_most_frequent_answer():
    seen = [question("How many?", a) for a in ("two", "Two ", "one")] + [question("Where?", "left")]
    asked = [question("How many?", "two"), question("How many?", "one"), question("New?", "two")]
    assert majority_per_template(seen, asked) == [True, False, True]
