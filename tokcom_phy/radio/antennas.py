"""The antennas of users and of the base station, as Sionna takes them."""

from tokcom_phy.radio.ofdm_config import OfdmConfig
from tokcom_phy.radio.sionna import PanelArray


def user_array(config: OfdmConfig, device: str) -> PanelArray:
    """One vertical omnidirectional antenna."""
    return PanelArray(1, 1, "single", "V", "omni", config.carrier_frequency, device=device)


def base_array(config: OfdmConfig, pattern: str, device: str) -> PanelArray:
    """Antennas, or pairs of them at ±45°, in a horizontal row, half a wavelength apart."""
    places, kind = (config.num_rx_ant, "V") if config.polarization == "single" else (config.num_rx_ant // 2, "cross")
    return PanelArray(1, places, config.polarization, kind, pattern, config.carrier_frequency, device=device)
