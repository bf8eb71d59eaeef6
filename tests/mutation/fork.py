"""Running the tests against a mutant, each in a process of its own.

The processes are forked from one that has imported what takes long, and nothing of the product.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys

from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from typing_extensions import override

from tests.mutation.values import Mutant


_HEAVY = ("sqlalchemy", "celery", "pydantic", "hypothesis.strategies", "phonenumbers", "oauthlib")


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
    """Each mutant as it is done, and whether the tests passed all the same."""
    for name in _HEAVY:
        importlib.import_module(name)
    pool = multiprocessing.get_context("fork").Pool(processes, maxtasksperchild=1)
    with pool:
        yield from pool.imap_unordered(partial(_try, tests=tests), mutants)


def _try(mutant: Mutant, tests: Sequence[str]) -> tuple[Mutant, bool]:
    sys.meta_path.insert(0, _Instead(mutant))
    arguments = ["-x", "-q", "-n0", "-p", "no:cacheprovider", "-p", "tests.mutation.repeatable"]
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is imported already
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return mutant, pytest.main([*arguments, *_sorted(tests, mutant)]) == pytest.ExitCode.OK


def _sorted(tests: Sequence[str], mutant: Mutant) -> list[str]:
    """The module's own tests first: they are the most likely to notice."""
    name = mutant.module.rpartition(".")[2]
    return sorted(tests, key=lambda path: f"test_{name}" not in path)
