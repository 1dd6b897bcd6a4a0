"""Path loss over a distance: the models of 3GPP TR 38.901, section 7.4.1, as Sionna has them, and free space."""

import math
from functools import cache

from scipy.constants import speed_of_light

from tokcom_phy.utils.errors import UserError

HEIGHTS_M = {"umi": 10.0, "uma": 25.0, "rma": 35.0}
"""Default heights of base stations [m], TR 38.901, tables 7.2-1 and 7.2-3, and note 5 of table 7.4.1-1."""

_DISTANCES_M = {"umi": (10.0, 5e3), "uma": (10.0, 5e3), "rma": (10.0, 5e3)}
_LINE_OF_SIGHT_M = {**_DISTANCES_M, "rma": (10.0, 10e3)}
_CARRIERS_GHZ = {"umi": (0.5, 100.0), "uma": (0.5, 100.0), "rma": (0.5, 30.0)}


def free_space(distance_m: float, carrier_frequency: float) -> float:
    """Path loss in free space (H. Friis, 1946), 20 log10(4πdf/c) [dB]; ``carrier_frequency`` in Hz."""
    return 20 * math.log10(4 * math.pi * distance_m * carrier_frequency / speed_of_light)


@cache
def path_loss(
    model: str,
    distance_m: float,
    carrier_frequency: float,
    line_of_sight: bool = False,
    base_station_height_m: float | None = None,
    user_height_m: float = 1.5,
) -> float:
    """Mean path loss of a user, without shadowing.

    Parameters
    ----------
    model : 'umi', 'uma', 'rma' or 'free-space'
    distance_m : float
        Along the ground [m]; in free space along the path.
    carrier_frequency : float
        [Hz]
    line_of_sight : bool
    base_station_height_m, user_height_m : float
        [m]; the base station's by default that of TR 38.901.

    Returns
    -------
    float [dB]

    Raises
    ------
    UserError
        If TR 38.901 does not define the model at this distance or carrier.
    """
    if model == "free-space":
        return free_space(distance_m, carrier_frequency)
    low, high = (_LINE_OF_SIGHT_M if line_of_sight else _DISTANCES_M)[model]
    if not low <= distance_m <= high:
        raise UserError(
            f"distance_m {distance_m:g}: 3GPP TR 38.901 defines path loss {model} from {low:g} to {high:g} m "
            f"{'with' if line_of_sight else 'without'} a line of sight: choose a distance there, or free-space"
        )
    low, high = _CARRIERS_GHZ[model]
    if not low * 1e9 <= carrier_frequency <= high * 1e9:
        raise UserError(
            f"carrier_frequency {carrier_frequency:g}: 3GPP TR 38.901 defines path loss {model} from {low:g} to "
            f"{high:g} GHz: choose a carrier there, or free-space"
        )
    from tokcom_phy.radio.sionna import basic_path_loss_db  # budgets of known path loss start without Sionna

    height = HEIGHTS_M[model] if base_station_height_m is None else base_station_height_m
    return basic_path_loss_db(model, distance_m, carrier_frequency, line_of_sight, height, user_height_m)
