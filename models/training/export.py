"""Export a checkpoint as one ONNX file and check it against PyTorch.

python export.py --run runs/first --out ../pcb-defects/model.onnx
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from network import DESIGNS, STRIDE, Detector, Export, sides

OPSET = 17
TOLERANCE = 1e-4  # on scores, and on boxes relative to the input's side


def load_average(path: Path) -> Detector:
    """The averaged detector of a checkpoint, ready to predict."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    model = Detector(DESIGNS[state["design"]])
    model.load_state_dict(state["average"])
    return model.eval()


def export(model: Detector, out: Path, size: int) -> None:
    """Write the graph, fixed input uint8 [1,inputs,size,size], weights inside the file."""
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
    onnx.checker.check_model(str(partial), full_check=True)
    partial.replace(out)


def session(path: Path, threads: int = 2) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def difference(model: Detector, path: Path, size: int) -> float:
    """Largest difference of ONNX Runtime from PyTorch: of scores, and of distances in shares of the size."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 2, (1, model.design.inputs, size // 16, size // 16)).astype(np.uint8) * 255
    images = coarse.repeat(16, 2).repeat(16, 3)
    with torch.no_grad():
        wanted = Export(model).eval()(torch.from_numpy(images))
    got = [torch.from_numpy(v) for v in session(path).run(None, {"images": images})]
    score = (got[0].sigmoid() - wanted[0].sigmoid()).abs().max()
    distance = (sides(got[1]) - sides(wanted[1])).abs().max() * STRIDE / size
    return float(max(score, distance))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", default="runs/first", help="folder of the checkpoint")
    parser.add_argument("--out", default="../pcb-defects/model.onnx")
    parser.add_argument("--size", type=int, default=640, help="side of the input, px")
    args = parser.parse_args()
    model = load_average(Path(args.run) / "last.pt")
    export(model, Path(args.out), args.size)
    error = difference(model, Path(args.out), args.size)
    print(f"{args.out}: {Path(args.out).stat().st_size} bytes, differs from PyTorch by {error:.1e}")
    if error > TOLERANCE:
        raise SystemExit(f"the export differs from PyTorch by more than {TOLERANCE:.0e}: do not ship it")


if __name__ == "__main__":
    main()
