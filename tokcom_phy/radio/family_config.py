"""What the settings of all link families share, and the types and checks of their keys."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, SerializerFunctionWrapHandler, model_serializer, model_validator

from tokcom_phy.radio.link_budget_config import LinkBudgetConfig, by_name
from tokcom_phy.radio.scheme import UsesPerValue
from tokcom_phy.utils.bounds import Snr, Within
from tokcom_phy.utils.errors import nearest
from tokcom_phy.utils.instantiate import TARGET, folder_on_path, import_target
from tokcom_phy.utils.settings import Strict

FOLDER = "_folder_"
"""Folder of the file that names a link family by import path; a run keeps it to find the family's code again."""

Count = Annotated[int, Field(ge=1)]
SnrDb = Annotated[float, Snr]
Antennas = Annotated[Count, Within(1, 1024, "the largest arrays of base stations have 1024 antennas")]
Symbols = Annotated[Count, Within(1, 10**9, "no payload is longer")]
SymbolRate = Annotated[float, Within(1, 1e12, "a radio sends from 1 symbol to 1e12 symbols a second")]
Output = Literal["mmse", "unbiased", "raw"]
Users = Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=32)]


class LinkFamilyConfig(Strict):
    """Settings of a link, whatever its family. The config of every family derives from this class.

    Unknown keys are errors. A string literal below a field documents its key.
    """

    description: str = ""
    """The link in one line; by default the first line of its file."""

    power: Literal["block", "token"] = "block"
    """Unit mean power of each user's whole 'block', or of every 'token' by itself."""

    amplifier_backoff_db: (
        Annotated[float, Within(-40, 60, "with more back-off an amplifier is linear: leave it out")] | None
    ) = None
    """Saturation power of each user's amplifier (Rapp's model) over its mean input power [dB]; null for an ideal
    amplifier. On OFDM links it acts on the waveform, elsewhere on symbols, as if pulses did not overlap."""

    scale: Literal["restored", "withheld"] = "restored"
    """'restored': the receiver undoes the normalisation by protected headers; 'withheld': there are no headers, and
    tokens are received at unit power."""

    budget: LinkBudgetConfig | None = None
    """Link budget from which the SNR of each user follows; null where the SNR is given. Of a digital link, that of the
    link below."""

    uses_per_value: UsesPerValue | None = None
    """Channel uses of a value; by default 1/2, since a symbol carries two. More repeat each symbol, and the receiver
    adds them with maximum ratio; fewer leave out symbols, evenly spread, which arrive as zeros."""

    _target: str | None = PrivateAttr(default=None)
    _folder: str | None = PrivateAttr(default=None)

    def of_family(self, target: str, folder: str | None) -> Self:
        """This config, of the link family at an import path, with the folder of its code if it is not installed."""
        self._target, self._folder = target, folder
        return self

    @property
    def origin(self) -> dict[str, str]:
        """Import path and folder of the family; empty for a built-in family."""
        return {key: value for key, value in ((TARGET, self._target), (FOLDER, self._folder)) if value is not None}

    @model_validator(mode="before")
    @classmethod
    def _budget_by_name(cls, values: Any) -> Any:
        """Turn lists of a link budget into mappings from users."""
        if isinstance(values, dict) and isinstance(values.get("budget"), dict):
            users = values.get("users", cls.model_fields["users"].default if "users" in cls.model_fields else [])
            return {**values, "budget": by_name(values["budget"], users if isinstance(users, list) else [])}
        return values

    @model_validator(mode="after")
    def _budget_fits(self) -> Self:
        budget = self.budget
        if budget is None:
            return self
        if getattr(self, "snr_offset_db", {}):
            raise ValueError("snr_offset_db and budget both say who is near and who is far: leave one out")
        given = budget.distance_m is not None or budget.path_loss_db is not None
        if self.true_path_gains and (given or budget.shadowing_db or budget.rx_antenna_gain_dbi):
            raise ValueError(
                "budget: power_control none keeps the channel's path gains, antennas and shadowing included: leave "
                "distance_m, path_loss_db, shadowing_db and rx_antenna_gain_dbi out"
            )
        if not (given or self.true_path_gains):
            raise ValueError("budget: nothing says what is lost on the way: give distance_m or path_loss_db")
        self.check_budget(budget)
        return self

    def check_budget(self, budget: LinkBudgetConfig) -> None:
        """Raise a ValueError if a link budget names users or a bandwidth that the link cannot have."""

    @property
    def uplink(self) -> "LinkFamilyConfig":
        """Settings of the link whose symbols are on the air: this one, or the one below a digital link."""
        return self

    @property
    def own_bandwidth_hz(self) -> float:
        """Bandwidth in which a user sends where no budget says another one [Hz]."""
        return float(getattr(self, "symbol_rate", 1e6))

    @property
    def true_path_gains(self) -> bool:
        """Whether users have positions, and differ by their path gains there."""
        return False

    def for_demapper(self) -> Self:
        """This link with unbiased output, which a demapper requires.

        Raises
        ------
        ValueError
            If the link cannot have them.
        """
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle a config of an own family by its import path, so that a worker process finds its code."""
        if self._target is None:
            return super().__reduce_ex__(protocol)
        values = {key: getattr(self, key) for key in type(self).model_fields}
        return _of_own_family, (self._target, self._folder, values)

    @model_serializer(mode="wrap")
    def _with_origin(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {**self.origin, **handler(self)}


class EqualizedLinkConfig(LinkFamilyConfig):
    """Settings of a link whose receiver has noisy symbols to equalise."""

    output: Output = "mmse"
    """What the receiver hands on of a symbol x: 'mmse', the estimate of least mean squared error, which is small where
    the noise is strong; 'unbiased', x plus noise and interference; or 'raw', the h·x + n of a single antenna, equation
    (6) literally."""

    def for_demapper(self) -> Self:
        if self.output == "raw":
            raise ValueError("over a link that does not equalise: name one with output mmse or unbiased")
        return self.model_copy(update={"output": "unbiased"})

    def check_output(self, num_users: int, num_rx_ant: int) -> None:
        """Raise a ValueError if the output is 'raw' where several users or antennas are received at once."""
        if self.output == "raw" and (num_users > 1 or num_rx_ant > 1):
            raise ValueError("output 'raw' is for one antenna and one user at a time: choose mmse or unbiased")
        if self.output == "raw" and self.uses_per_value is not None:
            raise ValueError(
                "output 'raw' does not combine what is repeated: choose mmse or unbiased, or leave out uses_per_value"
            )


def _of_own_family(target: str, folder: str | None, values: dict[str, Any]) -> LinkFamilyConfig:
    if folder is not None:
        folder_on_path(folder)
    config: LinkFamilyConfig = import_target(target, TARGET).config_class.model_validate(values)
    return config.of_family(target, folder)


def check_distinct(users: list[str]) -> None:
    """Raise a ValueError if a user is named twice."""
    if len(set(users)) < len(users):
        raise ValueError(f"users {users}: name each user once")


def check_known(key: str, named: Iterable[str], users: list[str]) -> None:
    """Raise a ValueError if the value of ``key`` names a user that is not among ``users``."""
    for user in named:
        if user not in users:
            raise ValueError(f"{key}: '{user}' is not one of the users that it may name: {nearest(user, users)}")


def check_antennas(users: list[str], num_rx_ant: int) -> None:
    """Raise a ValueError if there are more users at once than receive antennas."""
    if len(users) > num_rx_ant:
        raise ValueError(
            f"{len(users)} users at once need at least {len(users)} receive antennas, num_rx_ant is {num_rx_ant}"
        )
