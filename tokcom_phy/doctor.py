"""What this machine has, what is missing and how to get it: the command ``tokcom doctor``."""

import os
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from rich import box
from rich.markup import escape
from rich.table import Table

from tokcom_phy.radio.engine import describe, engine
from tokcom_phy.radio.llvm import OLDEST, find_llvm, obstacle, version
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import builtin_names

_ASSETS = Path(__file__).resolve().parent / "assets"


@dataclass(frozen=True)
class Finding:
    """One line of the examination: ``mend`` tells how to get what is not there, and is empty when all is well."""

    subject: str
    state: str
    mend: str = ""
    needed: bool = True

    @property
    def sound(self) -> bool:
        """Whether the toolkit works as far as this finding goes."""
        return not (self.mend and self.needed)


def examine() -> list[Finding]:
    """Examine the interpreter, the libraries, the compute, the codecs and the shipped files."""
    return [
        Finding("Python", sys.version.split()[0]),
        *_libraries(),
        *_compute(),
        _codecs(),
        _ray_tracing(),
        *(_shipped_model(part) for part in ("foundation", "audio", "video")),
        *(_builtin(kind) for kind in ("links", "experiments", "plots")),
    ]


def table(findings: list[Finding]) -> Table:
    """The findings as a table that fits 80 columns."""
    result = Table(box=box.SIMPLE_HEAD)
    for header in ("", "what", "found", "how to get it"):
        result.add_column(header, overflow="fold")
    for finding in findings:
        mark = "[green]✓[/]" if not finding.mend else "[red]✗[/]" if finding.needed else "[yellow]–[/]"
        result.add_row(mark, escape(finding.subject), escape(finding.state), escape(finding.mend))
    return result


def _libraries() -> list[Finding]:
    """The package's own requirements against what is installed; those of an extra are not needed.

    An extra may narrow what the package itself requires: the engine that results has a line of its own.
    """
    extras = metadata.metadata("tokcom-phy").get_all("Provides-Extra", [])
    findings, seen = [], set[str]()
    for line in metadata.requires("tokcom-phy") or []:
        requirement = Requirement(line)
        marker = requirement.marker
        extra = next((name for name in extras if marker and marker.evaluate({"extra": name})), None)
        elsewhere = marker and not extra and not marker.evaluate({"extra": ""})
        if extra != "test" and not elsewhere and requirement.name not in seen:
            seen.add(requirement.name)
            findings.append(_library(requirement, extra))
    return findings


def _library(requirement: Requirement, extra: str | None) -> Finding:
    get = f"pip install 'tokcom-phy[{extra}]'" if extra else f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding(requirement.name, "not installed", get, needed=extra is None)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(requirement.name, f"{version} is too old", get, needed=extra is None)
    return Finding(requirement.name, version)


def _compute() -> list[Finding]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    findings = [Finding("cores", str(os.cpu_count())), Finding("memory", f"{memory:.0f} GiB")]
    try:
        import torch  # may be missing, which is what this tells
    except ImportError:
        return findings
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        findings.append(Finding("GPU", ", ".join(names)))
    else:
        findings.append(Finding("GPU", "none (not needed for tiny)"))
    return [*findings, _engine()]


def _engine() -> Finding:
    """What the radio runs on; another engine than was asked for is no good."""
    try:
        return Finding("engine", describe(engine()))
    except UserError as error:
        return Finding("engine", "not there", str(error))


def _codecs() -> Finding:
    try:
        from av.codec import codecs_available  # likewise
    except ImportError:
        return Finding("codecs", "unknown", "pip install av")
    missing = {"h264", "mpeg4", "aac", "flac"} - codecs_available
    if missing:
        return Finding("codecs", f"no {', '.join(sorted(missing))}", "reinstall av")
    return Finding("codecs", "H.264, MPEG-4, AAC, FLAC")


def _ray_tracing() -> Finding:
    try:
        library, lack = find_llvm(), obstacle()
    except UserError as error:
        library, lack = None, str(error)
    if library is None or lack:
        return Finding("ray tracing", f"no LLVM from {OLDEST} on" if library is None else "no libatomic", lack, False)
    return Finding("ray tracing", f"LLVM {version(library) or ''} ({library})")


def _shipped_model(part: str) -> Finding:
    weights = _ASSETS / "tiny" / part / "model.safetensors"
    if not weights.is_file():
        return Finding(f"tiny {part}", "missing", f"tokcom pretrain {part}")
    return Finding(f"tiny {part}", f"{weights.stat().st_size / 1e6:.1f} MB")


def _builtin(kind: str) -> Finding:
    names = builtin_names(kind)
    if not names:
        return Finding(kind, "none", "reinstall tokcom-phy")
    return Finding(kind, f"{len(names)} built in")
