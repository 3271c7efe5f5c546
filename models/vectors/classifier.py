"""Write the golden vectors of the classifier decoder: outputs, and what must be found in them.

    python classifier.py ../../agent/internal/worker/decode/testdata/classifier.json.gz

A classifier gives one number for each class. Probabilities are the softmax or the logistic function of them,
by torch in float64. Classes from score_floor up are found, best first, of equal ones the first class first;
each is of the whole frame.
"""

import sys

import numpy as np
import torch

from pack import pack, write

CASES = [
    # name, activation, classes, dims behind the first two, frame, floor, limit
    ("six kinds", "softmax", 6, (), (640, 480), 0.01, 100),
    ("pooled and not flattened", "softmax", 6, (1, 1), (1920, 1080), 0.01, 100),
    ("a thousand kinds", "softmax", 1000, (), (224, 224), 0.0005, 1000),
    ("the ten best of a thousand", "softmax", 1000, (), (4096, 3000), 0.0001, 10),
    ("two kinds", "softmax", 2, (), (31, 977), 0.01, 100),
    ("each for itself", "sigmoid", 12, (), (800, 600), 0.05, 100),
    ("one for itself", "sigmoid", 1, (), (800, 600), 0.01, 100),
    ("softmax in the graph", "none", 20, (), (800, 600), 0.01, 100),
    ("sigmoid in the graph", "none", 20, (1, 1), (800, 600), 0.25, 100),
]


def logits(rng: np.random.Generator, classes: int) -> np.ndarray:
    """Numbers as a trained network gives them: one class stands out, a few others a little."""
    values = rng.normal(0, 1.5, classes)
    values[rng.integers(classes)] += rng.uniform(1, 6)
    return values.astype(np.float32)


def probabilities(values: np.ndarray, activation: str) -> np.ndarray:
    exact = torch.from_numpy(values.astype(np.float64))
    if activation == "softmax":
        return torch.softmax(exact, 0).numpy()
    return torch.sigmoid(exact).numpy()


def case(rng: np.random.Generator, name, activation, classes, rest, frame, floor, limit) -> dict:
    output = logits(rng, classes)
    if activation == "none":
        output = probabilities(output, "softmax" if "softmax" in name else "sigmoid").astype(np.float32)
        scores = output.astype(np.float64)
    else:
        scores = probabilities(output, activation)
    order = np.argsort(-scores, kind="stable")
    found = [int(k) for k in order if scores[k] >= floor]
    return {
        "name": name,
        "activation": activation,
        "classes": classes,
        "frame": frame,
        "floor": floor,
        "limit": limit,
        "dims": (1, classes, *rest),
        "output": pack(output),
        "cut": max(0, len(found) - limit),
        "found": [{"class": k, "score": float(scores[k]), "box": [0, 0, *frame]} for k in found[:limit]],
    }


def main() -> None:
    rng = np.random.default_rng(20)
    write(sys.argv[1], [case(rng, *settings) for settings in CASES for _ in range(5)])


if __name__ == "__main__":
    main()
