from __future__ import annotations

import json

import pytest

from click.testing import CliRunner, Result

import cascade.migrate

from cascade.cli.main import main


pytestmark = pytest.mark.integration


def migrate(url: str, *options: str) -> Result:
    return CliRunner().invoke(main, ["migrate", *options], env={"CASCADE_DATABASE_URL": url})


def test_an_empty_database_is_brought_to_the_newest_schema_once(bare_database_url: str):
    first = migrate(bare_database_url)
    assert first.exit_code == 0, first.output
    assert "now; before: none" in first.stdout

    assert "already" in migrate(bare_database_url).stdout
    found = json.loads(migrate(bare_database_url, "--json").stdout)
    assert found["before"] == found["after"] is not None


def test_the_module_does_the_same(bare_database_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CASCADE_DATABASE_URL", bare_database_url)
    cascade.migrate.main()

    assert "already" in migrate(bare_database_url).stdout


def test_an_address_that_is_not_set_is_a_matter_of_configuration():
    result = CliRunner().invoke(main, ["migrate"], env={"CASCADE_DATABASE_URL": None})

    assert result.exit_code == 3
    assert "CASCADE_DATABASE_URL" in result.stderr


def test_a_database_that_is_away_is_unreachable():
    result = migrate("postgresql://cascade:s3cret@127.0.0.1:1/cascade")

    assert result.exit_code == 4
    assert "s3cret" not in result.output
