"""t-SNE of the pooled features (10) of audio, video and text, behind the receivers, before and after stage 1."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from safetensors.numpy import load_file
from sklearn.manifold import TSNE

from tokcom_phy.results.plotting import LOOKS, finish, panels
from tokcom_phy.results.run import Run

SEED = 0


def draw(run: Run) -> Figure:
    trained = (job.folder(run.path) for job in run.experiment.resolved().jobs if job.stage == "align")
    kept = [file for folder in trained if (file := folder / "features.safetensors").is_file()]
    modalities = [*run.experiment.encoders, "text"]
    figure, axes = panels(2, 2, height=2.9)
    handles: dict[str, Line2D] = {}
    if not kept:
        return finish(figure, run, handles, "no features yet: stage 1 has not ended, or keep_features is 0")
    features = load_file(kept[0])
    for when, axis in zip(("before", "after"), axes, strict=True):
        parts = [unit(features[f"{modality}-{when}"]) for modality in modalities]
        clips = len(parts[0])
        places = TSNE(perplexity=min(20, clips / 2), metric="cosine", init="pca", random_state=SEED).fit_transform(
            np.concatenate(parts)
        )
        for number, (modality, look) in enumerate(zip(modalities, LOOKS, strict=False)):
            x, y = places[number * clips : (number + 1) * clips].T
            (handles[modality],) = axis.plot(x, y, look.marker, color=look.colour, markersize=3, alpha=0.8)
        found = ", ".join(
            f"{m} {100 * found_text(part, parts[-1]):.0f} %"
            for m, part in zip(modalities[:-1], parts[:-1], strict=True)
        )
        axis.set_title(f"{when} alignment\nown caption nearest:\n{found}")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_xlabel("t-SNE 1")
        axis.set_ylabel("t-SNE 2")
    return finish(figure, run, handles, f"{clips} held-out captioned clips, a point a clip and modality")


def unit(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def found_text(features: np.ndarray, texts: np.ndarray) -> float:
    """Share of clips whose feature is nearest, by cosine, to the text of their own caption."""
    return float(((features @ texts.T).argmax(1) == np.arange(len(texts))).mean())
