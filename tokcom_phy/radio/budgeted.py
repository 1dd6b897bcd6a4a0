"""What a link makes of its link budget: SNRs, symbol rates and energies of its users."""

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from tokcom_phy.radio.arguments import per_user
from tokcom_phy.radio.cost import SYMBOL_ENERGY, Load
from tokcom_phy.radio.family_config import LinkFamilyConfig
from tokcom_phy.radio.link_budget import UserBudget, mean_snr_db, shadowing_db, user_budget
from tokcom_phy.radio.seeding import complex_normal
from tokcom_phy.utils.errors import UserError

Snr = float | Tensor | Mapping[str, float | Tensor]


class BudgetedLink:
    """The part of `tokcom_phy.radio.link.Link` that knows of link budgets."""

    name: str
    config: LinkFamilyConfig
    device: str
    symbol_rate: float
    snr_offset_db: Mapping[str, float]

    def mean_path_gain_db(self) -> float | None:
        """Mean path gain of users over their positions [dB]; None where a link has none of its own."""
        return None

    def budget_of(self, user: str | None) -> UserBudget:
        """The link budget of a user; None of any where all have the same.

        Raises
        ------
        UserError
            If the link has no budget, or none for this user.
        """
        config = self.config.uplink
        if config.budget is None:
            raise UserError(f"link '{self.name}' has no budget: give it one, such as budget: {{distance_m: 100}}")
        return user_budget(config, user, self._path_gain_db)

    @cached_property
    def budget_snr_db(self) -> float | None:
        """The SNR that follows from the link budget, the mean [dB] of the users that it names; None without one."""
        config = self.config.uplink
        return None if config.budget is None else mean_snr_db(config, self._path_gain_db)

    @cached_property
    def _path_gain_db(self) -> float | None:
        return self.mean_path_gain_db()

    def _own_snr_db(self, snr_db: Snr, users: list[str], seed: int, indices: list[int]) -> dict[str, float | Tensor]:
        """SNR of each user [dB]: offset from the link's, and shadowed from realisation to realisation."""
        config, own = self.config.uplink, per_user(snr_db, users)
        if config.budget is None:
            return {user: snr + self.snr_offset_db.get(user, 0.0) for user, snr in own.items()}
        found: dict[str, float | Tensor] = {}
        for user, snr in own.items():
            found[user] = snr if isinstance(snr_db, Mapping) else snr + self._budget_offset_db(user)
            if deviation := shadowing_db(config, user):
                shadow = complex_normal((1,), self.device, seed, indices, "shadowing", user)[:, 0].real
                found[user] = torch.as_tensor(found[user], device=self.device) - deviation * shadow
        return found

    def _budget_offset_db(self, user: str) -> float:
        """Offset of a user's SNR from that of the link, by the link budget [dB]."""
        assert self.budget_snr_db is not None
        return self.budget_of(user).snr_db - self.budget_snr_db

    def _load(self, payload: Mapping[str, int], sent: Mapping[str, int], symbol_energy: float | None) -> Load:
        """What is to be sent, with the energy of each user's symbols; see `cost`."""
        if symbol_energy is None and self.config.uplink.budget is not None:
            return Load(payload, sent, {user: self.budget_of(user).symbol_energy for user in sent})
        return Load(payload, sent, dict.fromkeys(sent, SYMBOL_ENERGY if symbol_energy is None else symbol_energy))

    @property
    def _symbol_rate(self) -> float | Mapping[str, float]:
        """Channel uses per second [Hz]: what a link budget says, or the link's."""
        budget = self.config.budget
        bandwidth = None if budget is None else budget.bandwidth_hz
        assert not isinstance(bandwidth, list)  # the config has named the users
        return self.symbol_rate if bandwidth is None else bandwidth
