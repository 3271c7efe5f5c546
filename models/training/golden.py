"""Write a bundle's golden samples: boards as PNG and the detections that every provider must reproduce.

    python golden.py --bundle ../pcb-defects --data SIMDIR --boards 00003,00017

Reads the thresholds and the decoder's settings from bundle.yaml; lists the samples to put there. Refuses a
bundle that decodes or binarizes otherwise than these programs do.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import yaml

from boards import Board, load_board
from bundle import read_bundle
from evaluate import decode
from export import session
from metrics import Detections
from network import CLASSES


def expected(found: Detections, thresholds: list[float]) -> list[dict]:
    """What reaches its class's threshold, best first, as the bundle's schema wants it."""
    return [
        {
            "class": CLASSES[label],
            "score": round(float(score), 4),
            "box": [round(float(v), 2) for v in box],
        }
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
        if score >= thresholds[label]
    ]


def nearest_score(found: Detections, thresholds: list[float]) -> float:
    """Distance of the score that lies nearest to its threshold: small ones make a sample brittle."""
    limits = np.array(thresholds)[found.labels]
    return float(np.abs(found.scores - limits).min(initial=1.0))


def write(bundle: Path, stem: str, board: Board, pair: bool, detections: list[dict]) -> dict[str, str]:
    """Write a sample below the bundle, the pictures as they came; returns its entry for bundle.yaml."""
    entry = {"image": f"{stem}.png"}
    picture(bundle / entry["image"], board.test)
    if pair:
        entry["template"] = f"{stem}-template.png"
        picture(bundle / entry["template"], board.template)
    entry["expect"] = f"{stem}.json"
    rows = ",\n".join("  " + json.dumps(row) for row in detections)
    (bundle / entry["expect"]).write_text(f"[\n{rows}\n]\n" if rows else "[]\n")
    return entry


def picture(path: Path, pixels: np.ndarray) -> None:
    """Write an image; OpenCV tells only by its answer that it could not."""
    if not cv2.imwrite(str(path), pixels):
        raise SystemExit(f"{path} cannot be written: see that its folder is there, writable and not full")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bundle", default="../pcb-defects")
    parser.add_argument("--data", required=True, help="boards in the deeppcb layout")
    parser.add_argument("--boards", required=True, help="ids, comma between")
    args = parser.parse_args()
    folder = Path(args.bundle)
    bundle = read_bundle(folder)
    model = session(bundle.model)
    inputs = model.get_inputs()[0].shape[1]
    (folder / "golden").mkdir(exist_ok=True)
    samples = []
    for number, name in enumerate(args.boards.split(","), 1):
        board = load_board(Path(args.data), name)
        outputs = model.run(["scores", "distances"], {"images": board.prepared().planes(inputs)[None]})
        found = decode([o[0] for o in outputs], bundle.decoder)
        detections = expected(found, bundle.thresholds)
        stem = f"golden/board-{number}"
        samples.append(write(folder, stem, board, inputs == 2, detections))
        print(
            f"{stem}: {len(detections)} expected, {len(board.labels)} on the board, "
            f"nearest score {nearest_score(found, bundle.thresholds):.3f} from its threshold"
        )
    print(yaml.safe_dump({"samples": samples}, sort_keys=False))


if __name__ == "__main__":
    main()
