"""Settings of OFDM uplinks, and of the scenes that they are ray-traced in."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokcom_phy.radio.family_config import (
    Antennas,
    Count,
    EqualizedLinkConfig,
    SnrDb,
    Users,
    check_antennas,
    check_distinct,
    check_known,
)
from tokcom_phy.radio.impairments_config import ImpairmentsConfig
from tokcom_phy.radio.link_budget_config import LinkBudgetConfig
from tokcom_phy.utils.bounds import Seed, Within
from tokcom_phy.utils.settings import Strict

Coordinate = Annotated[float, Within(-1e6, 1e6, "a scene lies within 1000 km of its origin")]
MAX_ELEMENTS, MAX_LMMSE = 100_000, 600
"""Largest slot, in resource elements, and most subcarriers for LMMSE interpolation."""

_VALID_GHZ = {**dict.fromkeys(("TDL", "CDL", "UMi", "UMa"), (0.5, 100.0)), "RMa": (0.5, 30.0)}
"""Carrier frequencies of the models of TR 38.901 [GHz]: sections 7.2 and 7.7."""

Point = tuple[Coordinate, Coordinate, Coordinate]


class SceneConfig(Strict):
    """A scene for ray tracing, with its base station and users; see `tokcom_phy.radio.raytracing.trace`."""

    name: str
    """A scene that Sionna RT ships, or a Mitsuba file (.xml), relative to the link file's folder."""

    base_station: Point
    """Position of the base station's antennas, x, y, z [m]."""

    facing: Point
    """A point that the antennas face, x, y, z [m]."""

    radius: Annotated[float, Within(0.1, 1e5, "a cell has a radius of up to 100 km")] = 200.0
    """Maximum distance of a user from the base station [m]."""

    user_height: Annotated[float, Within(0.01, 1e4, "users are from the ground to 10 km above it")] = 1.5
    """Height of a user's antenna above the ground [m]."""

    positions: Annotated[Count, Within(1, 10**5, "each position is traced by itself")] = 256
    """Number of traced positions; each realisation of the link draws distinct ones for its users."""

    min_path_gain_db: Annotated[float, Within(-300, 0, "a path loses at most 300 dB, and gains nothing")] = -130.0
    """Least total path gain of a served position [dB]."""

    max_depth: int = Field(default=3, ge=0, le=10)
    """Maximum number of reflections and diffractions of a path."""

    diffraction: bool = True
    """Whether paths are diffracted at edges."""

    seed: Annotated[int, Seed] = 0
    """Seed of the positions."""

    @model_validator(mode="after")
    def _looks_somewhere(self) -> Self:
        if self.base_station == self.facing:
            raise ValueError("base_station and facing are the same point: name another one to look at")
        return self


class OfdmConfig(EqualizedLinkConfig):
    """An OFDM uplink with pilots: single-antenna users, one base station."""

    family: Literal["ofdm"]
    """Selects this family."""

    channel: Literal[
        "TDL-A",
        "TDL-B",
        "TDL-C",
        "TDL-D",
        "TDL-E",
        "CDL-A",
        "CDL-B",
        "CDL-C",
        "CDL-D",
        "CDL-E",
        "UMi",
        "UMa",
        "RMa",
        "ray-traced",
        "file",
    ]
    """Channel model of 3GPP TR 38.901, 'ray-traced', or 'file' for recorded responses."""

    scene: SceneConfig | None = None
    """The scene of channel 'ray-traced'."""

    responses: Path | None = None
    """NumPy file of the channel responses of channel 'file', relative to the link file's folder."""

    delay_spread: Annotated[float, Within(1e-12, 1e-4, "100 µs are a detour of 30 km")] = 100e-9
    """RMS delay spread of TDL and CDL models [s]."""

    carrier_frequency: Annotated[float, Within(1e8, 1e12, "mobile radio lies between 0.1 GHz and 1 THz")] = 3.5e9
    """Carrier frequency [Hz]."""

    speed: Annotated[float, Within(0, 1e4, "satellites in low orbit move at 8e3 m/s, light at 3e8")] = 0.8333
    """Speed of every user [m/s]."""

    num_subcarriers: Annotated[Count, Within(1, 3300, "a 5G carrier has at most 275 resource blocks of 12")] = 132
    """Number of subcarriers, all of them used."""

    power_control: Literal["large-scale", "none"] = "large-scale"
    """Of users that have positions (UMi, UMa, RMa, ray-traced): 'large-scale', transmit power makes up for path loss,
    shadowing and antenna gain, so that the SNR is every user's mean one and only multipath fades; 'none', all send at
    equal power, and the SNR [dB] is the mean of users over all positions. With a ``budget``, 'none' keeps the true path
    gains: that SNR follows from the transmit power and the mean path gain [dB]."""

    subcarrier_spacing: Annotated[float, Within(100, 1e7, "5G has 15e3 to 960e3 Hz")] = 30e3
    """Subcarrier spacing [Hz]."""

    num_ofdm_symbols: Annotated[Count, Within(1, 280, "a slot of 5G has 14, and 20 slots are 280")] = 14
    """OFDM symbols of a slot."""

    cyclic_prefix_length: int = Field(default=9, ge=0)
    """Length of the cyclic prefix, in samples at the rate num_subcarriers · subcarrier_spacing."""

    waveform: Literal["cp-ofdm", "dft-s-ofdm"] = "cp-ofdm"
    """'cp-ofdm', or 'dft-s-ofdm': each OFDM symbol is precoded by a DFT over its subcarriers (the transform precoding
    of the 5G uplink). Its peaks are lower, and its symbols share the fades of all subcarriers."""

    self_interference: bool = True
    """Whether power beyond the cyclic prefix, and the Doppler spread within an OFDM symbol, become interference between
    symbols and subcarriers; false as in Sionna's frequency domain, where neither costs anything."""

    impairments: ImpairmentsConfig = ImpairmentsConfig()
    """What radios, synchronisation and other cells do to the uplink; by default nothing."""

    pilot_symbols: list[int] = Field(default=[2, 11], min_length=1)
    """OFDM symbols of a slot that carry pilots, counted from 0; users have orthogonal combs (Kronecker pattern)."""

    pilots: Literal["qpsk", "zadoff-chu"] = "qpsk"
    """What the combs carry: pseudo-random 'qpsk', as the reference signals of CP-OFDM in 5G, or 'zadoff-chu', as those
    of DFT-s-OFDM, whose peaks are lower, so that an amplifier distorts them less."""

    users: Users = Field(default=["audio", "video", "text"])
    """Users of the link: one single-antenna device per modality, and the interferers."""

    interferers: list[str] = Field(default=[])
    """Users that interfere under mu-mimo: they always send Gaussian symbols, at the mean SNR [dB] of the others."""

    snr_offset_db: dict[str, SnrDb] = Field(default={})
    """Offset of a user's SNR from the SNR at which the link is used, by user [dB]: near and far users."""

    num_rx_ant: Antennas = 8
    """Receive antennas of the base station."""

    polarization: Literal["single", "dual"] = "single"
    """'single': vertical antennas; 'dual': half as many pairs at ±45°. For channels with directions: CDL, UMi, UMa,
    RMa and ray-traced ones."""

    access: Literal["mu-mimo", "ofdma", "tdma"] = "mu-mimo"
    """'mu-mimo' (all users on all resource elements), 'ofdma' (a band each) or 'tdma' (slots in turn)."""

    csi: Literal["perfect", "ls"] = "ls"
    """Channel state information: 'perfect', or 'ls' (least squares at the pilots, interpolated)."""

    interpolation: Literal["nearest", "linear", "lmmse", "wiener"] = "linear"
    """Interpolation between pilots under csi 'ls': 'nearest', 'linear', or by the channel's covariances and the noise
    variance, which the receiver knows: 'lmmse' (over subcarriers, then over OFDM symbols, as Sionna does) or 'wiener'
    (over both at once)."""

    error_variance: Literal["interpolated", "pilots"] = "interpolated"
    """What the receiver takes for the error variance of estimates by interpolation 'nearest' or 'linear':
    'interpolated', by the interpolation's weights and the channel's power-delay profile and Doppler spectrum, or
    'pilots', that at the pilots for every resource element, as Sionna does."""

    combining: Literal["lmmse", "zf", "mrc"] = "lmmse"
    """'lmmse', 'zf' or 'mrc'."""

    @property
    def own_bandwidth_hz(self) -> float:
        """Bandwidth of a user: all subcarriers, or its share of them under ofdma [Hz]."""
        share = len(self.users) if self.access == "ofdma" else 1
        return self.num_subcarriers * self.subcarrier_spacing / share

    @property
    def true_path_gains(self) -> bool:
        return self.power_control == "none"

    def check_budget(self, budget: LinkBudgetConfig) -> None:
        check_known("budget", budget.users, [u for u in self.users if u not in self.interferers])
        bandwidths = budget.bandwidth_hz.values() if isinstance(budget.bandwidth_hz, dict) else [budget.bandwidth_hz]
        for bandwidth in bandwidths:
            if bandwidth is not None and bandwidth != self.own_bandwidth_hz:
                raise ValueError(
                    f"budget.bandwidth_hz {bandwidth:g}: a user's subcarriers take {self.own_bandwidth_hz:g} Hz: leave "
                    "it out, and set num_subcarriers or subcarrier_spacing"
                )
        if budget.carrier_frequency not in (None, self.carrier_frequency):
            raise ValueError("budget.carrier_frequency: an OFDM link has one already: set its carrier_frequency")

    @model_validator(mode="after")
    def _users_fit(self) -> Self:
        check_distinct(self.users)
        check_known("interferers", self.interferers, self.users)
        check_known("snr_offset_db", self.snr_offset_db, [u for u in self.users if u not in self.interferers])
        if self.access == "mu-mimo":
            check_antennas(self.users, self.num_rx_ant)
        elif self.interferers:
            raise ValueError(f"interferers have no effect under {self.access}: leave them out, or choose mu-mimo")
        self.check_output(len(self.users) if self.access == "mu-mimo" else 1, self.num_rx_ant)
        if set(self.users) == set(self.interferers):
            raise ValueError("interferers are all users: leave at least one user that is none")
        if self.access != "tdma" and self.num_subcarriers % len(self.users):
            raise ValueError(
                f"num_subcarriers {self.num_subcarriers} cannot be shared by {len(self.users)} users: "
                f"choose a multiple of {len(self.users)}"
            )
        return self

    @model_validator(mode="after")
    def _channel_fits(self) -> Self:
        if (self.channel == "file") != (self.responses is not None):
            raise ValueError("channel 'file' and responses go together: name the file of channel responses")
        if (self.channel == "ray-traced") != (self.scene is not None):
            raise ValueError(
                "channel 'ray-traced' and scene go together: say which scene, and where the base station is"
            )
        if self.power_control == "none" and (self.channel == "file" or self.channel[:3] in ("TDL", "CDL")):
            raise ValueError(
                f"channel '{self.channel}' has no path loss: leave power_control out, or choose UMi, UMa, RMa or "
                "ray-traced"
            )
        if self.polarization == "dual" and (self.channel == "file" or self.channel.startswith("TDL")):
            raise ValueError(
                f"channel '{self.channel}' has no polarization: leave it out, or choose CDL, UMi, UMa or RMa"
            )
        if self.polarization == "dual" and self.num_rx_ant % 2:
            raise ValueError(
                f"polarization 'dual' has antennas in pairs, num_rx_ant is {self.num_rx_ant}: choose an even one"
            )
        if (limits := _VALID_GHZ.get(self.channel.split("-")[0])) is not None:
            low, high = limits
            if not low * 1e9 <= self.carrier_frequency <= high * 1e9:
                raise ValueError(
                    f"carrier_frequency {self.carrier_frequency:g}: 3GPP TR 38.901 defines {self.channel} "
                    f"from {low:g} to {high:g} GHz: choose a carrier there"
                )
        if self.scene is not None and self.scene.positions < len(self.users):
            raise ValueError(
                f"scene.positions {self.scene.positions}: choose at least one for each of {len(self.users)} users"
            )
        return self

    @model_validator(mode="after")
    def _slot_fits(self) -> Self:
        if self.num_ofdm_symbols * self.num_subcarriers > MAX_ELEMENTS:
            raise ValueError(
                f"a slot of {self.num_ofdm_symbols} OFDM symbols on {self.num_subcarriers} subcarriers has more than "
                f"{MAX_ELEMENTS} resource elements, twice as many as 5G's largest: lower num_ofdm_symbols"
            )
        if (self.csi, self.interpolation) == ("ls", "lmmse") and self.num_subcarriers > MAX_LMMSE:
            raise ValueError(
                f"interpolation 'lmmse' takes time by the cube of the subcarriers, and {self.num_subcarriers} are "
                f"more than {MAX_LMMSE}: lower num_subcarriers, or choose linear"
            )
        if len(set(self.pilot_symbols)) < len(self.pilot_symbols) or not all(
            0 <= symbol < self.num_ofdm_symbols for symbol in self.pilot_symbols
        ):
            raise ValueError(
                f"pilot_symbols {self.pilot_symbols}: choose distinct OFDM symbols from 0 to "
                f"{self.num_ofdm_symbols - 1}"
            )
        if len(self.pilot_symbols) == self.num_ofdm_symbols:
            raise ValueError("pilot_symbols fill the whole slot: leave OFDM symbols for data")
        if self.waveform == "dft-s-ofdm" and self.output == "raw":
            raise ValueError("waveform 'dft-s-ofdm' has no raw output, since subcarriers are equalised: choose cp-ofdm")
        if self.uses_per_value is not None and (self.waveform != "cp-ofdm" or self.amplifier_backoff_db is not None):
            raise ValueError(
                "uses_per_value repeats symbols on subcarriers: it needs waveform cp-ofdm without amplifier_backoff_db"
            )
        if self.cyclic_prefix_length > self.num_subcarriers:
            raise ValueError("cyclic_prefix_length is longer than the OFDM symbol: choose at most num_subcarriers")
        return self
