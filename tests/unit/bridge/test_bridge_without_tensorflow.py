"""Where TensorFlow is not installed, the bridge says how to get it."""

import subprocess
import sys


def test_missing_tensorflow_is_one_line():
    code = "import sys; sys.modules['tensorflow'] = None; import tokcom_phy.bridge"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last == (
        "tokcom_phy.utils.errors.UserError: TensorFlow is not installed: in a Python environment of its own, "
        'pip install "tokcom-phy[tensorflow]"'
    )
