"""Settings of the impairments of an OFDM uplink: what radios, synchronisation and other cells do to it."""

from typing import Annotated

from pydantic import Field

from tokcom_phy.utils.bounds import Within
from tokcom_phy.utils.settings import Strict


class ImpairmentsConfig(Strict):
    """Impairments of an OFDM uplink, each off by default; see `tokcom_phy.radio.impairments` for the formulas."""

    frequency_offset: Annotated[float, Within(0, 0.5, "beyond half a subcarrier it takes its neighbour's place")] = 0.0
    """Standard deviation of each user's residual carrier frequency offset [subcarrier spacings]."""

    phase_noise: Annotated[float, Within(0, 1e6, "an oscillator that is wider than 1 MHz has no carrier")] = 0.0
    """3 dB linewidth of each user's oscillator, whose phase is a Wiener process [Hz]."""

    timing_offset: Annotated[float, Within(0, 1e-4, "100 µs are a detour of 30 km")] = 0.0
    """How late a user's signal is at most, uniform from zero [s]: its phase turns over the subcarriers, and paths that
    leave the cyclic prefix interfere."""

    image_rejection_db: Annotated[float, Within(5, 100, "mixers reject an image by 20 to 60 dB")] | None = None
    """Power of a signal over that of its image on the mirrored subcarrier, by IQ imbalance at the base station [dB]."""

    adc_bits: int | None = Field(default=None, ge=1, le=16)
    """Bits of the base station's analog-to-digital converters, for each of the real and imaginary part."""

    power_control_std_db: Annotated[float, Within(0, 30, "power control errs by a few decibels")] = 0.0
    """Standard deviation of each user's received power from its target [dB]."""

    pilot_contamination_db: Annotated[float, Within(-100, 20, "nearer users belong to one's own cell")] | None = None
    """Power of a user of another cell over that of the own user with the same pilots and resource elements [dB]."""

    csi_delay: int = Field(default=0, ge=0, le=1400)
    """OFDM symbols by which channel knowledge is older than the data."""

    csi_bits: int | None = Field(default=None, ge=1, le=16)
    """Bits of the real and of the imaginary part of channel estimates at pilots, or of the channel under csi
    'perfect'."""
