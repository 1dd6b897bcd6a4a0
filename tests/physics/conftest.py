"""Sionna's own blocks are called as torch's, scenes are traced for the torch engine: only there tested."""

from tokcom_phy.radio.engine import engine

if engine() != "torch":
    collect_ignore = ["test_stock_chain.py", "test_multiuser_uplink.py", "test_raytracing.py", "test_places.py"]
