"""The picture of a scene: cartoon instruments on a stage or on a meadow, hopping while they sound.

A clip only pastes sprites as tall as the frame onto a background; those who stand still are pasted once.
"""

import math
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from tokcom_phy.synthetic.scene import CLIP_SECONDS, POSITIONS, Player, Scene
from tokcom_phy.synthetic.sprites import MARGIN, SPRITE, note, sprite

FRAME_SIZE = 96
"""Height and width of a frame [pixels]."""

NUM_FRAMES = 20
FRAME_RATE = NUM_FRAMES / CLIP_SECONDS
"""Frames per second [Hz]: 1.953."""

_COLUMN = FRAME_SIZE // len(POSITIONS)
_TILTS = (-6, -3, 0, 3, 6)
_HOP_PIXELS = 9


def frames(scene: Scene) -> np.ndarray:
    """Render what is seen in a scene.

    A player is in the picture while it is seen. It stands still with closed eyes while silent; while sounding it hops,
    sways, opens its eyes, and a note floats above it. The same scene always looks the same.

    Returns
    -------
    uint8 [20, 96, 96, 3]
        RGB frames; frame ``i`` shows the moment ``0.512 · i`` s.
    """
    rng = np.random.default_rng([scene.seed, 2])
    shade = ImageEnhance.Brightness(_background(scene.place, int(rng.integers(4))))
    background = shade.enhance(rng.uniform(0.88, 1.08))
    actors = [(p, rng.uniform(-1, 1), rng.uniform(0, 1), rng.uniform(1.2, 1.8)) for p in scene.players]
    video = np.empty((NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
    stills: dict[tuple[Player, ...], Image.Image] = {}
    for index in range(NUM_FRAMES):
        time = index / FRAME_RATE
        here = [actor for actor in actors if actor[0].seen[0] <= time < actor[0].seen[1]]
        playing = [actor for actor in here if actor[0].plays_at(time)]
        resting = tuple(actor[0] for actor in here if not actor[0].plays_at(time))
        if resting not in stills:
            stills[resting] = background.copy()
            for actor in here:
                if actor[0] in resting:
                    _paste(stills[resting], time, *actor)
        canvas = stills[resting].copy() if playing else stills[resting]
        for actor in playing:
            _paste(canvas, time, *actor)
        video[index] = np.asarray(canvas)
    return video


def _paste(canvas: Image.Image, time: float, player: Player, offset: float, phase: float, tempo: float) -> None:
    """Put one player where it is at ``time`` [s], ``offset`` [pixels] from its column, at ``tempo`` [hops/s]."""
    playing = player.plays_at(time)
    x = POSITIONS.index(player.position) * _COLUMN + round(offset) - MARGIN
    y = FRAME_SIZE - SPRITE[1] - 1
    tilt = 0
    if playing:
        beat = tempo * time + phase
        y -= 2 + round((_HOP_PIXELS - 2) * abs(math.sin(math.pi * beat)))
        tilt = _TILTS[round((len(_TILTS) - 1) * (0.5 + 0.5 * math.sin(math.pi * beat + 1.0)))]
    picture = sprite(player.instrument, tilt, playing)
    canvas.paste(picture, (x, y), picture)
    if playing:
        quaver = note(player.loud)
        canvas.paste(quaver, (x + 26, max(0, round(4 + 3 * math.sin(2 * math.pi * tempo * time)))), quaver)


@cache
def _background(place: str, variant: int) -> Image.Image:
    size = FRAME_SIZE * 4
    image = Image.new("RGB", (size, size))
    draw = ImageDraw.Draw(image)
    (_indoor if place == "indoor" else _outdoor)(draw, variant)
    return image.resize((FRAME_SIZE, FRAME_SIZE), Image.Resampling.LANCZOS)


def _gradient(draw: ImageDraw.ImageDraw, y0: int, y1: int, top: tuple[int, ...], bottom: tuple[int, ...]) -> None:
    for y in range(y0, y1):
        share = (y - y0) / (y1 - y0)
        colour = tuple(round(a + share * (b - a)) for a, b in zip(top, bottom, strict=True))
        draw.line((0, y, 4 * FRAME_SIZE, y), colour)


def _indoor(draw: ImageDraw.ImageDraw, variant: int) -> None:
    """A room: wallpaper, a framed picture, a lamp and floorboards."""
    wall = ((236, 214, 190), (222, 200, 214), (205, 212, 200), (232, 220, 180))[variant]
    _gradient(draw, 0, 290, wall, tuple(v - 30 for v in wall))
    for x in range(0, 384, 48):
        draw.rectangle((x, 0, x + 14, 290), tuple(v - 14 for v in wall))
    draw.rectangle((0, 282, 384, 296), (120, 78, 52))
    _gradient(draw, 296, 384, (176, 116, 72), (140, 86, 50))
    for x in range(-200, 600, 60):
        draw.line((x + (192 - x) // 6, 296, x, 384), (120, 72, 42), 3)
    picture = 96 if variant % 2 else 226
    draw.rectangle((picture, 34, picture + 72, 92), (250, 240, 220), (120, 80, 40), 7)
    draw.polygon((picture + 10, 82, picture + 34, 50, picture + 62, 82), (110, 150, 190))


def _outdoor(draw: ImageDraw.ImageDraw, variant: int) -> None:
    """A meadow under a blue sky: sun, clouds, hills and flowers."""
    _gradient(draw, 0, 250, (96, 178, 240), (205, 235, 252))
    sun = (70, 300, 180, 250)[variant]
    draw.ellipse((sun - 30, 20, sun + 30, 80), (255, 226, 90))
    for x, y in ((40 + 70 * variant, 70), (250 - 50 * variant, 110)):
        for dx, radius in ((0, 18), (24, 26), (52, 18)):
            draw.ellipse((x + dx - radius, y - radius, x + dx + radius, y + radius), (255, 255, 255))
    draw.ellipse((-140, 200, 240, 420), (112, 184, 96))
    draw.ellipse((150, 216, 540, 440), (96, 170, 84))
    _gradient(draw, 290, 384, (116, 196, 80), (70, 150, 56))
    for i in range(18):
        x, y = (i * 67 + 31 * variant) % 384, 300 + (i * 29) % 76
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), ((255, 240, 120), (255, 150, 170), (255, 255, 255))[i % 3])
