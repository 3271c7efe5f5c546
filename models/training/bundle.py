"""What a bundle's bundle.yaml says of decoding: thresholds, score floor, suppression."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from network import CLASSES

BINARIZE = 128  # what boards.binary does


@dataclass(frozen=True)
class Decoder:
    """How detections are read from a model's outputs."""

    floor: float = 0.02  # scores below never matter to a curve
    overlap: float = 0.6  # of suppression; boxes of one class hardly overlap
    agnostic: bool = False  # suppress across classes
    most: int | None = None  # detections of an image


@dataclass(frozen=True)
class Bundle:
    """A bundle of board defects: its model's file, decoder, and thresholds in the order of CLASSES."""

    model: Path
    decoder: Decoder
    thresholds: list[float]


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle that these programs can decode; refuses any other, saying why."""
    manifest = yaml.safe_load((folder / "bundle.yaml").read_text())
    thresholds = by_class(folder, manifest)
    decoder, found = manifest.get("decoder", {}), manifest.get("preprocess", {}).get("binarize")
    if decoder.get("family") != "dfl":
        refuse(folder, f"decoder.family is {decoder.get('family')}: only dfl is decoded here")
    if found != BINARIZE:
        refuse(folder, f"preprocess.binarize is {found}: boards are binarized at {BINARIZE} here")
    # The defaults are those of docs/bundle.md.
    return Bundle(
        folder / manifest.get("model", "model.onnx"),
        Decoder(
            float(decoder.get("score_floor", 0.01)),
            float(decoder.get("nms_iou", 0.6)),
            bool(decoder.get("class_agnostic", False)),
            int(decoder.get("max_detections", 100)),
        ),
        thresholds,
    )


def by_class(folder: Path, manifest: dict) -> list[float]:
    """The thresholds in the order of CLASSES, which must be the manifest's."""
    thresholds = {entry["name"]: float(entry["threshold"]) for entry in manifest["classes"]}
    missing = [name for name in CLASSES if name not in thresholds]
    if missing:
        refuse(folder, f"no class {missing[0]}: this is no bundle of board defects")
    if tuple(thresholds) != CLASSES:
        refuse(folder, f"classes are {', '.join(thresholds)}: list them as {', '.join(CLASSES)}")
    return [thresholds[name] for name in CLASSES]


def refuse(folder: Path, why: str) -> None:
    raise SystemExit(f"{folder}/bundle.yaml: {why}")
