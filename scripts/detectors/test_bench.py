"""The table of the detectors: what misses a bar is marked, named, and an error."""

import json
import math
import subprocess
import sys
from pathlib import Path

import bench
import onnx
import pytest

GOOD = {
    "images": 200, "version": "1.0.0", "map_iou33": 0.9951, "f_iou33": 0.9921, "map50": 0.9941,
    "map50_95": 0.8401, "precision": 0.99, "recall": 0.99, "ms_p50": 5.5, "inspection_ms_p50": 6,
    "clean": 100, "clean_alarmed": 1, "failed": None,
}
UNSEEN = {"unseen": True}


@pytest.mark.parametrize(("part", "figure", "found", "missed"), [
    ("block", "map_iou33", 0.995, False),
    ("block", "map_iou33", 0.99499, True),
    ("block", "map_iou33", math.nan, True),
    ("group", "map_iou33", 0.5, False),  # no bar there
    ("block", "ms_p50", 8.01, True),
    ("sim", "ms_p50", 8.01, False),
    ("sim", "recall", 0.989, True),
    ("sim", "clean_alarmed", 2, True),
    ("sim", "clean_alarmed", 1, False),
    ("block", "failed", [{"image": "a", "reason": "b"}], True),
    ("block", "failed", [], False),
    ("all", "map_iou33", 0.99499, True),
    ("all", "map_iou33", 0.995, False),
])
def test_a_figure_is_held_against_the_bar_of_its_part(part, figure, found, missed):
    assert bench.misses("pcb-defects-pair", part, figure, GOOD | UNSEEN | {figure: found}) == missed


def test_alarms_need_clean_boards_to_be_counted_on():
    none = GOOD | UNSEEN | {"clean": 0, "clean_alarmed": 0}
    assert bench.misses(bench.COMPARE, "sim", "clean_alarmed", none)


@pytest.mark.parametrize("told", [True, None])
def test_boards_of_the_training_reach_no_bar(tmp_path, told):
    done = bench_with(tmp_path, json.dumps(GOOD), told=told)

    assert done.returncode != 0
    assert "pcb-defects-pair was trained on block and group, or does not say" in done.stdout
    missed = done.stderr.splitlines()[-1]
    assert "pcb-defects-pair map_iou33 on block" in missed
    assert "on sim" not in missed and "compare" not in missed


def bundles(folder, told):
    """The two bundles' twins, whose models for the CPU say so of their training."""
    for name in ("pcb-defects", "pcb-defects-pair"):
        bundle = folder / "held-out" / name
        bundle.mkdir(parents=True)
        (bundle / "bundle.yaml").write_text(
            "providers: {order: [{name: cuda}, {name: cpu, model: small.onnx}]}\n"
        )
        model = onnx.helper.make_model(onnx.helper.make_graph([], "nothing", [], []))
        if told is not None:
            onnx.helper.set_model_props(model, {bench.TRAINING: json.dumps({"everything": told})})
        onnx.save(model, bundle / "small.onnx")


def bench_with(folder, report, code=0, told=False, parts=bench.PARTS, args=()):
    """Runs the program with an agent that writes down its arguments and prints a report."""
    bundles(folder, told)
    for part in bench.PARTS:
        labels = folder / part / "labels"
        labels.mkdir(parents=True)
        if part in parts:
            (labels / "1.txt").touch()
    (folder / "report").write_text(report)
    agent = folder / "agent"
    agent.write_text(f'#!/bin/sh\necho "$*" >>"{folder}/calls"\ncat "{folder}/report"\nexit {code}\n')
    agent.chmod(0o755)
    program = Path(bench.__file__)
    command = [sys.executable, program, "--agent", agent, "--parts", folder]
    command += ["--models", folder, "--held-out", folder / "held-out", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_detector_is_evaluated_on_every_part(tmp_path):
    done = bench_with(tmp_path, json.dumps(GOOD))

    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 9
    options = "--threads 2 -o json --log-level error"
    assert f"eval --bundle {tmp_path}/pcb-defects-pair --data {tmp_path}/sim {options}" in calls
    assert f"eval --bundle {tmp_path}/held-out/pcb-defects --data {tmp_path}/block {options}" in calls
    assert f"eval --bundle {tmp_path}/held-out/pcb-defects --data {tmp_path}/group {options}" in calls
    assert f"eval --method compare --data {tmp_path}/block {options}" in calls
    assert " !" not in done.stdout
    assert json.loads((tmp_path / "report.json").read_text())["compare"]["group"] == GOOD | UNSEEN


def test_a_part_without_boards_is_left_out_and_said_so(tmp_path):
    done = bench_with(tmp_path, json.dumps(GOOD), parts=("block", "sim"))

    assert done.returncode == 0, done.stderr
    assert "group is left out: these data have no boards of it\n" in done.stdout
    assert "/group" not in (tmp_path / "calls").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["compare"].keys() == {"block", "sim"}


def test_no_boards_at_all_are_an_error(tmp_path):
    done = bench_with(tmp_path, json.dumps(GOOD), parts=())

    assert done.returncode == 1
    assert "no boards in" in done.stderr and "--all" in done.stderr


def test_what_is_shipped_is_judged_on_all_boards_of_a_folder_by_the_bars_of_block(tmp_path):
    """Its training does not count against it, as only the reader knows whether the boards are others."""
    boards = tmp_path / "PCBData"
    report = json.dumps(GOOD | {"map50": 0.993})
    done = bench_with(tmp_path, report, told=True, parts=(), args=["--all", boards, "--split", "test"])

    calls = (tmp_path / "calls").read_text().splitlines()
    options = f"--data {boards} --threads 2 -o json --log-level error --split test"
    assert calls == [
        f"eval --bundle {tmp_path}/pcb-defects-pair {options}",
        f"eval --bundle {tmp_path}/pcb-defects {options}",
        f"eval --method compare {options}",
    ]
    assert done.returncode == 1
    assert done.stderr.endswith("these miss their bars: pcb-defects-pair map50 on all\n")
    assert "all >= 0.995" in done.stdout
    assert "trained on all 1,000 training pairs of DeepPCB" in done.stdout


def test_a_split_without_all_is_refused(tmp_path):
    done = bench_with(tmp_path, json.dumps(GOOD), args=["--split", "test"])

    assert done.returncode == 1
    assert "--split is of --all" in done.stderr and not (tmp_path / "calls").exists()


def test_a_missed_bar_is_marked_and_ends_with_an_error(tmp_path):
    done = bench_with(tmp_path, json.dumps(GOOD | {"f_iou33": 0.99}))

    assert done.returncode == 1
    assert "0.9900 !" in done.stdout
    assert done.stdout.count(" !") == 1  # that of the pair; the single image's bar is 0.985
    assert done.stderr.endswith("these miss their bars: pcb-defects-pair f_iou33 on block\n")


@pytest.mark.parametrize(("report", "code", "says"), [
    ("", 1, "no figures of pcb-defects-pair on block"),
    (json.dumps(GOOD), 1, "no figures of pcb-defects-pair on block"),
    (json.dumps({k: v for k, v in GOOD.items() if k != "clean"}), 0, "reports no clean: make build"),
])
def test_without_figures_it_says_why(tmp_path, report, code, says):
    done = bench_with(tmp_path, report, code)

    assert done.returncode == 1
    assert says in done.stderr
    assert not done.stdout


def test_boards_that_failed_are_counted_and_miss_the_bar(tmp_path):
    failed = [{"image": "1", "reason": "template_unaligned"}]
    done = bench_with(tmp_path, json.dumps(GOOD | {"failed": failed}), 1)

    assert done.returncode == 1
    assert "1 of 200 !" in done.stdout
    assert "compare failed on sim" in done.stderr
