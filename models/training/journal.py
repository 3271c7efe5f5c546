"""A run's log.jsonl: a line for each of its marks, losses or a validation."""

import json
import os
from pathlib import Path


def read_log(path: Path) -> list[dict]:
    """The lines of a log. A last line that a stop tore is left out; any other fault is named."""
    lines, result = path.read_text().splitlines(), []
    for number, line in enumerate(lines, 1):
        try:
            result.append(json.loads(line))
        except json.JSONDecodeError as err:
            if number < len(lines):
                raise SystemExit(f"{path}:{number} is not JSON: mend or remove the line") from err
    return result


class Journal:
    """The log, to write on: running means of the losses every LOG_EVERY steps, and validations.

    A resumed run keeps what its checkpoint knows of.
    """

    def __init__(self, path: Path, resumed_at: int):
        self.path = path
        past = read_log(path) if resumed_at and path.exists() else []
        kept = [line for line in past if line["step"] <= resumed_at]
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(partial, path)

    def write(self, **record) -> None:
        """Append a line."""
        with self.path.open("a") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")
