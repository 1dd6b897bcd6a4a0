"""The instruments as cartoons: each is drawn once, large, on a transparent canvas, then tilted and shrunk."""

from collections.abc import Callable
from functools import cache

from PIL import Image, ImageDraw

SPRITE = (32, 82)
"""Width and height of an instrument [pixels], without `MARGIN` to its left and right."""

MARGIN = 4
_DETAIL = 4
_INK = (50, 35, 30)


class _Pen:
    """Draws outlined shapes in sprite pixels (0…32, 0…82) on a canvas that is `_DETAIL` times as large."""

    def __init__(self) -> None:
        self.image = Image.new("RGBA", (SPRITE[0] * _DETAIL, SPRITE[1] * _DETAIL))
        self.draw = ImageDraw.Draw(self.image)

    def _scaled(self, points: tuple[float, ...]) -> list[float]:
        return [_DETAIL * p for p in points]

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: str, radius: float = 1, width: float = 0.7) -> None:
        self.draw.rounded_rectangle(
            self._scaled((x0, y0, x1, y1)), radius * _DETAIL, fill, _INK, round(width * _DETAIL)
        )

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: str, width: float = 0.7) -> None:
        self.draw.ellipse(self._scaled((x0, y0, x1, y1)), fill, _INK, round(width * _DETAIL))

    def shape(self, *points: float, fill: str) -> None:
        scaled = self._scaled(points)
        self.draw.polygon(scaled, fill)
        self.draw.line(scaled + scaled[:4], _INK, round(0.8 * _DETAIL), joint="curve")

    def line(self, *points: float, fill: str | tuple[int, int, int] = _INK, width: float = 0.6) -> None:
        self.draw.line(self._scaled(points), fill, round(width * _DETAIL), joint="curve")

    def tube(self, *points: float, fill: str, width: float) -> None:
        """A bent pipe with an outline."""
        self.line(*points, width=width + 1.4)
        self.line(*points, fill=fill, width=width)

    def face(self, x: float, y: float, awake: bool) -> None:
        """Two eyes and a mouth around (x, y)."""
        for eye in (x - 3.2, x + 3.2):
            if awake:
                self.oval(eye - 2.2, y - 2.6, eye + 2.2, y + 2.2, "white", 0.5)
                self.draw.ellipse(self._scaled((eye - 1, y - 1.4, eye + 1, y + 1)), _INK)
            else:
                self.draw.arc(self._scaled((eye - 2, y - 2, eye + 2, y + 1.4)), 10, 170, _INK, round(0.8 * _DETAIL))
        if awake:
            self.oval(x - 2, y + 3.4, x + 2, y + 7, "#b3202a", 0.5)
        else:
            self.line(x - 1.6, y + 4.6, x + 1.6, y + 4.6)


def _accordion(pen: _Pen, awake: bool) -> None:
    for i in range(8):
        pen.box(3 + (i % 2), 20 + 5.4 * i, 29 - (i % 2), 26 + 5.4 * i, "#d63a3a" if i % 2 else "#8e1f2b")
    pen.box(1, 6, 31, 22, "#c9252f", 3)
    pen.box(1, 60, 31, 79, "#c9252f", 3)
    for i in range(6):
        pen.box(3 + 4.5 * i, 66, 6.5 + 4.5 * i, 77, "#fff8e8", 0.5, 0.4)
    pen.face(16, 12, awake)


def _acoustic_guitar(pen: _Pen, awake: bool) -> None:
    pen.box(13.5, 10, 18.5, 44, "#5b3a1e")
    pen.box(11.5, 1, 20.5, 12, "#7d4c22", 2)
    pen.oval(5, 34, 27, 57, "#e8a13a")
    pen.oval(1, 46, 31, 81, "#e8a13a")
    pen.oval(6, 42, 26, 56, "#e8a13a", 0)
    pen.oval(11, 41, 21, 51, "#4a2a12")
    for x in (14.7, 16, 17.3):
        pen.line(x, 10, x, 75, fill=(250, 240, 220), width=0.35)
    pen.box(9, 74, 23, 77, "#5b3a1e")
    pen.face(16, 60, awake)


def _bagpipe(pen: _Pen, awake: bool) -> None:
    for x, top in ((6, 8), (14, 1), (22, 5)):
        pen.tube(x, top, x + 3, 44, fill="#3b2a1d", width=3)
        pen.box(x - 2, top, x + 3, top + 5, "#f4efe2", 1)
    pen.oval(1, 36, 31, 68, "#1f7a4d")
    for y in (43, 52, 61):
        pen.line(3, y, 29, y, fill=(210, 50, 60), width=1)
    for x in (9, 23):
        pen.line(x, 39, x, 65, fill=(240, 220, 90), width=0.8)
    pen.tube(16, 66, 12, 81, fill="#3b2a1d", width=3)
    pen.oval(7, 41, 25, 63, "#1f7a4d", 0)
    pen.face(16, 50, awake)


def _banjo(pen: _Pen, awake: bool) -> None:
    pen.box(13.5, 8, 18.5, 50, "#6b4423")
    pen.box(11, 1, 21, 10, "#efe6d2", 2)
    for peg in (10, 22):
        for y in (2.5, 6.5):
            pen.oval(peg - 1.5, y - 1, peg + 1.5, y + 2, "#c0c7d0")
    pen.oval(0.5, 48, 31.5, 81, "#8d99a8")
    pen.oval(3.5, 51, 28.5, 78, "#fffef8")
    for x in (14.7, 16, 17.3):
        pen.line(x, 10, x, 56, fill=(40, 40, 40), width=0.35)
    pen.face(16, 63, awake)


def _cello(pen: _Pen, awake: bool) -> None:
    pen.line(16, 74, 16, 82, width=1.2)
    pen.box(14, 4, 18, 40, "#2b1a12")
    pen.oval(12.5, 0.5, 19.5, 7, "#5a1f12")
    pen.oval(5, 24, 27, 48, "#7c2f16")
    pen.oval(2, 46, 30, 77, "#7c2f16")
    pen.oval(8, 38, 24, 56, "#7c2f16", 0)
    for x in (7, 25):
        pen.line(x, 49, x, 60, width=1)
    for x in (15, 17):
        pen.line(x, 6, x, 68, fill=(230, 225, 215), width=0.35)
    pen.line(1, 58, 31, 42, fill=(245, 235, 205), width=1.4)
    pen.face(16, 64, awake)


def _clarinet(pen: _Pen, awake: bool) -> None:
    pen.box(13.5, 1, 18.5, 12, "#d9c9a8", 2)
    pen.box(11.5, 10, 20.5, 68, "#23252e", 2)
    pen.shape(11.5, 66, 20.5, 66, 27, 81, 5, 81, fill="#23252e")
    for y in (32, 39, 46, 53, 60):
        pen.oval(13, y, 19, y + 5, "#e9edf2")
    for y in (30, 64):
        pen.box(10.5, y, 21.5, y + 2.5, "#cfd6df")
    pen.box(8.5, 13, 23.5, 29, "#23252e", 5)
    pen.draw.rounded_rectangle([_DETAIL * v for v in (10, 15, 22, 27)], 4 * _DETAIL, "#4a4f63")
    pen.face(16, 19, awake)


def _congas(pen: _Pen, awake: bool) -> None:
    for x in (0.8, 16.4):
        pen.shape(x, 26, x + 14.6, 26, x + 16 - 2.6, 50, x + 11, 80, x + 3.6, 80, x + 1.2, 50, fill="#b5542d")
        pen.oval(x, 21, x + 14.8, 31, "#f5e3bd")
        pen.box(x + 0.6, 36, x + 14, 39, "#d9dde2", 0.5, 0.4)
        pen.box(x + 2.4, 68, x + 12.2, 71, "#d9dde2", 0.5, 0.4)
    pen.oval(5, 42, 27, 64, "#b5542d")
    pen.face(16, 51, awake)


def _drum(pen: _Pen, awake: bool) -> None:
    pen.line(3, 4, 14, 28, fill=(222, 184, 120), width=1.8)
    pen.line(29, 4, 18, 28, fill=(222, 184, 120), width=1.8)
    pen.box(1.5, 32, 30.5, 78, "#2f62c9", 3)
    for x in (1.5, 11.2, 20.9):
        pen.line(x, 36, x + 4.8, 74, x + 9.6, 36, fill=(250, 210, 70), width=1)
    pen.oval(1, 24, 31, 40, "#fdf6e3")
    pen.box(1, 72, 31, 79, "#f2c230", 2)
    pen.oval(6, 43, 26, 66, "#2f62c9", 0)
    pen.face(16, 52, awake)


def _erhu(pen: _Pen, awake: bool) -> None:
    pen.box(14.5, 1, 17.5, 66, "#3a1410")
    for y in (8, 16):
        pen.box(16, y, 27, y + 2.6, "#7b2f22", 1, 0.4)
    pen.shape(9, 60, 23, 60, 28, 69, 23, 79, 9, 79, 4, 69, fill="#4e1a2e")
    pen.oval(10, 63, 22, 76, "#c9b79a")
    pen.line(6, 34, 27, 66, fill=(246, 238, 214), width=1.6)
    pen.line(13.4, 10, 14.2, 66, fill=(235, 235, 235), width=0.4)
    pen.oval(6, 24, 26, 44, "#7d2c45")
    pen.face(16, 31, awake)


def _flute(pen: _Pen, awake: bool) -> None:
    pen.box(12, 1, 20, 81, "#d5dde6", 3)
    pen.line(14, 4, 14, 78, fill=(255, 255, 255), width=1.2)
    for y in (38, 45, 52, 59, 66, 73):
        pen.oval(13, y, 19, y + 5, "#8fa3b8")
    pen.box(11, 31, 21, 34, "#9aa9bb")
    pen.box(8, 10, 24, 27, "#e6edf4", 6)
    pen.face(16, 16, awake)


def _piano(pen: _Pen, awake: bool) -> None:
    pen.box(1, 14, 31, 70, "#1d1d22", 2)
    pen.box(3, 3, 29, 16, "#2c2c34", 2)
    for i in range(7):
        pen.box(2 + 4 * i, 46, 6 + 4 * i, 61, "#fffdf6", 0.3, 0.4)
    for i in (0, 1, 3, 4, 5):
        pen.box(4.8 + 4 * i, 46, 7.2 + 4 * i, 54, "#111111", 0.2, 0.2)
    for x in (3, 24):
        pen.box(x, 69, x + 5, 81, "#1d1d22")
    pen.box(5, 20, 27, 40, "#45454f", 3)
    pen.face(16, 28, awake)


def _saxophone(pen: _Pen, awake: bool) -> None:
    pen.tube(3, 12, 7, 5, 14, 6, 14, 62, 16, 70, 21, 71, 25, 66, 25, 44, fill="#f0b429", width=6)
    pen.shape(20, 46, 30, 46, 31.5, 32, 17.5, 32, fill="#f0b429")
    pen.oval(17.5, 29, 31.5, 35, "#8a5a08")
    pen.line(1, 14, 4.5, 9, width=2.4)
    for y in (42, 49, 56):
        pen.oval(11.5, y, 16.5, y + 5, "#fff3c4")
    pen.oval(5.5, 14, 22.5, 32, "#f0b429")
    pen.face(14, 20, awake)


def _trumpet(pen: _Pen, awake: bool) -> None:
    pen.tube(16, 2, 16, 60, fill="#f7d046", width=4)
    pen.box(12, 0.8, 20, 4, "#b98a12")
    pen.tube(7, 26, 7, 52, 16, 58, fill="#f7d046", width=3)
    pen.tube(7, 26, 16, 20, fill="#f7d046", width=3)
    for y in (26, 33, 40):
        pen.box(16, y, 28, y + 5, "#e2b324", 2)
        pen.box(28, y + 1, 31, y + 4, "#fff3c4")
    pen.shape(13, 56, 19, 56, 22, 66, 30, 79, 2, 79, 10, 66, fill="#f7d046")
    pen.oval(1, 75, 31, 82, "#a87a0e")
    pen.oval(7.5, 4, 24.5, 21, "#f7d046")
    pen.face(16, 10, awake)


def _tuba(pen: _Pen, awake: bool) -> None:
    pen.shape(1, 4, 31, 4, 24, 22, 21, 40, 11, 40, 8, 22, fill="#c98a2b")
    pen.oval(1, 0.5, 31, 9, "#6e4511")
    pen.oval(1, 30, 31, 80, "#c98a2b")
    pen.oval(7, 38, 25, 72, "#8f5c16")
    pen.tube(11, 44, 11, 66, fill="#e0a84a", width=3)
    pen.tube(21, 44, 21, 66, fill="#e0a84a", width=3)
    pen.oval(7, 46, 25, 64, "#e0a84a")
    pen.face(16, 53, awake)


def _violin(pen: _Pen, awake: bool) -> None:
    pen.box(14.5, 14, 17.5, 48, "#2b1a12")
    pen.oval(13, 8, 19, 15, "#a0451a")
    pen.oval(8, 36, 24, 54, "#d2691e")
    pen.oval(6, 51, 26, 76, "#d2691e")
    pen.oval(10, 46, 22, 60, "#d2691e", 0)
    pen.box(13, 72, 19, 79, "#2b1a12", 2)
    pen.line(28, 2, 30, 78, fill=(250, 245, 225), width=1.2)
    pen.line(29, 2, 31, 78, width=0.8)
    for x in (15.2, 16.8):
        pen.line(x, 12, x, 72, fill=(240, 235, 225), width=0.35)
    pen.face(16, 60, awake)


def _xylophone(pen: _Pen, awake: bool) -> None:
    pen.box(5, 10, 9, 81, "#8a5a2b")
    pen.box(23, 10, 27, 81, "#8a5a2b")
    colours = ("#e63946", "#f4832a", "#ffd23f", "#5cb85c", "#2aa5c9", "#3f51b5", "#8e44ad")
    for i, colour in enumerate(colours):
        margin = 0.6 * (6 - i)
        pen.box(1 + margin, 26 + 7.4 * i, 31 - margin, 32 + 7.4 * i, colour, 1.5)
    pen.oval(6, 3, 26, 23, "#c98a4b")
    pen.face(16, 10, awake)


_DRAW: dict[str, Callable[[_Pen, bool], None]] = {
    "accordion": _accordion,
    "acoustic_guitar": _acoustic_guitar,
    "bagpipe": _bagpipe,
    "banjo": _banjo,
    "cello": _cello,
    "clarinet": _clarinet,
    "congas": _congas,
    "drum": _drum,
    "erhu": _erhu,
    "flute": _flute,
    "piano": _piano,
    "saxophone": _saxophone,
    "trumpet": _trumpet,
    "tuba": _tuba,
    "violin": _violin,
    "xylophone": _xylophone,
}


@cache
def sprite(instrument: str, tilt: int, awake: bool) -> Image.Image:
    """An instrument, tilted by some degrees, RGBA of `SPRITE` size with a margin to the left and to the right."""
    pen = _Pen()
    _DRAW[instrument](pen, awake)
    width, height = SPRITE[0] + 2 * MARGIN, SPRITE[1]
    image = Image.new("RGBA", (width * _DETAIL, height * _DETAIL))
    image.paste(pen.image, (MARGIN * _DETAIL, 0))
    image = image.rotate(tilt, Image.Resampling.BICUBIC, center=(image.width / 2, image.height))
    return image.resize((width, height), Image.Resampling.LANCZOS)


@cache
def note(loud: bool) -> Image.Image:
    """A quaver, larger for a loud player."""
    size = 9 if loud else 6
    image = Image.new("RGBA", (90, 90))
    draw = ImageDraw.Draw(image)
    draw.ellipse((8, 56, 50, 86), "#20242c", "white", 5)
    draw.rectangle((40, 8, 50, 72), "#20242c")
    draw.polygon((40, 8, 50, 8, 84, 36, 78, 52, 50, 30), "#20242c")
    return image.resize((size, size), Image.Resampling.LANCZOS)
