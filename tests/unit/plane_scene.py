"""A scene that is a plane of metal, and what is known of it in closed form."""

from pathlib import Path

import numpy as np

PLANE = """ply
format ascii 1.0
element vertex 4
property float x
property float y
property float z
element face 2
property list uchar int vertex_index
end_header
-1000 -1000 0
1000 -1000 0
1000 1000 0
-1000 1000 0
3 0 1 2
3 0 2 3
"""
SCENE = """<scene version="2.1.0">
<bsdf type="itu-radio-material" id="metal"><string name="type" value="metal"/></bsdf>
<shape type="ply" id="mesh-plane">
<string name="filename" value="plane.ply"/><ref id="metal" name="bsdf"/>
</shape>
</scene>
"""


def plane(folder: Path) -> str:
    """Write the scene, and return its file."""
    (folder / "plane.ply").write_text(PLANE)
    (folder / "plane.xml").write_text(SCENE)
    return str(folder / "plane.xml")


def antenna_gain(direction: np.ndarray) -> np.ndarray:
    """TR 38.901, table 7.3-1: power pattern of an antenna that looks along x, for directions [n, 3]."""
    x, y, z = (direction / np.linalg.norm(direction, axis=1, keepdims=True)).T
    zenith, azimuth = np.degrees(np.arccos(z)), np.degrees(np.arctan2(y, x))
    vertical = np.minimum(12 * ((zenith - 90) / 65) ** 2, 30)
    horizontal = np.minimum(12 * (azimuth / 65) ** 2, 30)
    return 10 ** ((8 - np.minimum(vertical + horizontal, 30)) / 10)
