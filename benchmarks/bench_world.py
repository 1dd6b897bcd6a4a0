"""How much of a synthetic clip few tokens tell: what a reader that mistakes nothing answers, by question.

python benchmarks/bench_world.py
"""

from tokcom_phy.pretraining.perfect_reader import Erasures, accuracies
from tokcom_phy.synthetic.questions import TEMPLATES

COLUMNS = {
    "8": (8, None),
    "16": (16, None),
    "32": (32, None),
    "64": (64, None),
    "32, 30 % lost": (32, Erasures(0.3)),
    "32, 30 % lost in bursts of 5": (32, Erasures(0.3, mean_burst=5.0)),
}


def main() -> None:
    """Print the table in Markdown."""
    measured = {name: accuracies(length, erasures=erasures) for name, (length, erasures) in COLUMNS.items()}
    print("| question | needs | of | " + " | ".join(measured) + " |\n|---" + "|---" * (2 + len(measured)) + "|")
    for template in TEMPLATES:
        needs = template.when + (", and where" if template.where else "")
        figures = " | ".join(f"{100 * by[template.text]:.0f}" for by in measured.values())
        print(f"| {template.text} | {needs} | {template.modality} | {figures} |")
    print("| all | | | " + " | ".join(f"{100 * by['all']:.1f}" for by in measured.values()) + " |")


if __name__ == "__main__":
    main()
