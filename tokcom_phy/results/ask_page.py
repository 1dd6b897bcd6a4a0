"""The page of one question, to be shown in a talk: one file that plays the clip and needs no network."""

import base64
import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tokcom_phy.results.ask import Asked
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import write_atomically

MAX_CLIP_BYTES = 64 * 2**20
"""Size of a clip that is put into the page."""

_MEDIA = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",
    ".webm": "video/webm",
    ".mkv": "video/webm",
    ".ogv": "video/ogg",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
}


def write_page(asked: Asked, target: Path) -> Path:
    """Write a question's page: the clip, the question, and a slider over the SNRs that it was asked at.

    Raises
    ------
    UserError
        If the clip is too large to be put into a page, or the page cannot be written.
    """
    check_target(target)
    size = asked.clip.stat().st_size
    if size > MAX_CLIP_BYTES:
        raise UserError(f"{asked.clip} has {size / 2**20:.0f} MB, a page takes {MAX_CLIP_BYTES >> 20}: cut it shorter")
    kind = _MEDIA.get(asked.clip.suffix.lower(), "video/mp4")
    folder = Path(__file__).parent
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    script = (folder / "ask.js").read_text(encoding="utf-8")
    page = environment.get_template("ask.html").render(
        asked=asked,
        media=f"data:{kind};base64,{base64.b64encode(asked.clip.read_bytes()).decode()}",
        tag=kind.partition("/")[0],
        script=Markup(script),
        digest=script_digest(script),
        data=Markup(json_for_page([asdict(hearing) for hearing in asked.hearings])),
        version=version("tokcom-phy"),
    )
    with write_atomically(target) as path:
        path.write_text(page, encoding="utf-8")
    return target


def check_target(target: Path) -> None:
    """Refuse a page that is no HTML file, before anything is computed."""
    if target.suffix.lower() not in (".html", ".htm") or target.is_dir():
        raise UserError(f"cannot write the page to {target}: name an .html file")


def script_digest(script: str) -> str:
    """What the page's policy names a script by, so that it runs no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def json_for_page(values: object) -> str:
    """JSON for a script element, in which no text can end the element."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
