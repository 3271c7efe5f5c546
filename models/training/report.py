"""Pictures of a training: curves, precision over recall, confusions, and a sheet of the worst cases.

python report.py --run runs/pair --data DIR
python report.py --run runs/pair --data DIR --model ../pcb-defects-pair/model.onnx --bundle BUNDLE
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from boards import Board
from evaluate import METRICS, arguments, chosen_boards, predict, settings, summary, warn
from export import average_of, export, history, session
from journal import read_log
from metrics import IOU33, Curve, Detections, Truth, claims, curve, iou_matrix, paper_curve
from network import CLASSES

matplotlib.use("Agg")

# Colours that also those tell apart who see no red or no green (Okabe and Ito).
GREEN, ORANGE, BLUE, PURPLE, GRAY = "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#6E6E6E"
LOSSES = {"cls": ("class", BLUE), "iou": ("overlap", ORANGE), "dfl": ("sides", GREEN)}
NAMES = {"map_iou33": "mAP, IoU > 0.33", "f_iou33": "F, IoU > 0.33", "map50": "mAP50", "map50_95": "mAP50-95"}
SHADES = {"map_iou33": BLUE, "f_iou33": ORANGE, "map50": GREEN, "map50_95": PURPLE}
WINDOW = 112  # px of a board around a case, at least
AROUND = 16  # px around its box, at least
KINDS = ("missed", "false alarm", "wrong class", "loosest hit")
CASES = 6  # of each kind at most
DPI = 110


@dataclass(frozen=True)
class Found:
    """What became of a board's detections and boxes: indices of detections and of boxes.

    hits: detection, box, IoU. confused: detection, box of another class. alarms: detections. missed: boxes.
    """

    hits: list[tuple[int, int, float]]
    confused: list[tuple[int, int]]
    alarms: list[int]
    missed: list[int]


@dataclass(frozen=True)
class Case:
    """Something to look at: its kind, its board by index, its place [4], a text, and the label of a miss."""

    kind: str
    board: int
    box: np.ndarray
    text: str
    badness: float
    label: int | None = None


def judge(found: Detections, truth: Truth, thresholds: np.ndarray) -> Found:
    """Sort out a board's detections that reach their thresholds, as the metric at IoU > 0.33 does.

    What is left over of detections and boxes is then joined regardless of class.
    """
    order = [int(k) for k in np.argsort(-found.scores, kind="stable")]
    order = [k for k in order if found.scores[k] >= thresholds[found.labels[k]]]
    overlap = iou_matrix(found.boxes, truth.boxes)
    same = found.labels[:, None] == truth.labels[None]
    mine = claims(np.where(same, overlap, 0)[order], IOU33)
    hits = [(order[row], m, float(overlap[order[row], m])) for row, m in mine]
    gone = {k for k, _, _ in hits}
    overlap[:, [m for _, m, _ in hits]] = 0
    rest = [k for k in order if k not in gone]
    confused = [(rest[row], m) for row, m in claims(overlap[rest], IOU33)]
    gone = {k for k, _ in confused}
    taken = {m for _, m, _ in hits} | {m for _, m in confused}
    missed = [m for m in range(len(truth.labels)) if m not in taken]
    return Found(hits, confused, [k for k in rest if k not in gone], missed)


def confusion(pairs: list[tuple[Detections, Truth]], judged: list[Found]) -> np.ndarray:
    """Counts [7,7]: rows are the truth and at last nothing, columns what was found and at last nothing."""
    counts = np.zeros((len(CLASSES) + 1,) * 2, int)
    for (found, truth), result in zip(pairs, judged, strict=True):
        for k, m, *_ in [*result.hits, *result.confused]:
            counts[truth.labels[m], found.labels[k]] += 1
        for m in result.missed:
            counts[truth.labels[m], -1] += 1
        for k in result.alarms:
            counts[-1, found.labels[k]] += 1
    return counts


def cases(pairs: list[tuple[Detections, Truth]], judged: list[Found]) -> list[Case]:
    """Every case, the worst of each kind first."""
    result = []
    for number, ((found, truth), outcome) in enumerate(zip(pairs, judged, strict=True)):
        for m in outcome.missed:
            best = best_score(found, truth.boxes[m], int(truth.labels[m]))
            text = f"{CLASSES[truth.labels[m]]}: " + (f"best score {best:.2f}" if best else "nothing found")
            result.append(Case("missed", number, truth.boxes[m], text, -best, int(truth.labels[m])))
        for k in outcome.alarms:
            score = float(found.scores[k])
            text = f"{CLASSES[found.labels[k]]} {score:.2f}"
            result.append(Case("false alarm", number, found.boxes[k], text, score))
        for k, m in outcome.confused:
            score = float(found.scores[k])
            text = f"{CLASSES[truth.labels[m]]} taken for {CLASSES[found.labels[k]]} {score:.2f}"
            result.append(Case("wrong class", number, truth.boxes[m], text, score))
        for k, m, overlap in outcome.hits:
            text = f"{CLASSES[truth.labels[m]]}: IoU {overlap:.2f}, score {found.scores[k]:.2f}"
            result.append(Case("loosest hit", number, truth.boxes[m], text, -overlap))
    return sorted(result, key=lambda case: -case.badness)


def best_score(found: Detections, box: np.ndarray, label: int) -> float:
    """The best score of the class on a box, however low; 0 where nothing was found."""
    return float(found.scores[near(found, box, label)].max(initial=0.0))


def near(found: Detections, box: np.ndarray, label: int) -> np.ndarray:
    """Which detections of the class, however low their score, would hit the box."""
    return (iou_matrix(box, found.boxes)[0] > IOU33) & (found.labels == label)


def picture(width: float, height: float) -> Figure:
    """An empty figure in inches."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def tidy(axes: Axes, title: str) -> None:
    """A panel without a frame's upper and right side, with a light grid."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E3E3E3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


def thousands(axes: Axes) -> None:
    """Steps along x, as 4k."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v / 1000:g}k" if v else "0"))
    axes.set_xlabel("steps", fontsize=8)


def draw_curves(log: list[dict], out: Path) -> None:
    """Losses, validation metrics and learning rate over the steps of a run's log.jsonl."""
    figure = picture(11, 6.2)
    (losses, good), (rates, fine) = figure.subplots(2, 2)
    lines = [line for line in log if "cls" in line]
    steps = [line["step"] for line in lines]
    for key, (name, colour) in LOSSES.items():
        losses.plot(steps, [line[key] for line in lines], color=colour, linewidth=1.5, label=name)
    losses.set_yscale("log")
    losses.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    losses.yaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:g}" if f"{v:g}"[-1] in "25" else ""))
    losses.tick_params(which="minor", labelsize=8)
    losses.legend(fontsize=8, frameon=False, ncols=3)
    tidy(losses, "losses (running mean, logarithmic)")
    rates.plot(steps, [line["rate"] for line in lines], color=GRAY, linewidth=1.5)
    rates.set_ylim(bottom=0)
    tidy(rates, "learning rate")
    checks = [line for line in log if "validation" in line]
    draw_checks(good, checks, METRICS[:3], "validation block, averaged weights")
    draw_checks(fine, checks, METRICS[3:], "the same, tight boxes")
    for axes in (losses, good, rates, fine):
        axes.set_xlim(0, max([line["step"] for line in log], default=1))
        thousands(axes)
    figure.savefig(out)


def draw_checks(axes: Axes, checks: list[dict], names: tuple[str, ...], title: str) -> None:
    """Validation metrics over steps; the last values stand in the legend."""
    steps = [line["step"] for line in checks]
    for name in names:
        values = [float("nan") if v is None else v for v in (line["validation"][name] for line in checks)]
        label = f"{NAMES[name]}: {values[-1]:.4f}" if values else NAMES[name]
        axes.plot(steps, values, "o-", color=SHADES[name], linewidth=1.5, markersize=3.5, label=label)
    if checks:
        axes.legend(fontsize=8, frameon=False, loc="lower right")
    else:
        axes.text(0.5, 0.5, "no validation yet", transform=axes.transAxes, ha="center", color=GRAY)
    tidy(axes, title)


def draw_confusion(counts: np.ndarray, thresholds: np.ndarray, out: Path) -> None:
    """Truth by row, finding by column; shares of the row as shade, counts as numbers."""
    figure = picture(7.6, 6.4)
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    share[-1] = counts[-1] / max(counts[:-1].sum(), 1)  # alarms, for each box there is
    right = np.eye(len(counts), dtype=bool)
    shown = np.ones((*counts.shape, 3))
    for mask, colour in ((right, GREEN), (~right, ORANGE)):
        tint = np.array(matplotlib.colors.to_rgb(colour))
        # A single mistake in hundreds must be seen: the shade rises with the root.
        strength = np.sqrt(np.clip(share, 0, 1)) * (0.75 if colour == GREEN else 1.0)
        shown[mask] = (1 - strength[..., None] * (1 - tint))[mask]
    axes.imshow(shown)
    for (row, column), count in np.ndenumerate(counts):
        if row == column == len(counts) - 1:
            continue
        weight = "bold" if count else "normal"
        axes.text(column, row, str(count), ha="center", va="center", weight=weight,
                  color="black" if count else "#B8B8B8")  # fmt: skip
    found = [f"{name}\n≥ {t:.2f}" for name, t in zip(CLASSES, thresholds, strict=True)]
    axes.set_xticks(range(len(counts)), [*found, "missed"], fontsize=8)
    axes.set_yticks(range(len(counts)), [*CLASSES, "false alarm"], fontsize=9)
    axes.set_xlabel("found as, with its threshold", fontsize=9)
    axes.set_ylabel("truth", fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(len(counts) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(counts) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    axes.set_title(f"{counts[:-1].sum()} boxes, IoU > 0.33; shade: share of the row", fontsize=10, loc="left")
    figure.savefig(out)


def draw_recalls(pairs: list[tuple[Detections, Truth]], thresholds: np.ndarray, out: Path) -> None:
    """Precision over recall by class at IoU > 0.33 and 0.5, with the threshold's place."""
    figure = picture(11, 6.6)
    grid = figure.subplots(2, 3, sharex=True, sharey=True)
    lowest = 0.9
    for label, (name, axes) in enumerate(zip(CLASSES, grid.flat, strict=True)):
        coco, c = curve(pairs, label, 0.5), paper_curve(pairs, label)
        kinds = (
            (coco, coco.average_precision(), 3.4, ORANGE, "0.5"),
            (c, c.paper_precision(), 1.4, BLUE, "0.33"),
        )
        for of, ap, width, colour, text in kinds:
            recall, precision = recalls(of)
            axes.plot(recall, precision, color=colour, linewidth=width, label=f"IoU > {text}: AP {ap:.4f}")
        hits, alarms, misses = c.at(thresholds[label])
        if hits:
            at = hits / (hits + misses), hits / (hits + alarms)
            axes.plot(*at, "o", color="black", markersize=5, label=f"threshold {thresholds[label]:.2f}")
            lowest = min(lowest, *at)
        tidy(axes, f"{name} ({c.wanted} boxes)")
        axes.legend(fontsize=8, frameon=False, loc="lower left")
    low = np.floor(10 * lowest - 0.5) / 10
    grid[0, 0].set(xlim=(max(low, 0), 1.005), ylim=(max(low, 0), 1.005))
    for axes in grid[-1]:
        axes.set_xlabel("recall", fontsize=9)
    for axes in grid[:, 0]:
        axes.set_ylabel("precision", fontsize=9)
    figure.savefig(out)


def recalls(c: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision as the threshold falls, from recall 0 on."""
    right = c.hits.cumsum()
    recall = right / max(c.wanted, 1)
    precision = right / np.arange(1, len(right) + 1)
    return np.append(0.0, recall), np.append(precision[:1], precision) if len(right) else np.ones(1)


def draw_worst(
    boards: list[Board],
    pairs: list[tuple[Detections, Truth]],
    listed: list[Case],
    thresholds: np.ndarray,
    out: Path,
) -> None:
    """A sheet of crops: for each kind its worst cases, and of a pair board, template and difference."""
    pair = all(board.template is not None for board in boards)
    columns = 3 if pair else 6
    sections = [(kind, [case for case in listed if case.kind == kind]) for kind in KINDS]
    rows = [-(-min(len(group), CASES) // columns) for _, group in sections]
    heights = [0.35 + (1.85 if pair else 2.65) * n for n in rows]
    figure = picture(13.2, 0.35 + sum(heights))
    figure.suptitle(caption(pair), fontsize=9, x=0.01, ha="left")
    parts = figure.subfigures(len(sections), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (kind, group), height in zip(parts, sections, rows, strict=True):
        many = len(group) > CASES and kind != "loosest hit"
        heading = f"{kind}, {CASES} of {len(group)}" if many else kind
        part.suptitle(heading if group else f"{kind}: none", fontsize=11, weight="bold", x=0.01, ha="left")
        if not group:
            continue
        places = part.subfigures(height, columns, wspace=0.03, squeeze=False).flat
        for place, case in zip(places, group[:CASES], strict=False):
            draw_case(place, case, boards[case.board], pairs[case.board], thresholds)
    figure.savefig(out)


def caption(pair: bool) -> str:
    """What the colours of the sheet mean."""
    text = "green: truth    orange, dashed: found, with class and score    dotted: found, below its threshold"
    return text + "    difference: orange extra copper, blue copper missing" if pair else text


def draw_case(
    place: SubFigure, case: Case, board: Board, pair: tuple[Detections, Truth], thresholds: np.ndarray
) -> None:
    """One case's crop, or its three crops."""
    x1, y1, x2, y2 = window(case.box, board.test.shape)
    cut = np.s_[y1:y2, x1:x2]
    # Copper is black in the files; a lighter tone lets boxes be seen on it.
    views = {"board": np.maximum(board.test[cut], 70)}
    if board.template is not None:
        views["template"] = np.maximum(board.template[cut], 70)
        views["difference"] = differences(board.test[cut], board.template[cut])
    panels = place.subplots(1, len(views), squeeze=False)[0]
    between = "  " if len(views) > 1 else "\n"
    panels[0].set_title(board.id + between + case.text, fontsize=8, loc="left")
    for axes, (name, view) in zip(panels, views.items(), strict=True):
        axes.imshow(view, cmap="gray", vmin=0, vmax=255, extent=(x1, x2, y2, y1), interpolation="nearest")
        axes.set(xlim=(x1, x2), ylim=(y2, y1), xticks=[], yticks=[])
        if len(views) > 1:
            axes.set_xlabel(name, fontsize=7, labelpad=2)
        if name != "template":
            draw_boxes(axes, pair, thresholds, case, name == "board")


def window(box: np.ndarray, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The square around a box, inside the board where that is large enough: x1, y1, x2, y2."""
    side = int(max(WINDOW, (box[2:] - box[:2]).max() + 2 * AROUND))
    x, y = (box[:2] + box[2:]) / 2 - side / 2
    x1, y1 = int(np.clip(x, 0, max(shape[1] - side, 0))), int(np.clip(y, 0, max(shape[0] - side, 0)))
    return x1, y1, min(x1 + side, shape[1]), min(y1 + side, shape[0])


def differences(test: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Pixels [h,w,3] where a board differs from its template; faint where they agree."""
    view = np.where(test > 127, 255, 225).astype(np.uint8)
    view = np.repeat(view[..., None], 3, 2)
    for colour, mask in ((ORANGE, test < template), (BLUE, test > template)):
        view[mask] = np.round(255 * np.array(matplotlib.colors.to_rgb(colour)))
    return view


def draw_boxes(
    axes: Axes, pair: tuple[Detections, Truth], thresholds: np.ndarray, case: Case, named: bool
) -> None:
    """Truth and findings; of a miss also the best that stayed below its threshold."""
    found, truth = pair
    for box in truth.boxes:
        outline(axes, box, GREEN, "-")
    for k in np.flatnonzero(found.scores >= thresholds[found.labels]):
        outline(axes, found.boxes[k], ORANGE, "--")
        if named:
            name(axes, found.boxes[k], f"{CLASSES[found.labels[k]]} {found.scores[k]:.2f}")
    if case.label is not None:
        low = np.flatnonzero(near(found, case.box, case.label))
        for k in low[np.argsort(-found.scores[low])][:1]:
            outline(axes, found.boxes[k], ORANGE, ":")


def name(axes: Axes, box: np.ndarray, text: str) -> None:
    """Write a finding's name above its box, where that lies in the panel."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = max(box[0], left + 1), box[1] - 2
    if box[2] > left and x < right - 10 and top + 6 <= y < bottom:
        style = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.6}
        axes.text(x, y, text, fontsize=6, color=ORANGE, bbox=style, clip_on=True)


def outline(axes: Axes, box: np.ndarray, colour: str, style: str) -> None:
    """Draw a box; axes are in pixels of the board."""
    x1, y1, x2, y2 = box
    axes.add_patch(
        Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linestyle=style, linewidth=1.4)
    )


def report(run: Path, boards: list[Board], pairs: list, thresholds: list[float] | None) -> list[Path]:
    """Write the pictures into the run's folder; thresholds default to best F. Returns their paths."""
    result = summary(pairs, thresholds)
    limits = np.array([c["threshold"] for c in result["classes"].values()])
    judged = [judge(found, truth, limits) for found, truth in pairs]
    paths = [run / f"{name}.png" for name in ("confusion", "pr", "worst", "curves")]
    draw_confusion(confusion(pairs, judged), limits, paths[0])
    draw_recalls(pairs, limits, paths[1])
    draw_worst(boards, pairs, cases(pairs, judged), limits, paths[2])
    log = run / "log.jsonl"
    if not log.exists():
        return paths[:-1]
    draw_curves(read_log(log), paths[-1])
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments(parser)
    parser.add_argument("--run", required=True, help="folder of the training; the pictures go there")
    parser.add_argument(
        "--model", help="exported model; default: the averaged weights of the run's checkpoint"
    )
    args = parser.parse_args()
    thresholds, decoder = settings(args)
    boards = chosen_boards(args)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(args.model or Path(folder) / "model.onnx")
        if not args.model:
            state = torch.load(Path(args.run) / "last.pt", weights_only=True, map_location="cpu")
            export(average_of(state), path, boards[0].test.shape[0], history(state))
        warn([str(path)], args.part)
        model = session(path, args.threads)
        inputs = model.get_inputs()[0].shape[1]
        pairs, _ = predict(model, boards, decoder)
    if inputs == 1:
        boards = [Board(b.id, b.test, None, b.boxes, b.labels) for b in boards]
    for path in report(Path(args.run), boards, pairs, thresholds):
        print(path)


if __name__ == "__main__":
    main()
