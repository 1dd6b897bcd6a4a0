"""Sionna's own receiver chain, which the toolkit itself does not use, from the engine that is installed."""

from typing import TYPE_CHECKING

from tokcom_phy.radio.engine import engine

__all__ = ["LSChannelEstimator", "ResourceGridMapper"]

if TYPE_CHECKING or engine() == "torch":
    from sionna.phy.ofdm import LSChannelEstimator, ResourceGridMapper
else:
    # First what imports TensorFlow quietly.
    from tokcom_phy.radio.sionna_tensorflow import adapted  # isort: skip

    from sionna.phy import ofdm

    LSChannelEstimator = adapted(ofdm.LSChannelEstimator)
    ResourceGridMapper = adapted(ofdm.ResourceGridMapper)
