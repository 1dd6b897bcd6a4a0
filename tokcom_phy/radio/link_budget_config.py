"""Settings of a link budget: transmit power, path loss and noise in physical units, from which SNRs follow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from tokcom_phy.utils.bounds import Within
from tokcom_phy.utils.settings import Strict

PerUser = float | dict[str, float] | list[float]
"""A number for all users, or one for each: by name, or in the order of the link's ``users``."""


@dataclass(frozen=True)
class Each:
    """`Within` for every number of a `PerUser`."""

    within: Within

    def check(self, value: Any) -> Any:
        """Return ``value``, or raise a ValueError for what is no number, or is outside."""
        numbers = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise ValueError("give a number, or one for each user, such as {audio: 20, video: 23}")
            self.within.check(float(number))
        if value in ({}, []):
            raise ValueError("there is no number: give one for all users, or one for each")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))


TX_POWER = Within(-150, 100, "radios send from nanowatts to megawatts")
DISTANCE = Within(0.01, 1e8, "radios are between 1 cm and 100,000 km apart")
Decibels = Annotated[float, Within(-100, 100, "no antenna or receiver gains or loses more than 100 dB")]
Height = Annotated[float, Within(0.1, 1000, "antennas are from 10 cm to 1 km above the ground")]


class LinkBudgetConfig(Strict):
    """The link budget of an uplink; see `tokcom_phy.radio.link_budget` for its lines.

    Numbers of users are one for all, or one for each: ``{audio: 50, video: 200}``, or a list in the order of ``users``.
    """

    tx_power_dbm: Annotated[PerUser, Each(TX_POWER)] = 23.0
    """Transmit power of a user [dBm]; 23 is a handset of power class 3 (3GPP TS 38.101-1)."""

    tx_antenna_gain_dbi: Decibels = 0.0
    """Gain of a user's antenna [dBi]; 0, since a handset's points nowhere."""

    rx_antenna_gain_dbi: Decibels = 0.0
    """Gain of one antenna of the base station [dBi]. What several antennas gain together is no part of the SNR."""

    noise_figure_db: Annotated[float, Within(0, 100, "a receiver adds noise")] = 5.0
    """Noise figure of the base station [dB], which TR 38.901 calibrates at (table 7.8-1)."""

    bandwidth_hz: Annotated[PerUser, Each(Within(1, 1e12, "radios occupy from 1 Hz to 1 THz"))] | None = None
    """Bandwidth in which a user sends [Hz], also its channel uses a second; null for that of the link. Where each user
    has one, these are bands of their own, in which they send at once."""

    distance_m: Annotated[PerUser, Each(DISTANCE)] | None = None
    """Distance of a user [m], along the ground for the models of TR 38.901; give it or ``path_loss_db``."""

    path_loss_db: Annotated[PerUser, Each(Within(-50, 300, "no path gains, or loses more than 300 dB"))] | None = None
    """Path loss of a user where it is known [dB]."""

    path_loss: Literal["umi", "uma", "rma", "free-space"] = "umi"
    """Path loss over a distance: street canyons, urban or rural macro cells (3GPP TR 38.901, table 7.4.1-1), or free
    space."""

    line_of_sight: bool = False
    """Whether users see the base station. By default not: 100 m down a street canyon 77 % of users do not (TR 38.901,
    table 7.4.2-1), and a budget should hold for them. Free space has a line of sight."""

    carrier_frequency: Annotated[float, Within(1e8, 1e12, "mobile radio lies between 0.1 GHz and 1 THz")] | None = None
    """Carrier frequency of the path loss [Hz]; null for the link's own, 3.5e9 where it has none."""

    base_station_height_m: Height | None = None
    """Height of the base station [m]; null for 10 (umi), 25 (uma) and 35 (rma), TR 38.901's defaults."""

    user_height_m: Annotated[float, Within(1, 10, "TR 38.901 has users from 1 m, and in rural cells up to 10 m")] = 1.5
    """Height of a user [m]."""

    shadowing_db: Annotated[PerUser, Each(Within(0, 40, "shadowing deviates by a few dB"))] = 0.0
    """Standard deviation of log-normal shadowing [dB], drawn for each user and realisation; 0, none, since the budget
    is then that of the median user. TR 38.901 has 4 with a line of sight, else 7.82 (umi), 6 (uma) and 8 (rma)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.distance_m is not None and self.path_loss_db is not None:
            raise ValueError("distance_m and path_loss_db both say what is lost: leave one out")
        for key, own in self._by_user().items():
            if missing := [user for user in self.users if user not in own]:
                raise ValueError(f"{key}: user '{missing[0]}' has none, other numbers name it: give it one")
        return self

    @property
    def users(self) -> list[str]:
        """Users that have numbers of their own; empty where numbers are for all."""
        return list(dict.fromkeys(user for own in self._by_user().values() for user in own))

    def _by_user(self) -> dict[str, dict[str, float]]:
        return {key: own for key in PER_USER if isinstance(own := getattr(self, key), dict)}


PER_USER = ("tx_power_dbm", "bandwidth_hz", "distance_m", "path_loss_db", "shadowing_db")
"""Keys that may have a number for each user."""


def by_name(budget: Mapping[str, Any], users: list[str]) -> dict[str, Any]:
    """The settings of a budget with lists as mappings from the link's users.

    Raises
    ------
    ValueError
        If a list is not as long as that of the users.
    """
    named = dict(budget)
    for key in PER_USER:
        if isinstance(values := budget.get(key), list):
            if len(values) != len(users):
                known = f"users are {', '.join(users)}" if users else "the link names no users"
                raise ValueError(f"budget.{key}: {len(values)} numbers, {known}: give one for each, or name the users")
            named[key] = dict(zip(users, values, strict=True))
    return named
