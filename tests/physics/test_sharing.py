"""Users that share a link with others, near and far."""

import math

import pytest
import torch

from tokcom_phy import load_link
from tokcom_phy.utils.errors import UserError

SHARED = {"users": ["audio", "video", "u3", "u4"], "num_rx_ant": 8, "num_subcarriers": 132}


def test_an_interferer_disturbs_as_a_user_who_sends_gaussian_symbols_does():
    """The other way to the same result: the interferers as ordinary users, whose symbols are given."""
    alone = load_link("ofdm-tdl-c", device="cpu", **SHARED, interferers=["u3", "u4"])
    together = load_link("ofdm-tdl-c", device="cpu", **SHARED)
    n = {"audio": 500, "video": 400}
    state = alone.draw(16, n, 5.0, seed=3)
    full = together.draw(16, {**n, "u3": 500, "u4": 500}, 5.0, seed=3)
    assert state.effective_snr_db["audio"] == pytest.approx(full.effective_snr_db["audio"], abs=1e-6)
    x = {user: torch.randn(16, length, dtype=torch.complex64) for user, length in n.items()}
    error = alone_error = 0.0
    for user, y in state.apply(x).items():
        interfered = y - full.gain[user][user] * x[user] - full.noise[user]
        others = {o: g for o, g in full.gain[user].items() if o not in (user, "u3", "u4")}
        for other, gain in others.items():
            interfered = interfered - torch.nn.functional.pad(
                gain * x[other][:, : gain.shape[1]], (0, y.shape[1] - gain.shape[1])
            )
        power = sum(full.gain[user][o].abs().square() for o in ("u3", "u4"))
        error += interfered.abs().square().sum().item()
        alone_error += power.sum().item()
    assert error / alone_error == pytest.approx(1.0, abs=0.05)  # 2 · 16 · 450 Gaussian symbols: 1 % a standard error


def test_more_users_on_the_band_leave_less_to_each():
    snr_db = []
    for others in (0, 2, 4, 6):
        names = [f"u{k}" for k in range(others)]
        link = load_link(
            "ofdm-tdl-c", users=["audio", "video", *names], interferers=names, num_subcarriers=144, csi="perfect"
        )
        snr_db.append(link.draw(16, {"audio": 256, "video": 256}, 10.0, seed=0).effective_snr_db["audio"])
    assert snr_db == sorted(snr_db, reverse=True)
    assert snr_db[0] - snr_db[-1] > 5  # 7 degrees of freedom left of 8, or 1


@pytest.mark.parametrize("name", ["awgn", "rayleigh", "ofdm-tdl-c", "digital-awgn"])
def test_an_offset_is_the_same_as_an_snr_of_ones_own(name):
    offset = {"snr_offset_db": {"video": -12.0}}
    far = load_link(name, **({"over": offset} if name.startswith("digital") else offset))
    n = {"audio": 200, "video": 200}
    state = far.draw(4, n, 8.0, seed=1)
    same = load_link(name).draw(4, n, {"audio": 8.0, "video": -4.0}, seed=1)
    for user in n:
        assert torch.equal(state.effective_noise_var[user], same.effective_noise_var[user])
        assert torch.equal(state.noise[user], same.noise[user])


def test_awgn_is_as_far_as_it_says():
    state = load_link("awgn", snr_offset_db={"video": -20}).draw(4, {"audio": 64, "video": 64}, 15.0, seed=0)
    assert state.effective_snr_db == pytest.approx({"audio": 15.0, "video": -5.0}, abs=1e-4)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"interferers": ["u9"]}, "interferers: 'u9' is not one of"),
        ({"interferers": ["audio", "video", "text"]}, "leave at least one user that is none"),
        ({"interferers": ["text"], "access": "tdma"}, "no effect under tdma"),
        ({"snr_offset_db": {"vidoe": -3}}, "did you mean 'video'"),
        ({"snr_offset_db": {"video": math.nan}}, "snr_offset_db"),
    ],
)
def test_mistakes_are_named(overrides, message):
    with pytest.raises(UserError, match=message):
        load_link("ofdm-tdl-c", **overrides)


def test_an_interferer_does_not_send_tokens():
    link = load_link("ofdm-tdl-c", interferers=["text"])
    with pytest.raises(UserError, match="no user 'text'"):
        link.draw(1, {"text": 10}, 0.0, seed=0)
