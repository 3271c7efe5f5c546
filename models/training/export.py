"""Export a checkpoint as one ONNX file and check it against PyTorch.

python export.py --run runs/first --data DIR --out ../pcb-defects/model.onnx
python export.py --run runs/first runs/longer --out ../pcb-defects/model.onnx  # the mean of their weights
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from boards import SIDE, board_ids, load_boards, sized, spread
from network import DESIGNS, Detector, Export

OPSET = 17
TOLERANCE = 1e-4  # of each figure of a Difference but `raw`
BOARDS = 24  # to compare on, of --data
TRAINING = "sightline.training"  # key of the model's metadata: what it was trained with, as JSON
TOLD = ("everything", "steps", "batch", "size", "seed", "rate", "mosaic", "sim_share")  # of the arguments


@dataclass(frozen=True)
class Difference:
    """The largest differences of an exported model from PyTorch; nan where any value is.

    raw: of logits as they are. relative: of these, relative where they are above 1, since logits go beyond
    100, where a float32's last bit is 8e-6. score: of scores in 0 to 1. side: of a box's sides, in cells.
    """

    raw: float
    relative: float
    score: float
    side: float

    def equal(self) -> bool:
        """Whether the two are one model: `raw` alone may be more than TOLERANCE."""
        return all(value <= TOLERANCE for value in (self.relative, self.score, self.side))

    def __str__(self) -> str:
        return (
            f"logits {self.raw:.1e}, relative above 1 {self.relative:.1e}, scores {self.score:.1e}, "
            f"sides {self.side:.1e} cells"
        )


def average_of(state: dict) -> Detector:
    """The averaged detector of a checkpoint, ready to predict; the number of bins is that of its weights."""
    weights = state["average"]
    bins = weights["regress.1.weight"].shape[0] // 4
    model = Detector(replace(DESIGNS[state["design"]], bins=bins))
    model.load_state_dict(weights)
    return model.eval()


def mean(states: list[dict]) -> dict:
    """One checkpoint with the mean of several's averaged weights: of one run that went on in several ways.

    Weights along one run lie in one basin, where the mean generalizes better than its parts (Izmailov et al.,
    "Averaging Weights Leads to Wider Optima and Better Generalization", 2018). Of the last state are the
    arguments; if any was trained on everything, so was the mean.
    """
    last = dict(states[-1])
    last["average"] = {name: _mean([s["average"][name] for s in states]) for name in last["average"]}
    if "arguments" in last and len(states) > 1:
        everything = any(s["arguments"]["everything"] for s in states)
        last["arguments"] = last["arguments"] | {"everything": everything}
        last["of"] = [s["step"] for s in states]
    return last


def _mean(weights: list[torch.Tensor]) -> torch.Tensor:
    """Of floats; of counters the last."""
    if not weights[-1].dtype.is_floating_point:
        return weights[-1]
    return torch.stack(weights).mean(0)


def history(state: dict) -> dict | None:
    """What a checkpoint says of its training; None where it holds no arguments."""
    if "arguments" not in state:
        return None
    told = {name: state["arguments"][name] for name in TOLD}
    steps = {"step": state["step"]} | ({"mean_of": state["of"]} if "of" in state else {})
    return {"design": state["design"]} | steps | told


def training_of(path: Path) -> dict | None:
    """What an exported model says of its training; None where it says nothing."""
    entries = {e.key: e.value for e in onnx.load(str(path), load_external_data=False).metadata_props}
    return json.loads(entries[TRAINING]) if TRAINING in entries else None


def export(
    model: Detector,
    out: Path,
    size: int,
    past: dict | None = None,
    images: Iterable[np.ndarray] | None = None,
) -> Difference:
    """Write the graph, input uint8 [images,inputs,size,size], weights inside the file.

    It takes any number of images. Compared with PyTorch before it takes its name, on `images`, or on blocks.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial")
    torch.onnx.export(
        Export(model).eval(),
        (torch.zeros(1, model.design.inputs, size, size, dtype=torch.uint8),),
        str(partial),
        input_names=["images"],
        output_names=["scores", "distances"],
        opset_version=OPSET,
        dynamo=False,
    )
    graph = onnx.load(str(partial))
    take(graph, None)
    if past is not None:
        onnx.helper.set_model_props(graph, {TRAINING: json.dumps(past)})
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, str(partial))
    found = difference(model, partial, blocks(model.design.inputs, size) if images is None else images)
    if not found.equal():
        partial.unlink()
        raise SystemExit(
            f"the export differs from PyTorch ({found}), by more than {TOLERANCE:.0e}: do not ship it; "
            f"{out} is left as it was"
        )
    partial.replace(out)
    return found


def take(model: onnx.ModelProto, images: int | None) -> None:
    """Fix the number of images of a run, or leave it open: the first size of the input and the outputs."""
    for port in (*model.graph.input, *model.graph.output):
        size = port.type.tensor_type.shape.dim[0]
        if images is None:
            size.dim_param = "images"
        else:
            size.dim_value = images
    del model.graph.value_info[:]  # what is inferred for another number


def session(path: Path, threads: int = 2) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def blocks(inputs: int, size: int) -> list[np.ndarray]:
    """Two images uint8 [inputs,size,size] of black and white blocks: what to compare on without boards."""
    coarse = np.random.default_rng(0).integers(0, 2, (2, inputs, size // 16, size // 16))
    return list((coarse.astype(np.uint8) * 255).repeat(16, 2).repeat(16, 3))


def difference(model: Detector, path: Path, images: Iterable[np.ndarray]) -> Difference:
    """How far ONNX Runtime's outputs are from PyTorch's on images uint8 [inputs,H,W], one at a time."""
    opened, reference = session(path), Export(model).eval()
    worst = np.zeros(4)
    for image in images:
        with torch.no_grad():
            wanted = [o[0].numpy() for o in reference(torch.from_numpy(image[None]))]
        got = [o[0] for o in opened.run(["scores", "distances"], {"images": image[None]})]
        raw = [np.abs(g - w) for g, w in zip(got, wanted, strict=True)]
        relative = [e / np.maximum(np.abs(w), 1) for e, w in zip(raw, wanted, strict=True)]
        score, side = (np.abs(of(g) - of(w)) for of, g, w in zip((likely, means), got, wanted, strict=True))
        rows = (max_of(raw), max_of(relative), score.max(), side.max())
        worst = np.maximum(worst, rows)  # keeps what is not a number
    return Difference(*(float(value) for value in worst))


def max_of(arrays: list[np.ndarray]) -> float:
    """The largest value of all; nan if any is."""
    return np.max([array.max() for array in arrays])


def likely(logits: np.ndarray) -> np.ndarray:
    """Scores of logits."""
    with np.errstate(over="ignore"):  # of -1000, say: the score is 0
        return 1 / (1 + np.exp(-logits.astype(np.float64)))


def means(distances: np.ndarray) -> np.ndarray:
    """Sides in cells [4,...] of the logits of their distances [4*bins,...]."""
    bins = distances.astype(np.float64).reshape(4, -1, *distances.shape[1:])
    weight = np.exp(bins - bins.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    return np.einsum("sb...,b->s...", weight, np.arange(bins.shape[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--run", nargs="+", default=["runs/first"], help="folders of checkpoints, whose weights are averaged"
    )
    parser.add_argument("--out", default="../pcb-defects/model.onnx")
    parser.add_argument("--size", type=int, default=SIDE, help="side of the input, px")
    parser.add_argument(
        "--data", help=f"boards in the deeppcb layout, of which {BOARDS} are compared on; default: blocks"
    )
    args = parser.parse_args()
    states = [torch.load(Path(run) / "last.pt", weights_only=True, map_location="cpu") for run in args.run]
    designs = {state["design"] for state in states}
    if len(designs) > 1:
        raise SystemExit(f"checkpoints of different designs ({', '.join(sorted(designs))}) have no mean")
    state = mean(states)
    model = average_of(state)
    images = None
    if args.data:
        boards = load_boards(Path(args.data), spread(board_ids(Path(args.data)), BOARDS))
        sized(boards, args.size, args.size)
        images = [board.planes(model.design.inputs) for board in boards]
    found = export(model, Path(args.out), args.size, history(state), images)
    seen = f"{len(images)} boards" if images else "blocks"
    print(f"{args.out}: {Path(args.out).stat().st_size} bytes; differs from PyTorch on {seen}: {found}")


if __name__ == "__main__":
    main()
