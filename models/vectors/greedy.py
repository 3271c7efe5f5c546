"""Make a small model that wants the more memory the brighter its input is: none for black, 32 GiB for white.

    python greedy.py ../../agent/cmd/sightline-worker/testdata/greedy.onnx

It finds nothing, whatever it sees. No look at the file tells what a run of it takes.
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, ROWS, CELLS = 64, 10, 16  # of the tests' tiny bundle
MOST = 2.0**33  # values of float32


def constant(name: str, values: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(values, name)


def model() -> onnx.ModelProto:
    node = helper.make_node
    graph = helper.make_graph(
        [
            node("ReduceMax", ["images"], ["brightest"], keepdims=0),
            node("Mul", ["brightest", "most"], ["wanted"]),
            node("Add", ["wanted", "one"], ["values"]),
            node("Cast", ["values"], ["count"], to=TensorProto.INT64),
            node("Reshape", ["count", "flat"], ["shape"]),
            node("ConstantOfShape", ["shape"], ["zeros"]),
            node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
            node("Add", ["nothing", "zero"], ["output0"]),
        ],
        "greedy",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, ROWS, CELLS])],
        [
            constant("most", np.float32(MOST)),
            constant("one", np.float32(1)),
            constant("flat", np.array([1], np.int64)),
            constant("nothing", np.zeros([1, ROWS, CELLS], np.float32)),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


if __name__ == "__main__":
    onnx.save(model(), sys.argv[1])
