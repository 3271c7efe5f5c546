"""Evaluate an exported model on boards in the deeppcb layout.

python evaluate.py --model runs/pair/model.onnx --data DIR --part block
python evaluate.py --model runs/pair/model.onnx --data SIMDIR --part all --thresholds 0.5,...
python evaluate.py --bundle ../pcb-defects-pair --data DIR
python evaluate.py --model runs/pair/model-int8.onnx --against runs/pair/model.onnx --data DIR
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from boards import Board, board_ids, load_boards, part_ids, sized, spread
from bundle import Decoder, read_bundle
from export import session, training_of
from metrics import Curve, Detections, Truth, curve, f_score, known_mean, paper_curve, suppress
from network import CLASSES, STRIDE, Detector, Export

COCO = [0.5 + 0.05 * k for k in range(10)]
METRICS = ("map_iou33", "f_iou33", "map50", "map50_95")
DECODER = Decoder()
POINTS = 0.2  # of each metric, what quantization may cost


def decode(outputs: list[np.ndarray], decoder: Decoder = DECODER) -> Detections:
    """One image's logits [6,h,w] and [4*bins,h,w] -> detections after suppression, best first."""
    logits, distances = (np.asarray(o, np.float64) for o in outputs)
    label, y, x = np.nonzero(logits >= np.log(decoder.floor / (1 - decoder.floor)))
    scores = 1 / (1 + np.exp(-logits[label, y, x]))
    count = distances.shape[0] // 4
    bins = distances[:, y, x].reshape(4, count, -1)
    weight = np.exp(bins - bins.max(1, keepdims=True))
    steps = np.arange(count).reshape(1, -1, 1)
    left, top, right, bottom = (weight * steps).sum(1) / weight.sum(1)
    x, y = x + 0.5, y + 0.5
    boxes = np.stack((x - left, y - top, x + right, y + bottom), 1) * STRIDE
    return suppress(Detections(boxes, scores, label), decoder.overlap, decoder.agnostic, decoder.most)


def predict(
    model, boards: list[Board], decoder: Decoder = DECODER
) -> tuple[list[tuple[Detections, Truth]], list[float]]:
    """Detections beside truth for each board, and the network's own times in ms."""
    pairs, times = [], []
    inputs, height, width = model.get_inputs()[0].shape[1:]
    sized(boards, height, width)
    for board in tqdm(boards, unit="board", mininterval=2):
        images = board.planes(inputs)[None]
        start = time.perf_counter()
        outputs = model.run(["scores", "distances"], {"images": images})
        times.append((time.perf_counter() - start) * 1e3)
        pairs.append((decode([o[0] for o in outputs], decoder), Truth(board.boxes, board.labels)))
    return pairs, times


@torch.no_grad()
def look(detector: Detector, boards: list[Board]) -> list[tuple[Detections, Truth]]:
    """The same with a detector that is not exported yet."""
    device = next(detector.parameters()).device
    model = Export(detector).to(device).eval()
    pairs = []
    for board in boards:
        outputs = model(torch.from_numpy(board.planes(detector.design.inputs)[None]).to(device))
        found = decode([o[0].cpu().numpy() for o in outputs])
        pairs.append((found, Truth(board.boxes, board.labels)))
    return pairs


def summary(pairs: list, thresholds: list[float] | None) -> dict:
    """All metrics of a part; thresholds default to each class's best F on this very part."""
    curves: list[Curve] = [paper_curve(pairs, label) for label in range(len(CLASSES))]
    chosen = thresholds or [round(c.best()[1], 3) for c in curves]
    counts = [c.at(t) for c, t in zip(curves, chosen, strict=True)]
    total = tuple(int(v) for v in np.sum(counts, axis=0))
    clean = [found for found, truth in pairs if len(truth.labels) == 0]
    alarmed = sum(bool((found.scores >= np.array(chosen)[found.labels]).any()) for found in clean)
    coco = precisions(pairs)
    classes = {
        name: {
            "ap_iou33": c.paper_precision(),
            "ap50": float(ap[0]),
            "ap50_95": float(ap.mean()),
            "threshold": t,
            "f_iou33": f_score(*n),
            "hits": n[0],
            "false_alarms": n[1],
            "misses": n[2],
        }
        for name, c, ap, t, n in zip(CLASSES, curves, coco, chosen, counts, strict=True)
    }
    return {
        "images": len(pairs),
        "map_iou33": known_mean([c["ap_iou33"] for c in classes.values()]),
        "f_iou33": f_score(*total),
        "recall": total[0] / max(total[0] + total[2], 1),
        "map50": known_mean([c["ap50"] for c in classes.values()]),
        "map50_95": known_mean([c["ap50_95"] for c in classes.values()]),
        "clean_boards": len(clean),
        "clean_boards_alarmed": alarmed,
        "classes": classes,
    }


def crossed_f(names: list[str], pairs: list, more: list) -> float:
    """F at IoU over 0.33 at thresholds that are chosen elsewhere.

    Boards are halved within each group. Each half is judged at the best thresholds of the other one and of
    `more`, which is not judged; neighbours overlap, so that a half is a run of ids.
    """
    groups: dict[str, list[int]] = {}
    for k in sorted(range(len(names)), key=names.__getitem__):
        groups.setdefault(names[k][:5], []).append(k)
    first = {k for members in groups.values() for k in members[: len(members) // 2]}
    halves = [[pair for k, pair in enumerate(pairs) if (k in first) == side] for side in (True, False)]
    total = np.zeros(3, int)
    for judged, other in (halves, halves[::-1]):
        for label in range(len(CLASSES)):
            threshold = paper_curve(other + more, label).best()[1]
            total += np.array(paper_curve(judged, label).at(threshold), int)
    return f_score(*(int(n) for n in total))


def precisions(pairs: list) -> np.ndarray:
    """Average precision [classes,10] at COCO's overlaps; nan for a class without truth."""
    return np.array(
        [[curve(pairs, label, least).average_precision() for least in COCO] for label in range(len(CLASSES))]
    )


def table(result: dict) -> str:
    """The summary for reading."""
    lines = [
        " ".join(
            f"{k}={v:.4f}" if isinstance(v, float) else f"{k}={v}"
            for k, v in result.items()
            if k != "classes"
        )
    ]
    lines.append(
        f"{'class':<10} {'AP@.33':>7} {'AP50':>7} {'AP50-95':>7} {'thresh':>7} {'F@.33':>7} "
        f"{'hits':>5} {'false':>5} {'miss':>5}"
    )
    for name, c in result["classes"].items():
        lines.append(
            f"{name:<10} {c['ap_iou33']:7.4f} {c['ap50']:7.4f} {c['ap50_95']:7.4f} {c['threshold']:7.3f} "
            f"{c['f_iou33']:7.4f} {c['hits']:5d} {c['false_alarms']:5d} {c['misses']:5d}"
        )
    return "\n".join(lines)


def measure(
    path: Path,
    boards: list[Board],
    thresholds: list[float] | None,
    threads: int,
    decoder: Decoder = DECODER,
    more: int = 0,
) -> dict:
    """The summary of an exported model, with its own times; the last `more` boards only help to choose."""
    pairs, times = predict(session(path, threads), boards, decoder)
    result = summary(pairs, thresholds)
    result |= {"ms_p50": float(np.median(times)), "ms_p99": float(np.percentile(times, 99))}
    if thresholds is None:
        count = len(boards) - more
        names = [board.id for board in boards[:count]]
        result["f_iou33_crossed"] = crossed_f(names, pairs[:count], pairs[count:])
    return result


def gains(result: dict, other: dict) -> dict[str, float]:
    """What a result has more than another of each metric, in points: hundredths."""
    return {name: 100 * (result[name] - other[name]) for name in METRICS}


def compare(
    args: argparse.Namespace, boards: list[Board], thresholds: list[float] | None, decoder: Decoder
) -> None:
    """Print the model beside another, with one set of thresholds; leave with 1 if it is worse by POINTS."""
    other = measure(Path(args.against), boards, thresholds, args.threads, decoder)
    chosen = [c["threshold"] for c in other["classes"].values()]
    result = measure(Path(args.model), boards, chosen, args.threads, decoder)
    points = gains(result, other)
    if args.output == "json":
        print(as_json({"model": result, "against": other, "points": points}))
    else:
        print(f"{args.against}\n{table(other)}\n\n{args.model}\n{table(result)}\n")
        print("difference in points: " + " ".join(f"{name}={v:+.2f}" for name, v in points.items()))
    worse = [name for name, v in points.items() if not v >= -POINTS]
    if worse:
        raise SystemExit(
            f"{args.model} is more than {POINTS} points below {args.against} in {', '.join(worse)}: "
            "calibrate it on more boards, or ship the other"
        )


def chosen_boards(args: argparse.Namespace) -> list[Board]:
    """The boards of the part that the command line asks for."""
    root = Path(args.data)
    return load_boards(root, spread(part_ids(root, args.part), args.limit))


def caution(path: Path, part: str) -> str | None:
    """What to know before reading a model's figures on a part: whether it was trained on these boards."""
    past = training_of(path)
    if past is None:
        return (
            f"{path} does not say which boards it was trained on: if on part {part}, too, these figures are "
            "none of boards it has not seen"
        )
    if past["everything"] or part in ("train", "all"):
        return f"{path} was trained on this part ({part}), if these are the boards of its training"
    return None


def warn(paths: list[str], part: str) -> None:
    """Say so beside the figures, not among them."""
    for path in paths:
        text = caution(Path(path), part)
        if text:
            print(f"note: {text}", file=sys.stderr)


def plain(value):
    """The same for JSON, where what is not a number is null."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def as_json(result: dict) -> str:
    return json.dumps(plain(result), indent=1, allow_nan=False)


def six_thresholds(text: str | None) -> list[float] | None:
    """Thresholds by class from the command line."""
    if text is None:
        return None
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) != len(CLASSES):
        raise SystemExit(f"--thresholds {text}: give {len(CLASSES)} numbers, comma between")
    return values


def settings(args: argparse.Namespace) -> tuple[list[float] | None, Decoder]:
    """Thresholds and decoder of the command line: the bundle's, and --thresholds before these."""
    thresholds = six_thresholds(args.thresholds)
    if not args.bundle:
        return thresholds, DECODER
    bundle = read_bundle(Path(args.bundle))
    return thresholds or bundle.thresholds, bundle.decoder


def arguments(parser: argparse.ArgumentParser) -> None:
    """What every program that looks at boards through a model asks."""
    parser.add_argument("--data", required=True, help="boards in the deeppcb layout")
    parser.add_argument("--part", choices=("train", "block", "group", "all"), default="block")
    parser.add_argument("--limit", type=int, help="only so many boards, spread evenly")
    parser.add_argument("--thresholds", help="six numbers, comma between; default: best F on this part")
    parser.add_argument("--bundle", help="take this bundle's thresholds and decoder settings")
    parser.add_argument("--threads", type=int, default=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments(parser)
    parser.add_argument("--model", help="exported model; default: that of --bundle")
    parser.add_argument("--against", help="compare with this model, and fail if the first is worse")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument("--also", help="pool with all boards of this folder, to choose thresholds for both")
    args = parser.parse_args()
    thresholds, decoder = settings(args)
    if args.bundle and not args.model:
        args.model = str(read_bundle(Path(args.bundle)).model)
    if not args.model:
        raise SystemExit("name the model to judge: --model FILE, or --bundle DIR")
    warn([args.model, *filter(None, [args.against])], args.part)
    boards = chosen_boards(args)
    also = load_boards(Path(args.also), board_ids(Path(args.also))) if args.also else []
    boards += also
    if args.against:
        compare(args, boards, thresholds, decoder)
        return
    result = measure(Path(args.model), boards, thresholds, args.threads, decoder, len(also))
    print(as_json(result) if args.output == "json" else table(result))


if __name__ == "__main__":
    main()
