"""Build small bundles whose models judge a frame as a whole. Golden samples are by this program's decoders.

    simboards --boards 240 --seed 3 --out BOARDS
    simboards --boards 160 --seed 4 --product 7 --clean 0.7 --out PRODUCT
    python whole_networks.py BOARDS PRODUCT ../../agent/internal/worker/infer/ort/testdata/families

classifier: a convolutional network of 15,000 weights that says of a crop which defect it shows, or none,
trained for some seconds. anomaly: mean and spread of random convolutional features at each place of the good
boards of one product, after PaDiM (Defard et al., 2020) with a diagonal covariance; its outputs are raw, with
the thresholds in the manifest. anomaly-normalized: the same with the normalization in the graph, all four
outputs and no sizes, as anomalib 2 exports them.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from torch import nn

from anomaly import found_in

KINDS = ["open", "short", "mousebite", "spur", "copper", "pin-hole"]
CLASSES = ["good", *KINDS]
CROP = 64
SIDE, FRAME = 128, 256  # of the anomaly model's input, and of its frames, in pixels
GRAY = "channels: 1"


def board(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A board in gray and its labels, x1, y1, x2, y2, class from 1."""
    rows = [line.split() for line in (folder / "labels" / f"{name}.txt").read_text().splitlines()]
    pixels = cv2.imread(str(folder / "images" / f"{name}_test.jpg"), cv2.IMREAD_GRAYSCALE)
    return pixels, np.array(rows, int).reshape(-1, 5)


def names(folder: Path) -> list[str]:
    return sorted(path.stem.removesuffix("_test") for path in (folder / "images").glob("*_test.jpg"))


def crops(rng: np.random.Generator, folder: Path, chosen: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Crops around defects, a little off their middle, and as many without one."""
    pictures, kinds = [], []
    for name in chosen:
        pixels, labels = board(folder, name)
        high, wide = pixels.shape
        for x1, y1, x2, y2, kind in labels:
            for _ in range(3):
                x, y = (np.array([x1 + x2, y1 + y2]) - CROP) // 2 + rng.integers(-8, 9, 2)
                x, y = np.clip([x, y], 0, [wide - CROP, high - CROP])
                pictures.append(pixels[y : y + CROP, x : x + CROP])
                kinds.append(kind)
        for _ in range(6):
            x, y = rng.integers(0, [wide - CROP, high - CROP])
            beside = (
                (labels[:, 0] > x + CROP)
                | (labels[:, 2] < x)
                | (labels[:, 1] > y + CROP)
                | (labels[:, 3] < y)
            )
            if beside.all():
                pictures.append(pixels[y : y + CROP, x : x + CROP])
                kinds.append(0)
    return np.stack(pictures), np.array(kinds)


class Classifier(nn.Sequential):
    """Logits [N, 7] of crops [N, 1, 64, 64], 0 to 1."""

    def __init__(self):
        widths, layers = [1, 12, 20, 28, 28], []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(widths[-1], len(CLASSES)))


def train(rng: np.random.Generator, pictures: np.ndarray, kinds: np.ndarray, steps: int) -> Classifier:
    network = Classifier()
    inputs, wanted = torch.from_numpy(pictures[:, None]).float() / 255, torch.from_numpy(kinds)
    optimizer = torch.optim.AdamW(network.parameters(), 4e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, steps)
    for _ in range(steps):
        chosen = torch.from_numpy(rng.integers(0, len(kinds), 96))
        batch = inputs[chosen]
        for axis in (2, 3):
            if rng.random() < 0.5:
                batch = batch.flip(axis)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch), wanted[chosen]).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


class Padim(nn.Module):
    """How many spreads the features of a place are from their mean over good boards: [1, 1, 128, 128] of an
    input [1, 1, 128, 128], and its highest number [1].
    """

    def __init__(self, good: torch.Tensor):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.Tanh()
        ).requires_grad_(False)
        found = self.features(good)
        self.mean = nn.Parameter(found.mean(0, keepdim=True), False)
        self.precision = nn.Parameter(1 / (found.std(0, keepdim=True) + 0.02), False)

    def forward(self, x):
        away = (self.features(x) - self.mean) * self.precision
        heat = (away**2).mean(1, keepdim=True).sqrt()
        heat = nn.functional.interpolate(heat, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return heat, heat.amax((1, 2, 3))


class Normalized(nn.Module):
    """The same with post-processing, in the order of anomalib 2: score, label, map, mask."""

    def __init__(self, raw: Padim, settings: dict):
        super().__init__()
        self.raw, self.settings = raw, settings

    def forward(self, x):
        s, (heat, score) = self.settings, self.raw(x)
        width = s["max"] - s["min"]
        score = ((score - s["image_threshold"]) / width + 0.5).clamp(0, 1)
        heat = ((heat - s["pixel_threshold"]) / width + 0.5).clamp(0, 1)
        return score, score > 0.5, heat, heat > 0.5


def export(
    network: nn.Module, example: torch.Tensor, path: Path, outputs: list[str], open_sizes=False
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = None
    if open_sizes:
        axes = {"input": {0: "batch"}} | {name: {0: "batch"} for name in outputs}
        axes |= {name: dict(enumerate("abcd")) for name in ("anomaly_map", "pred_mask")}
    torch.onnx.export(
        network, example, str(path), input_names=["input"], output_names=outputs, opset_version=17,
        dynamic_axes=axes, dynamo=False,
    )  # fmt: skip


def write(folder: Path, manifest: str, samples: list[tuple[np.ndarray, list[dict]]]) -> None:
    """Write a bundle's manifest and samples beside its model."""
    (folder / "golden").mkdir(exist_ok=True)
    lines = ["golden:", "  samples:"]
    for n, (pixels, expected) in enumerate(samples, 1):
        cv2.imwrite(str(folder / f"golden/{n}.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        rows = ",\n".join("  " + json.dumps(row) for row in expected)
        (folder / f"golden/{n}.json").write_text(f"[\n{rows}\n]\n" if rows else "[]\n")
        lines.append(f"    - {{image: golden/{n}.png, expect: golden/{n}.json}}")
    (folder / "bundle.yaml").write_text(manifest + "\n".join(lines) + "\n")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder.name}: {size // 1024} KiB, {[len(expected) for _, expected in samples]} expected")


def classifier(rng: np.random.Generator, boards: Path, out: Path) -> None:
    known, held = names(boards)[:200], names(boards)[200:]
    network = train(rng, *crops(rng, boards, known), steps=700)
    export(network, torch.zeros(1, 1, CROP, CROP), out / "model.onnx", ["logits"])
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    samples, right, seen = [], 0, set()
    pictures, kinds = crops(rng, boards, held)
    for pixels, kind in zip(pictures, kinds, strict=True):
        (logits,) = session.run(None, {"input": pixels[None, None].astype(np.float32) / 255})
        scores = torch.softmax(torch.from_numpy(logits[0]).double(), 0).numpy()
        right += scores.argmax() == kind
        if (
            scores[kind] > 0.95
            and kind not in seen
            and len(seen) < 4
            and (kind or seen)
            and pixels.std() > 20
        ):
            seen.add(kind)
            row = {"class": CLASSES[kind], "score": round(float(scores[kind]), 4), "box": [0, 0, CROP, CROP]}
            samples.append((pixels, [row]))
    print(f"classifier: {right / len(kinds):.3f} of {len(kinds)} held-out crops are right")
    classes = "".join(f"  - {{name: {name}, threshold: 0.5}}\n" for name in KINDS)
    write(
        out,
        f"""name: crops
version: 1.0.0
task: classification
input: {{width: {CROP}, height: {CROP}, {GRAY}}}
decoder: {{family: classifier, activation: softmax}}
classes:
  - {{name: good, threshold: 0.6, good: true}}
{classes}""",
        samples,
    )


def frames(product: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Good and defective boards of the product, as frames."""
    good, bad = [], []
    for name in names(product):
        pixels, labels = board(product, name)
        (bad if len(labels) else good).append(
            cv2.resize(pixels, (FRAME, FRAME), interpolation=cv2.INTER_AREA)
        )
    return good, bad


def tensors(pictures: list[np.ndarray]) -> torch.Tensor:
    scaled = [cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for p in pictures]
    return torch.from_numpy(np.stack(scaled)[:, None]).float() / 255


def anomaly(product: Path, out: Path) -> None:
    good, bad = frames(product)
    network = Padim(tensors(good[:70])).eval()
    usual = network(tensors(good[70:]))[1].numpy()
    maps, unusual = network(tensors(bad))
    more = int((unusual.numpy() > usual.max()).sum())
    print(f"anomaly: {more} of {len(bad)} defective boards score over all {len(good) - 70} good ones")
    settings = {
        "image_threshold": round(float(usual.max()) * 1.15, 3),
        "pixel_threshold": round(float(usual.max()) * 1.0, 3),
        "min": 0.0,
        "max": round(float(maps.max()), 3),
    }
    example = torch.zeros(1, 1, SIDE, SIDE)
    order = ["pred_score", "pred_label", "anomaly_map", "pred_mask"]
    export(network, example, out / "anomaly" / "model.onnx", ["anomaly_map", "pred_score"])
    export(Normalized(network, settings), example, out / "anomaly-normalized" / "model.onnx", order, True)
    spread = settings["max"] - settings["min"]
    by_score = np.argsort(-unusual.numpy())
    chosen = [bad[by_score[0]], good[-1], bad[by_score[len(bad) // 5]], bad[by_score[1]]]
    for name in ("anomaly", "anomaly-normalized"):
        raw = name == "anomaly"
        thresholds = [settings["image_threshold"], settings["pixel_threshold"]] if raw else [0.5, 0.5]
        session = onnxruntime.InferenceSession(
            str(out / name / "model.onnx"), providers=["CPUExecutionProvider"]
        )
        samples = []
        for pixels in chosen:
            heat, score = session.run(["anomaly_map", "pred_score"], {"input": tensors([pixels]).numpy()})
            found = found_in(
                heat[0, 0].astype(np.float64), float(score[0]), thresholds, spread if raw else 1.0,
                (SIDE, SIDE), (0, 0, SIDE, SIDE), (FRAME, FRAME), 0.01,
            )  # fmt: skip
            samples.append((pixels, [expected(one) for one in found if one["score"] >= 0.5]))
        numbers = json.dumps(settings).replace('"', "") if raw else "{normalized: true}"
        write(
            out / name,
            f"""name: {name}
version: 1.0.0
task: anomaly
input: {{width: {SIDE}, height: {SIDE}, {GRAY}}}
preprocess: {{resize: stretch}}
decoder:
  family: anomaly
  anomaly: {numbers}
classes: [{{name: anomaly}}]
""",
            samples,
        )


def expected(found: dict) -> dict:
    row = {"class": "anomaly", "score": round(found["score"], 4), "box": [round(v, 2) for v in found["box"]]}
    return row | ({"area": round(found["area"], 1)} if found["area"] else {})


def main() -> None:
    boards, product, out = (Path(argument) for argument in sys.argv[1:4])
    torch.manual_seed(7)
    rng = np.random.default_rng(22)
    with torch.no_grad():
        anomaly(product, out)
    classifier(rng, boards, out / "classifier")


if __name__ == "__main__":
    main()
