"""Sionna's own receiver chain, which the toolkit itself does not use, from the engine that is installed."""

from typing import TYPE_CHECKING, Any

from tokcom_phy.radio.engine import engine

__all__ = ["LMMSEChannelEstimator", "LSChannelEstimator", "ResourceGridMapper"]

if TYPE_CHECKING or engine() == "torch":
    from sionna.phy.ofdm import LMMSEChannelEstimator, LSChannelEstimator, ResourceGridMapper
else:
    # First what imports TensorFlow quietly.
    from tokcom_phy.radio.sionna_tensorflow import adapted  # isort: skip

    from sionna.phy import ofdm

    LSChannelEstimator = adapted(ofdm.LSChannelEstimator)
    ResourceGridMapper = adapted(ofdm.ResourceGridMapper)

    def _lmmse_channel_estimator(
        grid: ofdm.ResourceGrid, cov_mat_time: Any, cov_mat_freq: Any, order: str, precision: str | None = None
    ) -> ofdm.LSChannelEstimator:
        interpolator = ofdm.LMMSEInterpolator(grid.pilot_pattern, cov_mat_time, cov_mat_freq, order=order)
        return ofdm.LSChannelEstimator(grid, interpolator=interpolator, precision=precision)

    LMMSEChannelEstimator = adapted(_lmmse_channel_estimator)
    """Least squares at the pilots, then Sionna's LMMSE interpolation: one block in Sionna 2."""
