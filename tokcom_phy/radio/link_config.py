"""What a link file may say: one pydantic model per family, every unknown key an error."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from tokcom_phy.utils.errors import UserError, nearest
from tokcom_phy.utils.files import find

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Coordinate = Annotated[float, Field(allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate, Coordinate]
Users = Annotated[list[str], Field(min_length=1)]
Decibels = Annotated[float, Field(allow_inf_nan=False)]


class _Config(BaseModel):
    """What every link may say: how tokens go on the air, whatever the radio (`tokcom_phy.radio.link.Link.transmit`).

    Attributes
    ----------
    description : What the link is, in one line; by default the first line of its file.
    power : Unit mean power of each user's whole 'block', or of every 'token' by itself.
    amplifier_backoff_db : Saturation power of each user's amplifier (Rapp's model) over the mean power it is fed with
        [dB]; null for an ideal amplifier.
    scale : 'restored', the receiver undoes the normalisation by protected headers, or 'withheld', there are no headers
        and tokens arrive at the unit power they had on the air.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = ""
    power: Literal["block", "token"] = "block"
    amplifier_backoff_db: float | None = Field(default=None, ge=-40, allow_inf_nan=False)
    scale: Literal["restored", "withheld"] = "restored"


class FlatConfig(_Config):
    """A frequency-flat link: one complex gain per user and antenna, constant over a stretch of symbols.

    Attributes
    ----------
    fading : 'none' (gain one), 'rayleigh' or 'rician'
    k_factor_db : Power of the line of sight over the scattered power of Rician fading [dB].
    coherence : Symbols of a fade; the next stretch fades independently.
    noiseless : No noise at all, at any SNR.
    access : 'orthogonal', each user on channel uses of its own, or 'mu-mimo', all at once.
    users : Who shares the link under mu-mimo; under orthogonal access anybody may send.
    snr_offset_db : user → how far its SNR lies from the SNR that the link is used at [dB]: near and far users.
    num_rx_ant : Receive antennas.
    combining : 'lmmse', 'zf', 'mrc', or 'none' to hand on h·x + n of a single antenna as it is, equation (6) literally.
    unbiased : Divide LMMSE output by its own gain; without, the output has the least mean squared error.
    symbol_rate : Channel uses per second [Hz], for the budget.
    """

    family: Literal["flat"]
    fading: Literal["none", "rayleigh", "rician"] = "rayleigh"
    k_factor_db: float = Field(default=6.0, allow_inf_nan=False)
    coherence: Count = 64
    noiseless: bool = False
    access: Literal["orthogonal", "mu-mimo"] = "orthogonal"
    users: Users = ["audio", "video", "text"]
    snr_offset_db: dict[str, Decibels] = {}
    num_rx_ant: Count = 1
    combining: Literal["none", "lmmse", "zf", "mrc"] = "lmmse"
    unbiased: bool = False
    symbol_rate: Positive = 1e6

    @model_validator(mode="after")
    def _fits(self) -> "FlatConfig":
        _check_distinct(self.users)
        _check_known("snr_offset_db", self.snr_offset_db, self.users)
        if self.combining == "none" and (self.num_rx_ant > 1 or self.access == "mu-mimo"):
            raise ValueError("combining 'none' is for one antenna and orthogonal access: choose lmmse, zf or mrc")
        if self.fading == "none" and (self.num_rx_ant > 1 or self.access == "mu-mimo"):
            raise ValueError("fading 'none' is for one antenna and orthogonal access: choose rayleigh or rician")
        if self.access == "mu-mimo":
            _check_antennas(self.users, self.num_rx_ant)
        return self


class SceneConfig(BaseModel):
    """A scene to trace rays in, and who is where in it; see `tokcom_phy.radio.raytracing.trace`.

    Attributes
    ----------
    name : A scene that Sionna RT ships, or a Mitsuba file (.xml), relative to the link file's folder.
    base_station : Position of the base station's antennas, x, y, z [m].
    facing : A point that they look at, x, y, z [m].
    radius : Users are dropped so far around the base station [m].
    user_height : Of a user's antenna above the ground [m].
    positions : Positions that are traced; a realisation of the link puts each user on another one of them.
    min_path_gain_db : Path gain that a position needs to be served [dB].
    max_depth : Reflections and diffractions of a path at most.
    diffraction : Whether edges diffract.
    seed : Of the positions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    base_station: Point
    facing: Point
    radius: Positive = 200.0
    user_height: Positive = 1.5
    positions: Count = 256
    min_path_gain_db: float = Field(default=-130.0, allow_inf_nan=False)
    max_depth: int = Field(default=3, ge=0, le=10)
    diffraction: bool = True
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _looks_somewhere(self) -> "SceneConfig":
        if self.base_station == self.facing:
            raise ValueError("base_station and facing are the same point: name another one to look at")
        return self


class OfdmConfig(_Config):
    """An OFDM uplink with pilots: single-antenna users, one base station.

    Attributes
    ----------
    channel : Channel model of 3GPP TR 38.901, 'ray-traced', or 'file' for recorded responses.
    scene : Where rays are traced, for channel 'ray-traced'.
    responses : NumPy file of channel responses, for channel 'file'; relative to the link file's folder.
    delay_spread : RMS delay spread of TDL and CDL models [s].
    carrier_frequency : [Hz]
    speed : Speed of every user [m/s].
    num_subcarriers : Subcarriers, all used.
    subcarrier_spacing : [Hz]
    num_ofdm_symbols : OFDM symbols of a slot.
    cyclic_prefix_length : In samples at the rate num_subcarriers · subcarrier_spacing.
    pilot_symbols : OFDM symbols of a slot that carry pilots, on orthogonal combs (Kronecker pattern).
    users : One single-antenna device per modality.
    interferers : Users that send all the time under mu-mimo, at the mean SNR of the others, what nobody listens to.
    snr_offset_db : user → how far its SNR lies from the SNR that the link is used at [dB]: near and far users.
    num_rx_ant : Antennas of the base station.
    polarization : 'single', all its antennas vertical, or 'dual', pairs at ±45° in half as many places; for channels
        that know directions: CDL, UMi, UMa, RMa and ray-traced ones.
    access : 'mu-mimo' (all users on all resource elements), 'ofdma' (a band each) or 'tdma' (slots in turn).
    csi : 'perfect' or 'ls' (least squares at the pilots, interpolated).
    interpolation : 'nearest', 'linear' or 'lmmse'.
    combining : 'lmmse', 'zf' or 'mrc'.
    unbiased : Divide LMMSE output by its own gain, as Sionna does.
    """

    family: Literal["ofdm"]
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
    scene: SceneConfig | None = None
    responses: Path | None = None
    delay_spread: Positive = 100e-9
    carrier_frequency: Positive = 3.5e9
    speed: float = Field(default=0.8333, ge=0, allow_inf_nan=False)
    num_subcarriers: Count = 132
    subcarrier_spacing: Positive = 30e3
    num_ofdm_symbols: Count = 14
    cyclic_prefix_length: int = Field(default=9, ge=0)
    pilot_symbols: Annotated[list[int], Field(min_length=1)] = [2, 11]
    users: Users = ["audio", "video", "text"]
    interferers: list[str] = []
    snr_offset_db: dict[str, Decibels] = {}
    num_rx_ant: Count = 8
    polarization: Literal["single", "dual"] = "single"
    access: Literal["mu-mimo", "ofdma", "tdma"] = "mu-mimo"
    csi: Literal["perfect", "ls"] = "ls"
    interpolation: Literal["nearest", "linear", "lmmse"] = "linear"
    combining: Literal["lmmse", "zf", "mrc"] = "lmmse"
    unbiased: bool = True

    @model_validator(mode="after")
    def _fits(self) -> "OfdmConfig":
        _check_distinct(self.users)
        _check_known("interferers", self.interferers, self.users)
        _check_known("snr_offset_db", self.snr_offset_db, [u for u in self.users if u not in self.interferers])
        if self.access == "mu-mimo":
            _check_antennas(self.users, self.num_rx_ant)
        elif self.interferers:
            raise ValueError(f"interferers disturb nobody under {self.access}: leave them out, or choose mu-mimo")
        if set(self.users) == set(self.interferers):
            raise ValueError("interferers are all users: leave one to listen to")
        if self.access != "tdma" and self.num_subcarriers % len(self.users):
            raise ValueError(
                f"num_subcarriers {self.num_subcarriers} cannot be shared by {len(self.users)} users: "
                f"choose a multiple of {len(self.users)}"
            )
        if (self.channel == "file") != (self.responses is not None):
            raise ValueError("channel 'file' and responses go together: name the file of channel responses")
        if (self.channel == "ray-traced") != (self.scene is not None):
            raise ValueError(
                "channel 'ray-traced' and scene go together: say which scene, and where the base station is"
            )
        if self.polarization == "dual" and (self.channel == "file" or self.channel.startswith("TDL")):
            raise ValueError(
                f"channel '{self.channel}' knows no polarization: leave it out, or choose CDL, UMi, UMa or RMa"
            )
        if self.polarization == "dual" and self.num_rx_ant % 2:
            raise ValueError(
                f"polarization 'dual' has antennas in pairs, num_rx_ant is {self.num_rx_ant}: choose an even one"
            )
        if self.scene is not None and self.scene.positions < len(self.users):
            raise ValueError(
                f"scene.positions {self.scene.positions}: choose at least one for each of {len(self.users)} users"
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
        if self.cyclic_prefix_length > self.num_subcarriers:
            raise ValueError("cyclic_prefix_length is longer than the OFDM symbol: choose at most num_subcarriers")
        return self


class ErasureConfig(_Config):
    """A link that delivers packets intact or not at all.

    Attributes
    ----------
    loss_rate : Mean share of packets that are lost.
    mean_burst : Mean number of packets that are lost in a row; without it, packets are lost independently.
    packet_symbols : Symbols of a packet: half the token width for one packet per token.
    symbol_rate : Channel uses per second [Hz], for the budget.
    """

    family: Literal["erasure"]
    loss_rate: float = Field(default=0.1, ge=0, lt=1, allow_inf_nan=False)
    mean_burst: float | None = Field(default=None, ge=1, allow_inf_nan=False)
    packet_symbols: Count = 64
    symbol_rate: Positive = 1e6

    @model_validator(mode="after")
    def _fits(self) -> "ErasureConfig":
        if self.mean_burst is not None and self.loss_rate / self.mean_burst > 1 - self.loss_rate:
            raise ValueError(
                f"bursts of {self.mean_burst} packets cannot lose {self.loss_rate} of all: lengthen mean_burst"
            )
        return self


class DigitalConfig(_Config):
    """Tokens as bits over another link, at as many channel uses as the analog tokens take.

    Attributes
    ----------
    over : The link below, of another family. A file names a built-in link, or a YAML file relative to its own folder,
        or gives settings: those of a whole link, or what differs from the link that it ``extends``.
    bits : Bits per value of the uniform quantiser.
    clip : End of its range over the root mean square of a user's block; by default the best for Gaussian values.
    modulation : A symbol carries two values, so the rate of the 5G LDPC code is 2·bits, and CRC, over its bits.
    """

    family: Literal["digital"]
    over: Annotated[FlatConfig | OfdmConfig | ErasureConfig, Field(discriminator="family")]
    bits: int = Field(default=2, ge=1, le=4)
    clip: Positive | None = None
    modulation: Literal["QPSK", "16-QAM", "64-QAM", "256-QAM", "1024-QAM"] = "64-QAM"

    @model_validator(mode="after")
    def _fits(self) -> "DigitalConfig":
        if isinstance(self.over, FlatConfig) and self.over.combining == "none":
            raise ValueError("over a link that does not equalise: name one with lmmse, zf or mrc")
        return self


LinkConfig = Annotated[FlatConfig | OfdmConfig | ErasureConfig | DigitalConfig, Field(discriminator="family")]
_FAMILIES: dict[str, type[BaseModel]] = {
    "flat": FlatConfig,
    "ofdm": OfdmConfig,
    "erasure": ErasureConfig,
    "digital": DigitalConfig,
}
_ADAPTER: TypeAdapter[LinkConfig] = TypeAdapter(LinkConfig)


def read_config(name_or_path: str | Path, overrides: Mapping[str, Any]) -> tuple[str, LinkConfig]:
    """Read and check a link file.

    A file that ``extends`` another link, a built-in one by name or a YAML file relative to its own folder, says only
    what differs.

    Parameters
    ----------
    name_or_path : str or Path
        A built-in link by name, a YAML file by path.
    overrides : key → value
        Keys of the file's family that replace what the file says. A mapping for ``over`` changes keys of the link below
        a digital link, as in ``{"over": {"speed": 30.0}}``.

    Returns
    -------
    name : str
    config : LinkConfig

    Raises
    ------
    UserError
        If there is no such link, the file is not YAML, or a key or value is wrong.
    """
    path = find("links", name_or_path)
    content = _resolve_below(path, _merge(_read(path), overrides))
    return path.stem, validate_config(path.stem, content)


def validate_config(name: str, content: Mapping[str, Any]) -> LinkConfig:
    """The settings of a link that extends no other.

    Raises
    ------
    UserError
        If a key or value is wrong.
    """
    try:
        return _ADAPTER.validate_python(dict(content))
    except ValidationError as error:
        raise UserError(f"link '{name}': {_explain(error)}") from error


def _read(path: Path, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a link file says, laid over what it extends; paths in it are relative to its folder."""
    if path in extended_by:
        raise UserError(f"{path} extends itself: {' → '.join(p.name for p in (*extended_by, path))}")
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not a readable YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{path} holds no keys: write a family ({', '.join(_FAMILIES)}) and what differs from its defaults"
        )
    if content.get("responses"):
        content["responses"] = path.parent / str(content["responses"])
    if description := _header(text):
        content.setdefault("description", description)
    for place, key in [(content, "extends"), (content, "over"), (content.get("over"), "extends")]:
        _anchor(place, key, ".yaml", path.parent)
    _anchor(content.get("scene"), "name", ".xml", path.parent)
    return _extended(content, (*extended_by, path))


def _anchor(content: Any, key: str, suffix: str, folder: Path) -> None:
    """Make the file that a key names relative to a folder."""
    if isinstance(content, dict) and str(content.get(key, "")).endswith(suffix):
        content[key] = str(folder / content[key])


def _extended(content: Mapping[str, Any], extended_by: tuple[Path, ...]) -> dict[str, Any]:
    """Settings laid over those of the link that they extend, if they do."""
    content = dict(content)
    base = content.pop("extends", None)
    return content if base is None else _merge(_read(find("links", str(base)), extended_by), content)


def _merge(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with some changed, inner ones one by one; a link below that says which it is replaces the other."""
    merged = dict(content)
    for key, value in changes.items():
        before = merged.get(key)
        if key == "over" and isinstance(before, str):
            before = {"extends": before}
        if isinstance(before, Mapping) and isinstance(value, Mapping) and not {"extends", "family"} & set(value):
            value = _merge(before, value)
        merged[key] = value
    return merged


def _resolve_below(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Settings with those of the link below in full."""
    over = content.get("over")
    if content.get("family") != "digital" or over is None:
        return content
    below = _extended(over if isinstance(over, Mapping) else {"extends": over}, ())
    if below.get("family") == "digital":
        named = "a link" if isinstance(over, Mapping) else f"'{over}'"
        raise UserError(f"link '{path.stem}' goes over {named}, which is digital itself: name a link of another family")
    return {**content, "over": below}


def _header(text: str) -> str:
    """What the first comment line says before it names a command."""
    first = text.lstrip().splitlines()[0]
    return first.lstrip("# ").split("; see it with")[0] if first.startswith("#") else ""


def _explain(error: ValidationError) -> str:
    """One line out of pydantic's report: the first mistake, and the mend."""
    mistake = error.errors()[0]
    families = [part for part in mistake["loc"] if part in _FAMILIES]
    path = [str(part) for part in mistake["loc"] if part not in _FAMILIES]
    key = ".".join(path)
    if mistake["type"] == "extra_forbidden":
        model = SceneConfig if "scene" in path[:-1] else _FAMILIES[str(families[-1])]
        return f"unknown key '{key}', {nearest(path[-1], model.model_fields)}"
    if mistake["type"].startswith("union_tag"):
        family = mistake.get("ctx", {}).get("tag")
        return f"unknown family '{family}', {nearest(str(family), _FAMILIES)}"
    message = mistake["msg"].removeprefix("Value error, ")
    if not key or mistake["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key}: {message[0].lower()}{message[1:]}, not {mistake['input']!r}"


def _check_distinct(users: list[str]) -> None:
    if len(set(users)) < len(users):
        raise ValueError(f"users {users}: name each user once")


def _check_known(key: str, named: Iterable[str], users: list[str]) -> None:
    for user in named:
        if user not in users:
            raise ValueError(f"{key} names '{user}', who is not among the users it may name: {nearest(user, users)}")


def _check_antennas(users: list[str], num_rx_ant: int) -> None:
    if len(users) > num_rx_ant:
        raise ValueError(
            f"{len(users)} users at once need at least {len(users)} receive antennas, num_rx_ant is {num_rx_ant}"
        )
