"""What is evaluated where: variants over links, along an axis of SNRs, transmit powers or distances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tokcom_phy.experiments.grid import Cell, cell_name
from tokcom_phy.experiments.plan import MAJORITY, Visits
from tokcom_phy.experiments.resolve import ResolvedLink
from tokcom_phy.radio.link_budget_config import DISTANCE, TX_POWER
from tokcom_phy.utils.bounds import Snr
from tokcom_phy.utils.settings import Strict

Axis = Literal["snr_db", "tx_power_dbm", "distance_m"]
AXES: tuple[Axis, ...] = ("snr_db", "tx_power_dbm", "distance_m")


class Series(Strict):
    """Variants to be evaluated over links, along one axis: ``snr_db``, ``tx_power_dbm`` or ``distance_m``. Without any,
    each link is evaluated at the SNR of its ``budget``.

    The first variant is compared with each other one, question by question on the same realisations, and the first link
    with each other one.
    """

    variants: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of variants."""
    links: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names or paths of links, or keys of the experiment's own ``links``."""
    snr_db: Annotated[tuple[Annotated[float, Snr], ...], Field(min_length=1)] | None = None
    """SNRs per user and receive antenna [dB]; on a link with a ``budget`` the mean of its users', which differ as the
    budget says."""
    tx_power_dbm: Annotated[tuple[Annotated[float, TX_POWER], ...], Field(min_length=1)] | None = None
    """Transmit powers of all users [dBm], over links with a ``budget``."""
    distance_m: Annotated[tuple[Annotated[float, DISTANCE], ...], Field(min_length=1)] | None = None
    """Distances of all users [m], over links whose ``budget`` has a distance."""

    @model_validator(mode="after")
    def _one_axis(self) -> "Series":
        given = [axis for axis in AXES if getattr(self, axis)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are axes of different figures: leave one out")
        if len({f"{value:+g}" for value in self.values}) < len(self.values):
            named = "an SNR" if self.axis == "snr_db" else f"a value of {self.axis}"
            raise ValueError(f"{named} is named twice, or two are less than a millionth apart")
        return self

    @property
    def axis(self) -> Axis:
        """The key that has values."""
        return next((axis for axis in AXES if getattr(self, axis)), "snr_db")

    @property
    def values(self) -> tuple[float, ...]:
        """Values along the axis; empty where budgets say the SNR."""
        found: tuple[float, ...] | None = getattr(self, self.axis)
        return found or ()


@dataclass(frozen=True)
class ResolvedSeries:
    """A series with the SNRs that follow from its axis.

    Attributes
    ----------
    variants, links : names, with every cell of the grid
    axis : 'snr_db', 'tx_power_dbm' or 'distance_m'
    values : along the axis; one SNR a link where its budget says it
    snr_db : link → SNRs [dB], in the order of ``values``
    """

    variants: tuple[str, ...]
    links: tuple[str, ...]
    axis: Axis
    values: tuple[float, ...]
    snr_db: Mapping[str, tuple[float, ...]]

    @property
    def snrs(self) -> list[float]:
        """All its SNRs [dB], ascending."""
        return sorted({snr for snrs in self.snr_db.values() for snr in snrs})


def resolve_series(
    series: Series, links: Mapping[str, ResolvedLink], link_cells: Sequence[Cell], variant_cells: Sequence[Cell]
) -> ResolvedSeries:
    """A series with every link and variant in each of their cells, and its SNRs.

    Raises
    ------
    UserError
        If a link has no budget where the axis needs one, or the budget leads to no SNR.
    """
    names = tuple(cell_name(link, cell) for link in series.links for cell in link_cells)
    return ResolvedSeries(
        tuple(cell_name(variant, cell) for variant in series.variants for cell in variant_cells),
        names,
        series.axis,
        series.values,
        {name: links[name].snrs_db(series.axis, series.values) for name in names},
    )


def visits(all_series: Sequence[ResolvedSeries]) -> Visits:
    """variant → link → SNRs [dB] at which some series evaluates it, and the majority control wherever a variant is."""
    found: dict[str, dict[str, set[float]]] = {}
    for series in all_series:
        for variant in (*series.variants, MAJORITY):
            for link in series.links:
                found.setdefault(variant, {}).setdefault(link, set()).update(series.snr_db[link])
    return {variant: {link: tuple(sorted(snr)) for link, snr in by_link.items()} for variant, by_link in found.items()}
