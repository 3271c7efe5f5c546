import math
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

import export as exporting
from boards import board_ids, load_boards
from export import (
    TOLERANCE,
    Difference,
    average_of,
    blocks,
    difference,
    export,
    history,
    mean,
    session,
    training_of,
)
from loss import complete_iou, detection_loss, distribution
from network import DESIGNS, Design, Detector, sides
from quantize import decoding, quantize

BINS = 12
SMALL = {
    inputs: Design(inputs, stem=8, kernel=4, widths=(16, 16), blocks=(1, 1), bins=BINS) for inputs in (1, 2)
}


def batch():
    images = torch.ones(2, 1, 96, 96)
    images[0, 0, 20:52, 24:60] = 0
    images[1, 0, 40:80, 30:70] = 0
    truth = torch.tensor([[[24.0, 20, 60, 52]], [[30.0, 40, 70, 80]]])
    return images, truth, torch.tensor([[2], [4]]), torch.ones(2, 1, dtype=torch.bool)


def shaken(design):
    """A detector whose batch norms are not the identity."""
    torch.manual_seed(0)
    model = Detector(design).eval()
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for values in (part.weight.data, part.running_var):
                values.uniform_(0.5, 1.5)
            for values in (part.bias.data, part.running_mean):
                values.normal_(0, 0.2)
    return model


def test_loss_goes_down_on_one_batch():
    torch.manual_seed(0)
    images, *truth = batch()
    model = Detector(SMALL[1]).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        loss, parts = detection_loss(model(images), *truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.4 * losses[0]
    assert set(parts) == {"cls", "iou", "dfl"}


def test_loss_of_a_batch_without_defects_is_finite():
    images, truth, labels, valid = batch()
    model = Detector(SMALL[1]).train()
    loss, _ = detection_loss(model(images), truth[:, :0], labels[:, :0], valid[:, :0])
    loss.backward()
    assert torch.isfinite(loss)


def test_complete_iou_is_one_for_equal_boxes_and_negative_for_distant_ones():
    a = torch.tensor([[0.0, 0, 2, 2]])
    assert float(complete_iou(a, a)) == pytest.approx(1, abs=1e-5)
    assert float(complete_iou(a, torch.tensor([[8.0, 8, 10, 10]]))) < 0


def test_complete_iou_by_hand():
    # Overlap 2 of 6; centres 1 apart in a hull of 3 by 2; aspect ratios 1 and 1.
    value = complete_iou(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 2]]))
    assert float(value) == pytest.approx(1 / 3 - 1 / 13, abs=1e-6)


def test_complete_iou_minds_the_aspect_ratio():
    # Both have their middle at 2,2; overlap 4 of 12.
    flat, tall = torch.tensor([[0.0, 1, 4, 3]]), torch.tensor([[1.0, 0, 3, 4]])
    aspect = 4 / math.pi**2 * (math.atan(2) - math.atan(0.5)) ** 2
    wanted = 1 / 3 - aspect**2 / (2 / 3 + aspect)
    assert float(complete_iou(flat, tall)) == pytest.approx(wanted, abs=1e-6)


def test_distribution_is_least_at_the_distance_it_is_asked_for():
    logits = torch.full((1, 4, BINS), -20.0)
    logits[..., 3] = 20.0
    exact = distribution(logits, torch.full((1, 4), 3.0))
    off = distribution(logits, torch.full((1, 4), 4.0))
    assert float(exact) == pytest.approx(0, abs=1e-4) and float(off) > 10


def test_distribution_between_two_bins_wants_both_by_their_shares():
    share = torch.tensor([0.75, 0.25]).log()
    logits = torch.full((1, 4, BINS), -50.0)
    logits[..., 3:5] = share
    best = distribution(logits, torch.full((1, 4), 3.25))
    logits[..., 3:5] = share.flip(0)
    assert float(best) < float(distribution(logits, torch.full((1, 4), 3.25)))
    entropy = -float((share.exp() * share).sum())
    assert float(best) == pytest.approx(entropy, abs=1e-4)


def test_sides_are_the_expected_bin():
    logits = torch.full((1, 4 * BINS, 1, 1), -50.0)
    for side, distance in enumerate((0, 2, 5, BINS - 1)):
        logits[0, side * BINS + distance] = 50.0
    assert sides(logits).flatten().tolist() == pytest.approx([0, 2, 5, BINS - 1])


def test_sides_and_loss_take_the_number_of_bins_from_the_logits():
    logits = torch.full((1, 4 * 16, 2, 3), -50.0)
    logits[0, 15::16] = 50.0
    assert sides(logits).flatten().tolist() == pytest.approx([15] * 24)
    exact = distribution(logits.reshape(1, 4, 16, -1)[..., 0], torch.full((1, 4), 14.5))
    short = distribution(logits.reshape(1, 4, 16, -1)[:, :, :12, 0], torch.full((1, 4), 14.5))
    assert float(exact) == pytest.approx(50, abs=0.1) and float(short) == pytest.approx(
        math.log(12), abs=1e-3
    )


def test_designs_have_the_bins_of_their_weights():
    assert {name: design.bins for name, design in DESIGNS.items()} == {"single": 12, "pair": 16}
    for design in DESIGNS.values():
        assert Detector(design).regress[-1].weight.shape[0] == 4 * design.bins


@pytest.mark.parametrize("name", DESIGNS)
def test_folded_detector_is_the_same_function(name):
    model = shaken(DESIGNS[name])
    images = torch.rand(2, model.design.inputs, 64, 96)
    with torch.no_grad():
        for wanted, got in zip(model(images), model.folded()(images), strict=True):
            assert wanted.shape[2:] == (8, 12)
            assert torch.allclose(wanted, got, atol=1e-4)
            assert wanted.std() > 1e-3


def test_folding_leaves_the_detector_as_it_was():
    model = shaken(SMALL[2])
    before = model.stem.conv.weight.clone()
    folded = model.folded()
    assert torch.equal(model.stem.conv.weight, before) and model.subtract
    assert not folded.subtract and not torch.equal(folded.stem.conv.weight, before)


def test_a_pair_sees_its_template_and_a_single_board_does_not_need_one():
    model = shaken(SMALL[2])
    board = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        same, _ = model(torch.cat((board, board), 1))
        other, _ = model(torch.cat((board, 1 - board), 1))
    assert (same - other).abs().max() > 1e-3


@pytest.mark.parametrize("name", DESIGNS)
def test_export_equals_pytorch(name, tmp_path):
    model = shaken(DESIGNS[name])
    export(model, tmp_path / "model.onnx", 128)
    assert difference(model, tmp_path / "model.onnx", blocks(model.design.inputs, 128)).equal()
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    opened = session(tmp_path / "model.onnx", 1)
    (images,) = opened.get_inputs()
    assert (images.type, images.shape) == ("tensor(uint8)", ["images", model.design.inputs, 128, 128])
    assert [o.shape for o in opened.get_outputs()] == [  # the agent wants the other sizes fixed
        ["images", 6, 16, 16],
        ["images", 4 * model.design.bins, 16, 16],
    ]


def test_images_of_one_run_do_not_mix(tmp_path):
    export(shaken(SMALL[1]), tmp_path / "model.onnx", 64)
    opened = session(tmp_path / "model.onnx", 1)
    boards = np.random.default_rng(3).integers(0, 2, (3, 1, 64, 64)).astype(np.uint8) * 255
    together = opened.run(None, {"images": boards})
    for k, board in enumerate(boards):
        alone = opened.run(None, {"images": board[None]})
        for one, many in zip(alone, together, strict=True):
            assert np.abs(one[0] - many[k]).max() < 1e-4


@pytest.mark.parametrize("which", [1, 2, 3])
@pytest.mark.parametrize(("error", "text"), [(2e-4, "2.0e-04"), (float("nan"), "nan")])
def test_an_export_that_differs_leaves_the_file_before_it(tmp_path, monkeypatch, which, error, text):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    found = Difference(*(error if k == which else 1e-6 for k in range(4)))
    monkeypatch.setattr(exporting, "difference", lambda *_: found)
    with pytest.raises(SystemExit, match=f"differs from PyTorch .*{text}"):
        export(shaken(SMALL[1]), path, 64)
    assert path.read_bytes() == b"before" and [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_a_weight_that_is_not_a_number_is_seen(tmp_path):
    for part in ("classify", "regress"):
        model = shaken(SMALL[1])
        getattr(model, part)[-1].bias.data[3] = float("nan")
        with pytest.raises(SystemExit, match="differs from PyTorch .*nan"):
            export(model, tmp_path / "model.onnx", 64)


def test_difference_is_of_logits_as_they_are_and_relative_above_one(tmp_path):
    model, images = shaken(SMALL[1]), blocks(1, 64)
    export(model, tmp_path / "model.onnx", 64)
    for part in (model.classify, model.regress):
        bias = part[-1].bias.data
        before = bias.clone()
        bias += 3e-3
        found = difference(model, tmp_path / "model.onnx", images)
        assert found.raw == pytest.approx(3e-3, rel=0.01)
        assert TOLERANCE < found.relative <= 3.1e-3
        bias.copy_(before)
    model.classify[-1].bias.data += 1e4
    found = difference(model, tmp_path / "model.onnx", images)
    assert found.raw == pytest.approx(1e4, rel=0.01)
    assert found.relative == pytest.approx(1, abs=0.01)


def test_difference_is_of_scores_and_of_sides_in_cells(tmp_path):
    model = shaken(SMALL[1])
    for part in (model.classify, model.regress):  # logits of nothing but the bias
        part[-1].weight.data.zero_()
        part[-1].bias.data.zero_()
    export(model, tmp_path / "model.onnx", 64)
    model.classify[-1].bias.data[2] = math.log(3)  # a score of 3/4 and not of 1/2
    model.regress[-1].bias.data[0] = 50.0  # the left side is no longer the mean of all bins
    found = difference(model, tmp_path / "model.onnx", blocks(1, 64))
    assert found.score == pytest.approx(0.25, abs=1e-6)
    assert found.side == pytest.approx((BINS - 1) / 2, abs=1e-6)


def test_difference_is_the_worst_of_all_images(tmp_path):
    model = shaken(SMALL[1])
    export(model, tmp_path / "model.onnx", 64)
    torch.manual_seed(9)
    other, images = Detector(SMALL[1]).eval(), blocks(1, 64)
    alone = [difference(other, tmp_path / "model.onnx", [image]) for image in images]
    together = difference(other, tmp_path / "model.onnx", images)
    assert together.raw == max(one.raw for one in alone) > TOLERANCE
    assert together.side == max(one.side for one in alone)


def test_the_command_compares_on_the_boards_it_is_given(learned, tiny, tmp_path, monkeypatch, capsys):
    model, folder = learned
    torch.save({"step": 3, "design": "tiny-pair", "average": model.state_dict()}, tmp_path / "last.pt")
    words = ["export.py", "--run", tmp_path, "--out", tmp_path / "model.onnx", "--data", folder]
    monkeypatch.setattr("sys.argv", [*map(str, words), "--size", "128"])
    exporting.main()
    told = capsys.readouterr().out
    boards = [board.planes(2) for board in load_boards(folder, board_ids(folder))]
    assert f"on 4 boards: {difference(model, tmp_path / 'model.onnx', boards)}" in told


def test_difference_sees_another_models_weights(tmp_path):
    export(shaken(SMALL[2]), tmp_path / "model.onnx", 64)
    torch.manual_seed(9)
    assert not difference(Detector(SMALL[2]).eval(), tmp_path / "model.onnx", blocks(2, 64)).equal()


def test_checkpoint_comes_back_as_its_average(tiny, tmp_path):
    model, average = Detector(DESIGNS["tiny-pair"]), shaken(DESIGNS["tiny-pair"])
    state = {"design": "tiny-pair", "model": model.state_dict(), "average": average.state_dict()}
    torch.save(state, tmp_path / "last.pt")
    loaded = average_of(torch.load(tmp_path / "last.pt", weights_only=True))
    assert not loaded.training
    for name, value in average.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_a_checkpoint_without_arguments_can_be_exported_with_the_bins_it_has(tiny, tmp_path):
    """As those of before bins were part of the design, and arguments of the checkpoint."""
    design = replace(DESIGNS["tiny"], bins=7)
    state = {"step": 3, "design": "tiny", "average": shaken(design).state_dict()}
    assert history(state) is None
    export(average_of(state), tmp_path / "model.onnx", 64, history(state))
    assert training_of(tmp_path / "model.onnx") is None
    assert session(tmp_path / "model.onnx", 1).get_outputs()[1].shape == ["images", 28, 8, 8]


def test_the_mean_of_checkpoints_has_the_mean_of_their_weights_and_tells_of_all(tiny):
    told = dict.fromkeys(("steps", "batch", "size", "seed", "rate", "mosaic", "sim_share"), 1)
    states = [
        {
            "step": step,
            "design": "tiny",
            "arguments": told | {"size": step, "everything": step == 2},
            "average": {"weight": torch.tensor([step * 1.0, 4.0]), "counter": torch.tensor(step)},
        }
        for step in (2, 5)
    ]
    whole = mean(states)
    assert whole["average"]["weight"].tolist() == [3.5, 4.0]
    assert whole["average"]["counter"] == 5
    past = history(whole)
    assert past["everything"] is True  # one of them was
    assert (past["step"], past["size"], past["mean_of"]) == (5, 5, [2, 5])
    assert history(mean(states[1:])) == history(states[1])
    assert "mean_of" not in history(states[1])


def test_model_and_its_int8_twin_say_what_they_were_trained_on(twins, learned, tmp_path):
    past = {"design": "tiny", "step": 3, "everything": True}
    export(learned[0], tmp_path / "float.onnx", 128, past)
    assert training_of(tmp_path / "float.onnx") == past
    quantize(tmp_path / "float.onnx", tmp_path / "int8.onnx", [b.planes(2) for b in twins[2][:1]])
    assert training_of(tmp_path / "int8.onnx") == past


@pytest.fixture(scope="module")
def twins(learned, tmp_path_factory):
    """Float and int8 models of the detector that knows its boards, and the boards."""
    model, folder = learned
    out = tmp_path_factory.mktemp("twins")
    export(model, out / "float.onnx", 128)
    boards = load_boards(folder, board_ids(folder))
    quantize(out / "float.onnx", out / "int8.onnx", [b.planes(2) for b in boards])
    return out / "float.onnx", out / "int8.onnx", boards


def test_int8_finds_what_float_finds(twins):
    from evaluate import predict
    from metrics import iou_matrix

    plain, short, boards = twins
    wanted, got = (predict(session(path, 1), boards)[0] for path in (plain, short))
    for (one, truth), (other, _) in zip(wanted, got, strict=True):
        one_sure, other_sure = one.scores > 0.4, other.scores > 0.4
        assert sorted(one.labels[one_sure]) == sorted(truth.labels)  # or there would be nothing to compare
        assert sorted(other.labels[other_sure]) == sorted(truth.labels)
        near = iou_matrix(one.boxes[one_sure], other.boxes[other_sure])
        assert near.max(1).min() > 0.85
        best = near.argmax(1)
        assert (one.labels[one_sure] == other.labels[other_sure][best]).all()
        assert np.abs(one.scores[one_sure] - other.scores[other_sure][best]).max() < 0.1


def test_int8_convolves_in_int8_and_decodes_in_float(twins):
    plain, short, _ = twins
    graph = onnx.load(short).graph
    makers = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    users = [node.op_type for node in graph.node]
    assert users.count("QuantizeLinear") > 3
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    last = [n for n in convolutions if n.name in decoding(onnx.load(plain).graph) or n.input[1] in weights]
    assert len(last) == 2  # of the two heads
    for node in convolutions:
        if node in last:
            continue
        kernel = makers[node.input[1]]
        assert kernel.op_type == "DequantizeLinear"
        assert weights[kernel.input[0]].data_type == onnx.TensorProto.INT8
        assert weights[kernel.input[1]].dims[0] == weights[kernel.input[0]].dims[0]  # a scale per channel


def test_int8_reads_the_inputs_bytes_without_a_cast(twins):
    _, short, _ = twins
    graph = onnx.load(short).graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    readers = [node for node in graph.node if graph.input[0].name in node.input]
    assert [node.op_type for node in readers] == ["DequantizeLinear"]
    assert [n.op_type for n in graph.node if readers[0].output[0] in n.input] == ["Conv"]
    assert not [n.name for n in graph.node if n.op_type == "Cast"]
    used = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= used


def test_int8_is_the_smaller_file_and_leaves_nothing_beside_it(twins):
    plain, short, _ = twins
    assert short.stat().st_size < plain.stat().st_size
    assert sorted(p.name for p in short.parent.iterdir()) == ["float.onnx", "int8.onnx"]
