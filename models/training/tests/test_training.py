import argparse
import json

import pytest
import torch

import train
from network import DESIGNS, Detector


def arguments(folder, run, **changes):
    values = {
        "data": str(folder),
        "sim": None,
        "sim_share": 0.25,
        "design": "tiny-pair",
        "everything": False,
        "mosaic": 0.5,
        "run": str(run),
        "resume": False,
        "steps": 6,
        "batch": 2,
        "validate": 4,
        "size": 64,
        "rate": 1e-3,
        "seed": 1,
        "workers": 0,
        "threads": 1,
    }
    return argparse.Namespace(**(values | changes))


@pytest.fixture
def boards(board_folder, tiny, monkeypatch):
    """The two boards, both to train on and to validate with; a journal line every second step."""
    monkeypatch.setattr(train, "split", lambda ids: {"train": ids, "block": ids})
    monkeypatch.setattr(train, "LOG_EVERY", 2)
    return board_folder


def state(run):
    return torch.load(run / "last.pt", weights_only=True)


def equal(one, other):
    """Whether two checkpoints hold the same, bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def journal(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def stop_after(monkeypatch, step):
    """Save at every step, and stop as Ctrl-C would once `step` is saved."""

    def save(path, **values):
        original(path, **values)
        if values["step"] == step:
            raise KeyboardInterrupt

    original = train.save
    monkeypatch.setattr(train, "SAVE_SECONDS", -1)
    monkeypatch.setattr(train, "save", save)
    return lambda: monkeypatch.setattr(train, "save", original)


@pytest.mark.parametrize("design", ["tiny", "tiny-pair"])
def test_one_seed_gives_one_detector(boards, tmp_path, design):
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        train.train(arguments(boards, tmp_path / name, design=design, seed=seed))
    one, two, three = (state(tmp_path / name) for name in ("one", "two", "three"))
    assert equal(one, two)
    assert not equal(one["model"], three["model"])
    assert journal(tmp_path / "one") == journal(tmp_path / "two")


def test_resumed_training_ends_where_unbroken_training_ends(boards, tmp_path, monkeypatch):
    train.train(arguments(boards, tmp_path / "whole"))
    mend = stop_after(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        train.train(arguments(boards, tmp_path / "broken"))
    mend()
    assert state(tmp_path / "broken")["step"] == 3
    train.train(arguments(boards, tmp_path / "broken", resume=True))
    assert equal(state(tmp_path / "whole"), state(tmp_path / "broken"))
    whole, broken = journal(tmp_path / "whole"), journal(tmp_path / "broken")
    assert [line["step"] for line in whole] == [line["step"] for line in broken]
    assert [line.get("validation") for line in whole] == [line.get("validation") for line in broken]


def test_journal_holds_losses_the_rate_and_validations(boards, tmp_path):
    train.train(arguments(boards, tmp_path))
    lines = journal(tmp_path)
    losses = [line for line in lines if "cls" in line]
    checks = [line for line in lines if "validation" in line]
    assert [line["step"] for line in losses] == [2, 4, 6]
    assert [line["step"] for line in checks] == [4, 6]
    assert all(set(line) == {"step", "rate", "cls", "iou", "dfl"} for line in losses)
    assert losses[0]["rate"] == train.rate(1, 6, 1e-3)
    assert set(checks[0]["validation"]) == {"map_iou33", "f_iou33", "map50", "map50_95"}


def test_resumed_journal_forgets_what_the_checkpoint_does_not_know(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (2, 4, 6)))
    train.Journal(path, 4).write(step=5)
    assert [line["step"] for line in journal(tmp_path)] == [2, 4, 5]
    train.Journal(path, 0)
    assert journal(tmp_path) == []


def test_everything_trains_on_all_boards_and_validates_on_none(boards, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "split", lambda ids: {"train": ids[:1], "block": ids[1:]})
    assert len(train.loader(arguments(boards, tmp_path), 0).dataset.boards) == 1
    assert len(train.loader(arguments(boards, tmp_path, everything=True), 0).dataset.boards) == 2
    train.train(arguments(boards, tmp_path, everything=True))
    assert not any("validation" in line for line in journal(tmp_path))


def test_simulated_boards_are_mixed_in(boards, tmp_path):
    batches = train.loader(arguments(boards, tmp_path, sim=str(boards)), 2)
    assert len(batches.dataset.extra) == 2 and len(batches) == 4


def test_a_checkpoint_of_another_design_is_refused(boards, tmp_path):
    train.train(arguments(boards, tmp_path, steps=1))
    with pytest.raises(SystemExit, match="tiny-pair, not tiny"):
        train.train(arguments(boards, tmp_path, design="tiny", resume=True))


def test_average_follows_the_model_and_copies_what_it_cannot_average():
    torch.manual_seed(0)
    average, model = Detector(DESIGNS["pair"]), Detector(DESIGNS["pair"])
    before, wanted = average.stem.conv.weight.clone(), model.stem.conv.weight
    model.stem.norm.num_batches_tracked += 7
    train.follow(average, model, 0)
    assert torch.allclose(average.stem.conv.weight, before.lerp(wanted, 1 - 1 / 20))
    assert average.stem.norm.num_batches_tracked == 7
    before = average.stem.conv.weight.clone()
    train.follow(average, model, 10**6)
    assert torch.allclose(average.stem.conv.weight, before.lerp(wanted, 1 - train.EMA_DECAY))


def test_rate_warms_up_peaks_and_ends_low():
    assert train.rate(0, 1000, 1.0) < 0.01
    assert train.rate(train.WARM_UP, 1000, 1.0) == pytest.approx(1.0)
    assert train.rate(1000, 1000, 1.0) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("flags", "short"),
    [
        ("fpu avx2 avx512f avx512_vnni", None),
        ("fpu avx512f avx512_bf16", torch.bfloat16),
        ("fpu amx_tile amx_bf16", torch.bfloat16),
        ("", None),
    ],
)
def test_cpu_trains_in_bf16_where_it_is_in_hardware(monkeypatch, tmp_path, flags, short):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = tmp_path / "cpuinfo"
    if flags:
        path.write_text(f"flags\t\t: {flags}\n")
    monkeypatch.setattr(train, "Path", lambda name: path)
    assert train.place() == (torch.device("cpu"), short)


@pytest.mark.parametrize(("supported", "short"), [(True, torch.bfloat16), (False, None)])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, supported, short):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    assert train.place() == (torch.device("cuda"), short)


def test_precision_is_bf16_inside_and_float_outside():
    layer, x = torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 4, 4)
    with train.precision(torch.device("cpu"), torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    with train.precision(torch.device("cpu"), None):
        assert layer(x).dtype == torch.float32
