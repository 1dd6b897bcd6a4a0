"""Building materials of scenes, and the carrier frequencies at which they are defined."""

import re
from pathlib import Path

from tokcom_phy.utils.errors import UserError

RANGES_GHZ: dict[str, list[tuple[float, float]]] = {
    "vacuum": [(0.001, 100.0)],
    "concrete": [(1.0, 100.0), (110.0, 330.0)],
    "brick": [(1.0, 40.0), (110.0, 330.0)],
    "plasterboard": [(1.0, 400.0)],
    "wood": [(0.001, 400.0)],
    "glass": [(0.1, 450.0)],
    "clear_acrylic": [(110.0, 330.0)],
    "ceiling_board": [(1.0, 450.0)],
    "chipboard": [(1.0, 200.0)],
    "plywood": [(1.0, 40.0), (100.0, 400.0)],
    "marble": [(1.0, 60.0), (100.0, 400.0)],
    "floorboard": [(50.0, 450.0)],
    "vinyl_tile": [(1.0, 40.0)],
    "carpet_tile": [(1.0, 40.0)],
    "asphalt_concrete": [(1.0, 40.0)],
    "metal": [(1.0, 100.0)],
    "very_dry_ground": [(1.0, 10.0)],
    "medium_dry_ground": [(1.0, 10.0)],
    "wet_ground": [(1.0, 10.0)],
}
"""Where ITU-R P.2040-3, table 3, defines a material [GHz]."""


def check_materials(scene: Path, carrier_frequency: float) -> None:
    """Raise a `UserError` if a material of a scene's Mitsuba file is undefined at a carrier frequency [Hz]."""
    content = scene.read_text(encoding="utf-8", errors="replace")
    for block in re.findall(r'<bsdf type="itu-radio-material".*?</bsdf>', content, re.DOTALL):
        for material in re.findall(r'name="type" value="([^"]+)"', block):
            ranges = RANGES_GHZ.get(material)
            gigahertz = carrier_frequency / 1e9
            if ranges and not any(low <= gigahertz <= high for low, high in ranges):
                defined = " and ".join(f"{low:g} to {high:g} GHz" for low, high in ranges)
                raise UserError(
                    f"carrier_frequency {carrier_frequency:g}: scene {scene.stem} has {material}, which ITU-R "
                    f"P.2040 defines from {defined}: choose a carrier there"
                )
