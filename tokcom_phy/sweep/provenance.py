"""What made a run: command, versions, machine, revision."""

import os
import platform
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from tokcom_phy.experiments.schema import Experiment

_LIBRARIES = ("tokcom-phy", "torch", "sionna", "transformers", "peft", "datasets", "accelerate", "av", "numpy")


def provenance(experiment: Experiment) -> dict[str, object]:
    """The content of ``provenance.json`` of a run that begins now."""
    return {
        "command": " ".join(["tokcom", *sys.argv[1:]]),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {name: version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "git_revision": _git_revision(),
        "seeds": experiment.seeds,
        "components": {
            name: variant.components.sources()
            for name, variant in experiment.resolved().variants.items()
            if variant.components
        },
    }


def _git_revision() -> str | None:
    """The checkout's commit; None for an installed wheel, or where there is no git."""
    if not shutil.which("git"):
        return None
    command = ["git", "rev-parse", "HEAD"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
