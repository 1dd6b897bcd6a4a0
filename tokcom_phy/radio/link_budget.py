"""The link budget of each user: from transmit power to SNR, line by line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.constants import Boltzmann

from tokcom_phy.radio.family_config import LinkFamilyConfig
from tokcom_phy.radio.link_budget_config import PerUser
from tokcom_phy.radio.path_loss import path_loss
from tokcom_phy.utils.errors import UserError

TEMPERATURE_K = 290.0
"""Noise temperature to which noise figures refer [K]."""

CARRIER_HZ = 3.5e9
"""Carrier of a link that has none of its own [Hz]: the band n78."""


@dataclass(frozen=True)
class UserBudget:
    """The link budget of one user.

    Attributes
    ----------
    tx_power_dbm : transmit power [dBm]
    tx_antenna_gain_dbi, rx_antenna_gain_dbi : gains of the user's antenna and of one of the base station's [dBi]
    path_loss_db : mean path loss [dB]
    bandwidth_hz : bandwidth in which the user sends [Hz]
    noise_figure_db : of the base station [dB]
    distance_m : distance [m]; None where the path loss is given
    """

    tx_power_dbm: float
    tx_antenna_gain_dbi: float
    path_loss_db: float
    rx_antenna_gain_dbi: float
    bandwidth_hz: float
    noise_figure_db: float
    distance_m: float | None = None

    @property
    def eirp_dbm(self) -> float:
        """Equivalent isotropically radiated power [dBm]."""
        return self.tx_power_dbm + self.tx_antenna_gain_dbi

    @property
    def rx_power_dbm(self) -> float:
        """Received power at one antenna [dBm]."""
        return self.eirp_dbm - self.path_loss_db + self.rx_antenna_gain_dbi

    @property
    def noise_density_dbm_hz(self) -> float:
        """Density of the noise at one antenna, N0 = kTF [dBm/Hz]."""
        return noise_density_dbm_hz(self.noise_figure_db)

    @property
    def noise_power_dbm(self) -> float:
        """Noise power in the user's bandwidth [dBm]."""
        return self.noise_density_dbm_hz + 10 * math.log10(self.bandwidth_hz)

    @property
    def snr_db(self) -> float:
        """Average received Es/N0 per receive antenna [dB]: P/B over N0, since a symbol takes 1/B."""
        return self.rx_power_dbm - self.noise_power_dbm

    @property
    def symbol_energy(self) -> float:
        """Transmit energy of a symbol, P/B [J]."""
        return 10 ** (self.tx_power_dbm / 10 - 3) / self.bandwidth_hz


def noise_density_dbm_hz(noise_figure_db: float) -> float:
    """N0 = kTF [dBm/Hz]: −174 dBm/Hz and the noise figure."""
    return 10 * math.log10(1e3 * Boltzmann * TEMPERATURE_K) + noise_figure_db


def user_budget(config: LinkFamilyConfig, user: str | None, path_gain_db: float | None = None) -> UserBudget:
    """The link budget of a user.

    Parameters
    ----------
    config : LinkFamilyConfig
        Of a link that has a budget.
    user : str, optional
        None where numbers are the same for all users.
    path_gain_db : float, optional
        Mean path gain of a link whose users have positions and true path gains [dB].

    Raises
    ------
    UserError
        If the user has no number of its own where others have, or a model of path loss does not reach so far.
    """
    budget = config.budget
    assert budget is not None

    def own(key: str, value: PerUser | None) -> float | None:
        if not isinstance(value, dict):
            assert not isinstance(value, list)  # by_name has named the users
            return value
        if user not in value:
            raise UserError(f"budget.{key}: none for user '{user}', only for {', '.join(value)}: give one for each")
        return value[user]

    tx_power_dbm, distance_m = own("tx_power_dbm", budget.tx_power_dbm), own("distance_m", budget.distance_m)
    loss_db = own("path_loss_db", budget.path_loss_db) if path_gain_db is None else -path_gain_db
    if loss_db is None:
        assert distance_m is not None  # the config's validator has seen to it
        carrier = budget.carrier_frequency or getattr(config, "carrier_frequency", CARRIER_HZ)
        model, heights = budget.path_loss, (budget.base_station_height_m, budget.user_height_m)
        loss_db = path_loss(model, distance_m, carrier, budget.line_of_sight, *heights)
    assert tx_power_dbm is not None
    return UserBudget(
        tx_power_dbm,
        budget.tx_antenna_gain_dbi,
        loss_db,
        budget.rx_antenna_gain_dbi,
        own("bandwidth_hz", budget.bandwidth_hz) or config.own_bandwidth_hz,
        budget.noise_figure_db,
        distance_m,
    )


def mean_snr_db(config: LinkFamilyConfig, path_gain_db: float | None = None) -> float:
    """The SNR of a link with a budget: the mean [dB] of its users', from which theirs are offset."""
    assert config.budget is not None
    users: list[str] | list[None] = config.budget.users or [None]
    return sum(user_budget(config, user, path_gain_db).snr_db for user in users) / len(users)


def swept_snr_db(
    config: LinkFamilyConfig, key: str, values: Sequence[float], path_gain_db: float | None = None
) -> list[float]:
    """`mean_snr_db` with ``tx_power_dbm`` or ``distance_m`` of all users set to each of some values; as it is for none.

    Raises
    ------
    UserError
        If the budget has no such number, or one for each user.
    """
    budget = config.budget
    assert budget is not None
    before = getattr(budget, key, None)
    if values and isinstance(before, dict):
        raise UserError(f"budget.{key} is one for each user, which is no axis: give one for all, or sweep another")
    if values and before is None:
        given = "power_control: none keeps true path gains" if config.true_path_gains else "path_loss_db is given"
        raise UserError(f"budget has no {key} to sweep, since {given}")
    swept = [budget.model_copy(update={key: float(value)}) for value in values] or [budget]
    return [mean_snr_db(config.model_copy(update={"budget": one}), path_gain_db) for one in swept]


def shadowing_db(config: LinkFamilyConfig, user: str) -> float:
    """Standard deviation of a user's shadowing [dB]; 0 without a budget."""
    value = 0.0 if config.budget is None else config.budget.shadowing_db
    assert not isinstance(value, list)  # by_name has named the users
    return value.get(user, 0.0) if isinstance(value, dict) else value
