"""Draw plots and small images that are embedded in the audit page."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from btxrd.artifacts.audit import AuditReport, Counts, GroupSizes
from btxrd.data.annotations import Outline
from btxrd.data.constants import CLASSES
from btxrd.data.images import read_image
from btxrd.data.inspection import Inspection
from btxrd.data.survey import ImageInfo
from btxrd.runtime.drawing import own_settings

HEIGHT, WIDEST = 200, 800  # pixels of a small image
COLOURS = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00")  # Okabe and Ito
MARKS = "osv^D"


def small_image(path: str, outline: Outline | None = None) -> str:
    """Return an image as a data URI (JPEG, HEIGHT pixels high), with its outline drawn."""
    pixels = read_image(Path(path), at_least=HEIGHT).pixels
    width = min(max(1, round(HEIGHT * pixels.shape[1] / pixels.shape[0])), WIDEST)
    small = cv2.resize(pixels, (width, HEIGHT), interpolation=cv2.INTER_AREA)
    colour = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR)
    if outline is not None:
        scale = np.array([width / outline.width, HEIGHT / outline.height])
        corners = [np.rint(polygon * scale).astype(np.int32) for polygon in outline.polygons]
        cv2.polylines(colour, corners, isClosed=True, color=(0, 230, 255), lineType=cv2.LINE_AA)
    content = cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def plots(found: Inspection, report: AuditReport) -> dict[str, str]:
    """Return the plots of the page as SVG, by caption."""
    groups = report.groups
    shares = [outline.share for outline in found.outlines.values()]
    drawn = {
        "Cases by center and class": _svg(lambda axes: _draw_counts(axes, report.counts)),
        "Size of the images": _svg(lambda axes: _draw_sizes(axes, found.survey.infos, found.cases)),
        "Likely patients and groups by size": _svg(lambda axes: _draw_groups(axes, groups)),
    }
    if shares:
        drawn["Area of the lesions"] = _svg(lambda axes: _draw_lesions(axes, shares))
    return drawn


SVG = {"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "audit"}


@own_settings(SVG)
def _svg(draw: Callable[[Axes], None]) -> str:
    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _draw_counts(axes: Axes, counts: Counts) -> None:
    bottom = np.zeros(len(counts))
    for name, colour, hatch in zip(CLASSES, COLOURS, ("", "//", "xx"), strict=False):
        heights = np.array([row[name] for row in counts.values()])
        names = [f"center {center}" for center in counts]
        style: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white"}
        axes.bar(names, heights, bottom=bottom, label=name, **style)
        bottom += heights
    axes.set_ylabel("cases")
    axes.legend(frameon=False)


def _draw_sizes(axes: Axes, infos: tuple[ImageInfo, ...], cases: pd.DataFrame) -> None:
    size = np.array([[info.width, info.height] for info in infos])
    for index, center in enumerate(sorted(set(cases["center"]))):
        here = size[cases["center"].to_numpy() == center]
        colour, mark = COLOURS[index % len(COLOURS)], MARKS[index % len(MARKS)]
        label = f"center {center}"
        axes.scatter(here[:, 0], here[:, 1], s=9, c=colour, marker=mark, alpha=0.4, label=label)
    axes.set(xlabel="width (pixels)", ylabel="height (pixels)", xlim=(0, None), ylim=(0, None))
    axes.legend(frameon=False)


def _draw_groups(axes: Axes, groups: dict[str, GroupSizes]) -> None:
    for index, (name, sizes) in enumerate(groups.items()):
        at = np.array(list(sizes.by_size)) + (index - 0.5) * 0.4
        bars: dict[str, Any] = {
            "color": COLOURS[index],
            "hatch": ("", "//")[index],
            "edgecolor": "white",
        }
        axes.bar(at, list(sizes.by_size.values()), 0.4, label=name, **bars)
    axes.set(xlabel="cases per patient or group", ylabel="number", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def _draw_lesions(axes: Axes, shares: list[float]) -> None:
    percent = 100 * np.array(shares).clip(1e-6)
    low, high = np.log10(percent.min()), np.log10(max(percent.max(), 2 * percent.min()))
    axes.hist(percent, np.logspace(low, high, 30).tolist(), color=COLOURS[0])
    axes.set(xscale="log", xlabel="outlined share of the image (%)", ylabel="tumours")
