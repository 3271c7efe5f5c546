"""Make the twin of a small network in half precision: weights, input and outputs are float16.

    python half.py ../../agent/internal/worker/infer/ort/testdata/families yolov8 yolov8-half

What the twin must find are the golden samples of the network that it is made of. It is run on them beside
that one; how far the outputs are apart is printed.
"""

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper

from geometry import Geometry

FLOATING = {"Resize": (1, 2)}  # inputs that stay float32 by the operator's definition: roi and scales
LARGEST = 65504


def halved(tensor: onnx.TensorProto) -> onnx.TensorProto:
    values = np.clip(numpy_helper.to_array(tensor), -LARGEST, LARGEST).astype(np.float16)
    return numpy_helper.from_array(values, tensor.name)


def keeps(graph: onnx.GraphProto) -> set[str]:
    """Names of the values that stay float32."""
    return {
        node.input[place]
        for node in graph.node
        for place in FLOATING.get(node.op_type, ())
        if place < len(node.input)
    }


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    graph, kept = model.graph, keeps(model.graph)
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            tensor.CopyFrom(halved(tensor))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            constant = node.op_type == "Constant" and attribute.name == "value"
            if constant and attribute.t.data_type == TensorProto.FLOAT and node.output[0] not in kept:
                attribute.t.CopyFrom(halved(attribute.t))
    for port in [*graph.input, *graph.output]:
        if port.type.tensor_type.elem_type == TensorProto.FLOAT:
            port.type.tensor_type.elem_type = TensorProto.FLOAT16
    del graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model


def letterboxed(picture: np.ndarray, g: Geometry) -> np.ndarray:
    """The input [1, 3, h, w] of a picture [h, w, 3] in blue, green, red: red, green, blue, 0 to 1."""
    out = np.full((g.input[1], g.input[0], 3), 114, np.uint8)
    small = cv2.resize(picture, (g.width, g.height), interpolation=cv2.INTER_LINEAR)
    out[g.top : g.top + g.height, g.left : g.left + g.width] = small
    return out[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255


def run(folder: Path, picture: np.ndarray, kind: type) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    high, wide = picture.shape[:2]
    pixels = letterboxed(picture, Geometry((wide, high), (port.shape[3], port.shape[2])))
    return session.run(None, {port.name: pixels.astype(kind)})


def main() -> None:
    families, name, twin = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    source, out = families / name, families / twin
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source / "golden", out / "golden")
    onnx.save(halve(onnx.load(source / "model.onnx")), out / "model.onnx")
    manifest = (source / "bundle.yaml").read_text()
    manifest = manifest.replace(f"name: {name}\n", f"name: {twin}\n", 1)
    (out / "bundle.yaml").write_text(manifest.replace("input: {", "input: {type: float16, ", 1))
    for path in sorted((out / "golden").glob("*.png")):
        picture = cv2.imread(str(path))
        pairs = zip(run(source, picture, np.float32), run(out, picture, np.float16), strict=True)
        for whole, half in pairs:
            apart = np.abs(whole - half.astype(np.float32))
            print(f"{path.name}: outputs up to {np.abs(whole).max():.1f} are at most {apart.max():.4f} apart")


if __name__ == "__main__":
    main()
