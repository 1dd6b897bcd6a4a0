from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.sweep.provenance import provenance

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_everything_named_by_import_path_is_recorded(tmp_path):
    (tmp_path / "mine.py").write_text("def score(questions, answers):\n    return [1.0 for _ in questions]\n")
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ntitle: Mine\nmetrics: [mine.score, rouge_l]\n"
        "links: {jumps: {_target_: mine_link.Jumps}}\n"
        "variants: {own: {receiver: {audio: {_target_: torch.nn.Identity}}}, paper: {}}\n"
        "evaluate: [{variants: [own, paper], links: [jumps], snr_db: [0]}]\n"
    )
    (tmp_path / "mine_link.py").write_text((EXAMPLES / "phase_jumps.py").read_text().replace("PhaseJumps", "Jumps"))
    recorded = provenance(load_experiment(str(tmp_path / "mine.yaml")))["components"]
    assert isinstance(recorded, dict)
    assert recorded == {
        "metrics.0": {"module": "mine", "version": None, "sha256": _hash(tmp_path / "mine.py")},
        "variants.own.receiver.audio": {
            "module": "torch.nn.modules.linear",
            "version": version("torch"),
            "sha256": recorded["variants.own.receiver.audio"]["sha256"],
        },
        "links.jumps": {"module": "mine_link", "version": None, "sha256": _hash(tmp_path / "mine_link.py")},
    }


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
