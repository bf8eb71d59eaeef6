from __future__ import annotations

import os
import re
import subprocess
import sys

from collections.abc import Iterator
from pathlib import Path

import pytest

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from cascade import ConfigurationError, MessageState, UnknownMessageError
from cascade.embedded import postgres
from cascade.testing import deployment


pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent
FILES = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def app_database(server_home: Path) -> Iterator[str]:
    """What an app's own tests have: a database that knows nothing of Cascade."""
    with postgres(server_home / "app", durable=False) as url:
        yield url


def test_the_tests_of_an_app_run_as_the_document_shows_them(tmp_path: Path) -> None:
    files = dict(FILES.findall((ROOT / "docs" / "testing.md").read_text("utf-8")))
    assert set(files) == {"conftest.py", "test_shop.py"}
    for name, source in files.items():
        (tmp_path / name).write_text(source, "utf-8")
    outside = {name: value for name, value in os.environ.items() if "CASCADE" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=outside | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_message_is_part_of_the_transaction_of_an_app_whose_database_is_given(
    app_database: str,
) -> None:
    engine = create_engine(app_database)
    before = dict(os.environ)
    with deployment(ROOT / "config", database_url=app_database) as cascade:
        with Session(engine) as session:
            gone = cascade.send(to="+79160011111", text="Собран", session=session)
            session.rollback()
        with Session(engine) as session, session.begin():
            session.execute(text("CREATE TABLE orders (id int)"))
            kept = cascade.send(to="+79160011111", text="Собран", session=session)
        assert cascade.status(kept).state is MessageState.IN_PROGRESS
        with pytest.raises(UnknownMessageError):
            cascade.status(gone)
    assert dict(os.environ) == before
    engine.dispose()


def test_policies_that_are_given_inline_are_checked_as_those_of_a_file(app_database: str) -> None:
    with (
        pytest.raises(ConfigurationError, match="policy 'order', step 1, ttl"),
        deployment({"order": [{"channel": "viber", "ttl": "5s"}]}, database_url=app_database),
    ):
        pass
