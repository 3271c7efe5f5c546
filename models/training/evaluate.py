"""Evaluate an exported model on boards in the deeppcb layout.

python evaluate.py --model ../pcb-defects/model.onnx --data DIR --part block
python evaluate.py --model ../pcb-defects/model.onnx --data SIMDIR --part all --thresholds 0.5,...
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from boards import Board, board_ids, load_boards, split
from export import session
from metrics import Curve, Detections, Truth, curve, f_score, mean_ap, suppress
from network import CLASSES, Detector, Export

FLOOR = 0.02  # scores below never matter to a curve
OVERLAP = 0.6  # of suppression; boxes of one class hardly overlap
IOU33 = 1 / 3  # the data set's paper: IoU > 0.33
COCO = [0.5 + 0.05 * k for k in range(10)]


def decode(output: np.ndarray, floor: float = FLOOR, overlap: float = OVERLAP) -> Detections:
    """One image's raw output [4+6,N] -> detections after suppression, best first."""
    scores = output[4:].T
    cell, label = np.nonzero(scores >= floor)
    centre, half = output[:2].T[cell], output[2:4].T[cell] / 2
    boxes = np.concatenate((centre - half, centre + half), 1)
    return suppress(Detections(boxes, scores[cell, label], label), overlap)


def predict(model, boards: list[Board]) -> tuple[list[tuple[Detections, Truth]], list[float]]:
    """Detections beside truth for each board, and the network's own times in ms."""
    pairs, times = [], []
    inputs = model.get_inputs()[0].shape[1]
    for board in tqdm(boards, unit="board", mininterval=2):
        images = board.planes(inputs)[None]
        start = time.perf_counter()
        (output,) = model.run(None, {"images": images})
        times.append((time.perf_counter() - start) * 1e3)
        pairs.append((decode(output[0]), Truth(board.boxes, board.labels)))
    return pairs, times


@torch.no_grad()
def look(detector: Detector, boards: list[Board]) -> list[tuple[Detections, Truth]]:
    """The same with a detector that is not exported yet; boards are square and of one size."""
    device = next(detector.parameters()).device
    model = Export(detector, boards[0].test.shape[0]).to(device).eval()
    pairs = []
    for board in boards:
        output = model(torch.from_numpy(board.planes(detector.design.inputs)[None]).to(device))
        pairs.append((decode(output[0].cpu().numpy()), Truth(board.boxes, board.labels)))
    return pairs


def summary(pairs: list, thresholds: list[float] | None) -> dict:
    """All metrics of a part; thresholds default to each class's best F on this very part."""
    curves: list[Curve] = [curve(pairs, label, IOU33) for label in range(len(CLASSES))]
    chosen = thresholds or [round(c.best()[1], 3) for c in curves]
    counts = [c.at(t) for c, t in zip(curves, chosen, strict=True)]
    total = tuple(int(v) for v in np.sum(counts, axis=0))
    clean = [found for found, truth in pairs if len(truth.labels) == 0]
    alarmed = sum(bool((found.scores >= np.array(chosen)[found.labels]).any()) for found in clean)
    classes = {
        name: {
            "ap_iou33": c.average_precision(),
            "threshold": t,
            "f_iou33": f_score(*n),
            "hits": n[0],
            "false_alarms": n[1],
            "misses": n[2],
        }
        for name, c, t, n in zip(CLASSES, curves, chosen, counts, strict=True)
    }
    return {
        "images": len(pairs),
        "map_iou33": mean_ap(pairs, len(CLASSES), IOU33),
        "f_iou33": f_score(*total),
        "recall": total[0] / max(total[0] + total[2], 1),
        "map50": mean_ap(pairs, len(CLASSES), 0.5),
        "map50_95": float(np.mean([mean_ap(pairs, len(CLASSES), least) for least in COCO])),
        "clean_boards": len(clean),
        "clean_boards_alarmed": alarmed,
        "classes": classes,
    }


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
        f"{'class':<10} {'AP@.33':>7} {'thresh':>7} {'F@.33':>7} {'hits':>5} {'false':>5} {'miss':>5}"
    )
    for name, c in result["classes"].items():
        lines.append(
            f"{name:<10} {c['ap_iou33']:7.4f} {c['threshold']:7.3f} {c['f_iou33']:7.4f} "
            f"{c['hits']:5d} {c['false_alarms']:5d} {c['misses']:5d}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="../pcb-defects/model.onnx")
    parser.add_argument("--data", required=True, help="boards in the deeppcb layout")
    parser.add_argument("--part", choices=("train", "block", "group", "all"), default="block")
    parser.add_argument("--limit", type=int, help="only so many boards, spread evenly")
    parser.add_argument("--thresholds", help="six numbers, comma between; default: best F on this part")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument("--also", help="pool with all boards of this folder, to choose thresholds for both")
    args = parser.parse_args()
    root = Path(args.data)
    ids = board_ids(root)
    ids = ids if args.part == "all" else split(ids)[args.part]
    if args.limit:
        ids = ids[:: max(len(ids) // args.limit, 1)][: args.limit]
    thresholds = [float(v) for v in args.thresholds.split(",")] if args.thresholds else None
    boards = load_boards(root, ids)
    if args.also:
        boards += load_boards(Path(args.also), board_ids(Path(args.also)))
    pairs, times = predict(session(Path(args.model), args.threads), boards)
    result = summary(pairs, thresholds)
    result |= {"ms_p50": float(np.median(times)), "ms_p99": float(np.percentile(times, 99))}
    print(json.dumps(result, indent=1) if args.output == "json" else table(result))


if __name__ == "__main__":
    main()
