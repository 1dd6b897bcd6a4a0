"""What a link and its figure say of themselves follows its settings."""

from typing import Any

import pytest
from matplotlib import pyplot

from tokcom_phy.radio import load_link, plotting
from tokcom_phy.radio.ofdm import OfdmLink


def test_a_link_with_changed_settings_says_which() -> None:
    assert "8 antennas" in load_link("ofdm-tdl-c").description
    assert load_link("ofdm-tdl-c", num_rx_ant=16).description == "ofdm-tdl-c with num_rx_ant=16"
    assert load_link("awgn", description="mine", noiseless=True).description == "mine"


def test_a_link_that_does_not_fade_shows_no_fades() -> None:
    assert load_link("awgn").panels() == []
    assert len(load_link("rayleigh").panels()) == 2


def drawn(panel: Any, link: Any) -> Any:
    axes = pyplot.figure().subplots()
    panel(axes, link)
    pyplot.close()
    return axes


@pytest.mark.parametrize(
    ("name", "settings", "title"),
    [
        ("awgn", {}, "One user"),
        ("rayleigh-mimo", {}, "Mean over 3 users at once"),
        ("ofdm-tdl-c", {"access": "tdma"}, "Mean over 3 users"),
    ],
)
def test_users_are_at_once_where_they_share_channel_uses(name: str, settings: dict[str, Any], title: str) -> None:
    assert drawn(plotting._draw_quality, load_link(name, **settings)).get_title() == title


def test_a_legend_names_what_is_drawn() -> None:
    names = [text.get_text() for text in drawn(plotting._draw_quality, load_link("erasure")).get_legend().get_texts()]
    assert names == ["SNR itself", "token NMSE"]


def test_the_constellation_of_a_digital_link_is_that_of_the_link_below() -> None:
    assert drawn(plotting._draw_constellation, load_link("digital-awgn")).get_title().endswith("the link below")


def test_few_enough_drops_are_shown_to_be_told_apart() -> None:
    link = load_link("ofdm-umi")
    assert isinstance(link, OfdmLink)
    axes = pyplot.figure().subplots()
    link._draw_delays(axes)
    pyplot.close()
    assert axes.get_title() == "Power-delay profile, 3 drops"
