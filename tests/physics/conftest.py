"""Stock chains are differentiated end to end by torch, scenes are traced for the torch engine: only there tested."""

from tokcom_phy.radio.engine import engine

if engine() != "torch":
    collect_ignore = ["test_stock_chain.py", "test_raytracing.py"]
