"""`make mutation`: how many small changes of the product's core its fast tests notice.

Functions are changed by mutmut, set up in pyproject.toml; what it leaves alone by `values.py`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
import tomllib

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.mutation.fork import survivors
from tests.mutation.progress import show
from tests.mutation.score import Score, Verdict, table
from tests.mutation.values import Mutant, mutants_of


CHILDREN = 2  # at a time
LEAST = 90.0  # per cent of all mutants that must be noticed
MUTANTS = Path("mutants")  # mutmut's own directory

SURVIVED = {0, 5, 33, None}  # exit codes of mutmut: tests passed, there are none, was not tried


def main() -> int:
    """Tries all mutants; 1 if too few are killed."""
    parser = argparse.ArgumentParser(prog="make mutation", description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    json_path = parser.parse_args().json
    settings = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    begun_at = time.monotonic()
    found = [*_of_functions(), *_of_values(settings)]
    score = Score.of(found)
    report = score.report() | {"seconds": round(time.monotonic() - begun_at)}
    sys.stdout.write(table(score) + f"\nin {report['seconds']} s\n")
    if json_path is not None:
        json_path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return 0 if score.total.percent >= LEAST else 1


def _of_functions() -> Iterator[Verdict]:
    shutil.rmtree(MUTANTS, ignore_errors=True)  # it would not try survivors against newer tests
    _run_mutmut()
    for path in sorted(MUTANTS.rglob("*.py.meta")):
        tried: Mapping[str, int | None] = json.loads(path.read_text("utf-8"))["exit_code_by_key"]
        for name, code in tried.items():
            module = name.rpartition(".")[0]
            yield Verdict(module, name, is_killed=code not in SURVIVED)


def _run_mutmut() -> None:
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(CHILDREN)]
    said: deque[str] = deque(maxlen=100)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True) as mutmut:
        for line in mutmut.stdout or ():  # a spinner's "\r" ends a line too
            said.append(line)
            if counted := re.search(r"(\d+)/(\d+) ", line):
                show("functions", int(counted[1]), int(counted[2]))
    if mutmut.returncode:
        sys.exit("".join(line for line in said if "Running" not in line))


def _of_values(settings: Mapping[str, Any]) -> Iterator[Verdict]:
    tests: Sequence[str] = settings["pytest_add_cli_args_test_selection"]
    mutants = [one for path in settings["only_mutate"] for one in _mutants(Path(path))]
    tried = survivors(mutants, tests, processes=CHILDREN)
    for count, (mutant, survives) in enumerate(tried, 1):
        show("values", count, len(mutants))
        name = f"{mutant.module}:{mutant.line} {mutant.what}"
        yield Verdict(mutant.module, name, is_killed=not survives)


def _mutants(path: Path) -> Iterable[Mutant]:
    return mutants_of(path, ".".join(path.with_suffix("").parts))


if __name__ == "__main__":
    sys.exit(main())
