"""Running the tests against a mutant, each in a process of its own.

The processes are forked from one that has imported what takes long, and nothing of the product.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys

from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from typing_extensions import override

from tests.mutation.values import Mutant


OURS = ("cascade", "tests", "config", "demo", "docs", "workers")


class _Instead(MetaPathFinder, Loader):
    """Finds the mutant where its module is asked for."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    @override
    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname == self._mutant.module else None

    @override
    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._mutant.source, "mutant", "exec"), module.__dict__)  # noqa: S102  # it is why we are here


def survivors(
    mutants: Sequence[Mutant], tests: Sequence[str], *, processes: int
) -> Iterator[tuple[Mutant, bool]]:
    """Each mutant as it is done, and whether the tests passed all the same.

    Raises ValueError if they fail without a mutant.
    """
    fork = multiprocessing.get_context("fork")
    with fork.Pool(1) as pool:
        passes, modules = pool.apply(_try_nothing, (tests,))
    if not passes:
        raise ValueError("the tests fail without a mutant")
    for name in modules:
        with suppress(Exception):
            importlib.import_module(name)
    with fork.Pool(processes, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(partial(_try, tests=tests), mutants)


def _try_nothing(tests: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether the tests pass, and what they import that is not ours."""
    passes = _run(tests)
    return passes, [name for name in sys.modules if name.partition(".")[0] not in OURS]


def _try(mutant: Mutant, tests: Sequence[str]) -> tuple[Mutant, bool]:
    sys.meta_path.insert(0, _Instead(mutant))
    # The module's own tests first: they most likely notice, and the others need not be collected.
    name = mutant.module.rpartition(".")[2]
    own = [path for path in tests if f"test_{name}" in path]
    others = [path for path in tests if path not in own]
    return mutant, all(_run(each) for each in (own, others) if each)


def _run(tests: Sequence[str]) -> bool:
    arguments = ["-x", "-q", "-n0", "-p", "no:cacheprovider", "-p", "tests.mutation.repeatable"]
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is imported already
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return pytest.main([*arguments, *tests]) == pytest.ExitCode.OK
