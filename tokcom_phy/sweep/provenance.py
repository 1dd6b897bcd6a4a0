"""What made a run: command, versions, machine, revision."""

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.utils.instantiate import TARGET, components_in, source_of

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
        "components": {key: source_of(component, key) for key, component in _components(experiment)},
    }


def _components(experiment: Experiment) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All that the experiment and its links name by import path, with the key that names it."""
    settings = experiment.model_dump(exclude={"links"})
    settings["links"] = {name: link.settings() for name, link in experiment.resolved().links.items()}
    for position, metric in enumerate(experiment.metrics):
        if isinstance(metric, str) and "." in metric:
            yield f"metrics.{position}", {TARGET: metric}
    yield from components_in(settings, "")


def _git_revision() -> str | None:
    """The checkout's commit; None for an installed wheel, or where there is no git."""
    if not shutil.which("git"):
        return None
    command = ["git", "rev-parse", "HEAD"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
