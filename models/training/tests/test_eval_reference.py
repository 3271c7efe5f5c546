"""The figures that the agent's own metrics are tested with are those of pycocotools."""

import subprocess
import sys
from pathlib import Path

REFERENCE = Path(__file__).parents[3] / "agent/internal/eval/testdata/reference.py"


def check(script):
    return subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)


def test_the_agents_reference_metrics_are_what_pycocotools_computes():
    done = check(REFERENCE)
    assert done.returncode == 0, done.stderr


def test_a_figure_that_was_changed_is_noticed(tmp_path):
    script = tmp_path / REFERENCE.name
    script.write_text(REFERENCE.read_text())
    figures = REFERENCE.with_name("metrics.json").read_text()
    changed = figures.replace('"map50":0.', '"map50":1.', 1)
    assert changed != figures
    (tmp_path / "metrics.json").write_text(changed)
    done = check(script)
    assert done.returncode != 0
    assert "not what this program writes" in done.stderr
