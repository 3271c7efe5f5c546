import argparse
import json
import os
import shutil

import cv2
import numpy as np
import pytest
import torch

import train
from boards import load_board
from dataset import Crops
from export import history
from journal import read_log
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
        "stop_at": None,
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
    monkeypatch.setattr(train, "SIDE", 128)
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
    assert whole == broken  # the running means, too


def test_a_run_stops_where_it_is_told_and_goes_on_as_if_it_had_not(boards, tmp_path, capsys):
    train.train(arguments(boards, tmp_path / "whole"))
    train.train(arguments(boards, tmp_path / "told", stop_at=3))
    assert state(tmp_path / "told")["step"] == 3
    assert "stopped at step 3 of 6" in capsys.readouterr().out
    train.train(arguments(boards, tmp_path / "told", stop_at=9, resume=True))
    assert "stopped" not in capsys.readouterr().out
    assert equal(state(tmp_path / "whole"), state(tmp_path / "told"))
    assert journal(tmp_path / "whole") == journal(tmp_path / "told")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"seed": 2}, "--seed 1 and not 2"),
        ({"rate": 1e-2}, "--rate 0.001 and not 0.01"),
    ],
)
def test_a_resume_that_would_be_another_run_is_refused(boards, tmp_path, changed, text):
    train.train(arguments(boards, tmp_path, steps=1))
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(SystemExit, match=text):
        train.train(arguments(boards, tmp_path, resume=True, **changed))
    with pytest.raises(SystemExit, match="--data .* and not"):
        train.train(arguments(boards / "..", tmp_path, resume=True))
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_resume_tells_what_it_changes_on_purpose(boards, tmp_path, capsys):
    train.train(arguments(boards, tmp_path, steps=1))
    later = {
        "steps": 2,
        "everything": True,
        "size": 96,
        "batch": 3,
        "mosaic": 0.1,
        "sim": str(boards),
        "sim_share": 0.1,
        "validate": 9,
    }
    train.train(arguments(boards, tmp_path, resume=True, **later))
    told = capsys.readouterr().out
    for name, value in later.items():
        assert f"from here on --{name.replace('_', '-')} is {value}, no longer" in told
    assert state(tmp_path)["step"] == 2


def test_a_resumed_run_draws_from_the_simulated_boards_it_is_given_now(boards, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(train, "Crops", lambda *a, **k: seen.append(k["extra"]) or Crops(*a, **k))
    train.train(arguments(boards, tmp_path, steps=1))
    train.train(arguments(boards, tmp_path, steps=2, resume=True, sim=str(boards)))
    train.train(arguments(boards, tmp_path, steps=3, resume=True))
    assert [len(extra) for extra in seen] == [0, 2, 0]
    assert state(tmp_path)["arguments"]["sim"] is None


def test_what_was_once_trained_on_stays_told(boards, tmp_path):
    train.train(arguments(boards, tmp_path, steps=1, everything=True))
    train.train(arguments(boards, tmp_path, steps=2, resume=True))
    past = history(state(tmp_path))
    assert past["everything"] is True and past["steps"] == past["step"] == 2
    assert not {"data", "sim", "run"} & past.keys()
    assert not any("validation" in line for line in journal(tmp_path))


@pytest.mark.parametrize("gone", ["optimizers", "arguments", "means"])
def test_a_checkpoint_of_another_format_is_refused_and_says_what_to_do(boards, tmp_path, gone):
    train.train(arguments(boards, tmp_path, steps=1))
    torch.save({k: v for k, v in state(tmp_path).items() if k != gone}, tmp_path / "last.pt")
    with pytest.raises(SystemExit, match=f"remove {tmp_path} to begin anew"):
        train.train(arguments(boards, tmp_path, resume=True))


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_ends_the_run_and_leaves_the_checkpoint(
    boards, tmp_path, monkeypatch, where
):
    def spoiled(outputs, *truth):
        loss, parts = original(outputs, *truth)
        if len(calls) == 3:
            spoil = float("nan") * loss
            loss, parts = spoil, (parts | {"iou": float("inf")} if where == "loss" else parts)
        calls.append(1)
        return loss, parts

    original, calls = train.detection_loss, []
    monkeypatch.setattr(train, "SAVE_SECONDS", -1)
    monkeypatch.setattr(train, "detection_loss", spoiled)
    with pytest.raises(SystemExit, match="step 4 is not finite .* left as it was"):
        train.train(arguments(boards, tmp_path))
    kept = state(tmp_path)
    assert kept["step"] == 3
    assert all(torch.isfinite(value).all() for value in kept["model"].values())


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
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_torn_last_line_is_left_out_and_another_fault_named(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 2}\n{"step": 4}\n{"step": 6, "cl')
    assert [line["step"] for line in read_log(path)] == [2, 4]
    train.Journal(path, 6).write(step=6)
    assert [line["step"] for line in journal(tmp_path)] == [2, 4, 6]
    path.write_text('{"step": 2}\n{"step": \n{"step": 6}\n')
    with pytest.raises(SystemExit, match="log.jsonl:2 is not JSON"):
        train.Journal(path, 6)


def test_an_empty_part_and_boards_smaller_than_a_crop_are_refused_by_name(boards, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="smaller than a crop of 256 px: 00041000, 00041001;"):
        train.loader(arguments(boards, tmp_path, size=256), 0)
    monkeypatch.setattr(train, "split", lambda ids: {"train": [], "block": ids})
    with pytest.raises(SystemExit, match="no boards to train on .2 boards: train 0"):
        train.loader(arguments(boards, tmp_path), 0)


@pytest.mark.parametrize("odd", ["train", "sim", "block"])
def test_boards_of_another_size_than_the_model_takes_are_refused_before_the_first_step(
    boards, tmp_path, monkeypatch, odd
):
    """As a rectangle is, whose short side is that of the model."""
    sim = tmp_path / "sim"
    shutil.copytree(boards, sim, ignore=shutil.ignore_patterns("sim"))
    monkeypatch.setattr(train, "split", lambda ids: {"train": ids[:1], "block": ids[1:]})
    name = "00041001" if odd == "block" else "00041000"
    for kind in ("test", "temp"):
        path = str((sim if odd == "sim" else boards) / "images" / f"{name}_{kind}.jpg")
        cv2.imwrite(path, np.hstack([cv2.imread(path, cv2.IMREAD_GRAYSCALE)] * 2))
    text = f"takes boards of 128 x 128 px, .* others: {name} .256 x 128 px.;"
    with pytest.raises(SystemExit, match=text):
        train.train(arguments(boards, tmp_path / "run", sim=str(sim)))
    assert not (tmp_path / "run" / "last.pt").exists()


def test_a_pair_without_its_template_is_refused_and_a_single_board_is_not(boards, tmp_path):
    (boards / "images" / "00041001_temp.jpg").unlink()
    with pytest.raises(SystemExit, match="without a template.*: 00041001;"):
        train.loader(arguments(boards, tmp_path), 0)
    assert len(train.loader(arguments(boards, tmp_path, design="tiny"), 0).dataset.boards) == 2


def test_a_board_with_a_strangers_template_is_told_and_not_trained_on(boards, tmp_path, capsys):
    path = str(boards / "images" / "00041000_temp.jpg")
    template = load_board(boards, "00041000").template
    cv2.imwrite(path, np.ascontiguousarray(template.T), [cv2.IMWRITE_JPEG_QUALITY, 100])
    dataset = train.loader(arguments(boards, tmp_path), 0).dataset
    assert [b.id for b in dataset.boards] == ["00041001"]
    assert "not trained on, since the template does not fit: 00041000" in capsys.readouterr().out
    assert len(train.loader(arguments(boards, tmp_path, design="tiny"), 0).dataset.boards) == 2


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


def test_a_gpu_is_asked_for_kernels_that_repeat_and_a_cpu_left_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *a, **k: asked.append((a, k)))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(os, "environ", {})
    train.repeatable(torch.device("cpu"))
    assert asked == [] and torch.backends.cudnn.benchmark
    train.repeatable(torch.device("cuda"))
    assert asked == [((True,), {"warn_only": True})] and not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]


def test_precision_is_bf16_inside_and_float_outside():
    layer, x = torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 4, 4)
    with train.precision(torch.device("cpu"), torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    with train.precision(torch.device("cpu"), None):
        assert layer(x).dtype == torch.float32
