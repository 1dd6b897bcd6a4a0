"""The tables of ``tokcom budget``."""

import io
from pathlib import Path

from annotation_files import write_annotations
from media_files import write_clip
from rich.console import Console

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.results.budget_tables import budget_tables


def rows_of(media: Path | None) -> list[str]:
    """What is sent, of each row of the tables of an experiment with media."""
    series = "evaluate=[{variants: [aligned], links: [awgn], snr_db: [0]}]"
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(budget_tables(load_experiment("quickstart", overrides=[series]), media, 16))
    lines = [line.split() for line in console.export_text().splitlines() if line.rstrip().endswith("%")]
    return [cells[cells[0] == "awgn"] for cells in lines]


def test_sending_the_file_is_compared_where_there_are_files(tmp_path: Path) -> None:
    write_annotations(tmp_path)
    (tmp_path / "MUSIC-AVQA" / "extraction" / "ast_audio").mkdir(parents=True)
    (tmp_path / "MUSIC-AVQA" / "videos").mkdir()
    (tmp_path / "MUSIC-AVQA" / "videos" / "broken.mp4").write_bytes(b"no video")
    assert rows_of(tmp_path) == rows_of(None) == ["tokens", "digital"]
    write_clip(tmp_path / "MUSIC-AVQA" / "videos" / "a.MP4", seconds=0.5)
    assert rows_of(tmp_path) == ["tokens", "digital", "compressed", "uncompressed"]


def test_digital_links_show_their_own_bits_and_the_uses_of_analog_tokens() -> None:
    series = "evaluate=[{variants: [aligned], links: [awgn, digital-awgn], snr_db: [0]}]"
    experiment = load_experiment("quickstart", overrides=[series])
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(budget_tables(experiment, None, 16))
    lines = [line for line in console.export_text().splitlines() if line.rstrip()]
    rows = [line.split() for line in lines if line.rstrip().endswith("%")]
    analog = next(row for row in rows if row[0] == "awgn")
    digital = next(row for row in rows if row[0] == "digital")
    own = next(row for row in rows if row[0] == "digital-awgn")
    # Two modalities of 32 tokens of 128 values; 8 bits a value in symbols of 2 bits are 4 symbols a value.
    assert (analog[2], digital[1]) == ("4096", str(2 * 32 * 128 * 4))
    assert own[1:] == ["2", "bit", "64-QAM", *analog[2:]]


def test_harq_is_stated_by_its_mean_over_rounds() -> None:
    """At 40 dB one round of 4,096 uses, at −30 dB all three; 64 symbols of header for each of two users."""
    series = "evaluate=[{variants: [aligned], links: [harq], snr_db: [40, -30]}]"
    link = "links={harq: {extends: digital-awgn, decoding: mapped, harq: {rounds: 3, combining: chase}}}"
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(budget_tables(load_experiment("quickstart", overrides=[series, link]), None, 16))
    text = console.export_text()
    rows = [line.split() for line in text.split("mean over all rounds")[1].splitlines()]
    cells = [[float(cell) for cell in row[-4:]] for row in rows if len(row) in (4, 5) and row[-1][0].isdigit()]
    means = {snr_db: costs for snr_db, *costs in cells}
    assert means == {40.0: [4096, 4.22, 0.845], -30.0: [12288, 12.4, 2.48]}
