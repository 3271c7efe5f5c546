"""Export a checkpoint as one ONNX file and check it against PyTorch.

python export.py --run runs/first --out ../pcb-defects/model.onnx
python export.py --run runs/first runs/longer --out ../pcb-defects/model.onnx  # the mean of their weights
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from network import DESIGNS, Detector, Export

OPSET = 17
TOLERANCE = 1e-4  # on raw outputs; of those above 1, relative to them
TRAINING = "sightline.training"  # key of the model's metadata: what it was trained with, as JSON
TOLD = ("everything", "steps", "batch", "size", "seed", "rate", "mosaic", "sim_share")  # of the arguments


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


def export(model: Detector, out: Path, size: int, past: dict | None = None) -> float:
    """Write the graph, input uint8 [images,inputs,size,size], weights inside the file.

    It takes any number of images. Compared with PyTorch before it takes its name; returns the largest
    difference.
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
    error = difference(model, partial, size)
    if not error <= TOLERANCE:  # nor where it is not a number
        partial.unlink()
        raise SystemExit(
            f"the export differs from PyTorch by {error:.1e}, more than {TOLERANCE:.0e}: do not ship it; "
            f"{out} is left as it was"
        )
    partial.replace(out)
    return error


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


def difference(model: Detector, path: Path, size: int) -> float:
    """Largest difference of ONNX Runtime's raw outputs from PyTorch's, relative above 1; nan if any is."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 2, (2, model.design.inputs, size // 16, size // 16)).astype(np.uint8) * 255
    images = coarse.repeat(16, 2).repeat(16, 3)
    with torch.no_grad():
        wanted = Export(model).eval()(torch.from_numpy(images))
    got = session(path).run(["scores", "distances"], {"images": images})
    errors = [
        np.abs(g - w.numpy()) / np.maximum(np.abs(w.numpy()), 1) for g, w in zip(got, wanted, strict=True)
    ]
    return float(np.max([error.max() for error in errors]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--run", nargs="+", default=["runs/first"], help="folders of checkpoints, whose weights are averaged"
    )
    parser.add_argument("--out", default="../pcb-defects/model.onnx")
    parser.add_argument("--size", type=int, default=640, help="side of the input, px")
    args = parser.parse_args()
    states = [torch.load(Path(run) / "last.pt", weights_only=True, map_location="cpu") for run in args.run]
    designs = {state["design"] for state in states}
    if len(designs) > 1:
        raise SystemExit(f"checkpoints of different designs ({', '.join(sorted(designs))}) have no mean")
    state = mean(states)
    error = export(average_of(state), Path(args.out), args.size, history(state))
    print(f"{args.out}: {Path(args.out).stat().st_size} bytes, differs from PyTorch by {error:.1e}")


if __name__ == "__main__":
    main()
