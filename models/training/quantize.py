"""Static int8 quantization: activations u8, weights s8 per channel, calibrated on training boards.

python quantize.py --model ../pcb-defects/model.onnx --data DIR --out ../pcb-defects/model-int8.onnx
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from boards import load_boards, part_ids, sized, spread
from export import take

BOARDS = 40
# A layer's range follows those of the boards, a twentieth at a time: one board with an extreme does not make
# all steps coarse. Single image, block: 0.10 points of mAP50-95 lost instead of 0.24 with the widest range.
# So this was chosen on block.
RANGES = {"CalibMovingAverage": True, "CalibMovingAverageConstant": 0.05}


class Boards(CalibrationDataReader):
    """Calibration boards, one at a time: uint8 [1,inputs,H,W]."""

    def __init__(self, name: str, pixels: list[np.ndarray]):
        self.name, self.rest = name, iter(pixels)

    def get_next(self) -> dict[str, np.ndarray] | None:
        pixels = next(self.rest, None)
        return None if pixels is None else {self.name: pixels[None]}


def quantize(source: Path, out: Path, pixels: list[np.ndarray]) -> None:
    """Write the int8 twin of a float model that `export` made."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        single, prepared = Path(folder) / "single.onnx", Path(folder) / "prepared.onnx"
        model = onnx.load(str(source))
        take(model, 1)
        onnx.save(model, str(single))
        quant_pre_process(str(single), str(prepared))
        graph = onnx.load(str(prepared)).graph
        partial = out.with_suffix(".partial")
        quantize_static(
            str(prepared),
            str(partial),
            Boards(graph.input[0].name, pixels),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=RANGES,
            nodes_to_exclude=decoding(graph) + [n.name for n in graph.node if n.op_type in ("Cast", "Mul")],
        )
    model = onnx.load(str(partial))
    told = {entry.key: entry.value for entry in onnx.load(str(source)).metadata_props}
    onnx.helper.set_model_props(model, told)
    feed_bytes(model.graph)
    take(model, None)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(partial))
    partial.replace(out)


def decoding(graph: onnx.GraphProto) -> list[str]:
    """Names of all nodes from the heads' last convolutions on: they stay in float.

    The last convolutions are those from which no other convolution can be reached.
    """
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    before_a_convolution: set[str] = set()
    for node in reversed(graph.node):  # nodes are in topological order
        after = [user for name in node.output for user in users.get(name, [])]
        if any(user.op_type == "Conv" or user.name in before_a_convolution for user in after):
            before_a_convolution.add(node.name)
    return [node.name for node in graph.node if node.name not in before_a_convolution]


def feed_bytes(graph: onnx.GraphProto) -> None:
    """Let the first convolution read the input's own bytes: Cast, Mul and Quantize in front of it go.

    The bytes are the quantized pixels, with scale 1/255 and zero point 0.
    """
    makers = {name: node for node in graph.node for name in node.output}
    first = next(node for node in graph.node if node.op_type == "Conv")
    read = makers[first.input[0]]
    assert read.op_type == "DequantizeLinear", read.op_type
    gone = []
    node = makers[read.input[0]]
    while node is not None:
        assert node.op_type in ("QuantizeLinear", "Mul", "Cast"), node.op_type
        gone.append(node)
        node = makers.get(node.input[0])
    for node in gone:
        graph.node.remove(node)
    graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1 / 255), "pixel_scale"))
    graph.initializer.append(onnx.numpy_helper.from_array(np.uint8(0), "pixel_zero"))
    read.input[:] = [graph.input[0].name, "pixel_scale", "pixel_zero"]
    used = {name for node in graph.node for name in node.input}
    unused = [tensor for tensor in graph.initializer if tensor.name not in used]
    for tensor in unused:
        graph.initializer.remove(tensor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="../pcb-defects/model.onnx")
    parser.add_argument("--out", default="../pcb-defects/model-int8.onnx")
    parser.add_argument(
        "--data", required=True, help="boards in the deeppcb layout; training boards are used"
    )
    args = parser.parse_args()
    root = Path(args.data)
    ids = spread(part_ids(root, "train"), BOARDS)
    shape = onnx.load(args.model).graph.input[0].type.tensor_type.shape.dim
    inputs, height, width = (size.dim_value for size in shape[1:])
    boards = load_boards(root, ids)
    sized(boards, height, width)
    quantize(Path(args.model), Path(args.out), [b.planes(inputs) for b in boards])
    print(f"{args.out}: {Path(args.out).stat().st_size} bytes")


if __name__ == "__main__":
    main()
