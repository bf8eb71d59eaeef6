"""`cascade`: the group of all commands, and what their ends mean.

Exit codes: 0 done; 1 the answer is no (rows refused, a check is red); 2 wrong use or a value that
is refused; 3 the configuration cannot be used; 4 the database or the broker cannot be reached.
"""

from __future__ import annotations

import click

from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy.exc import OperationalError as DatabaseError
from typing_extensions import override

from cascade.domain.errors import CascadeError, ConfigurationError, TryAgainError


REFUSED = 1
INVALID = 2
MISCONFIGURED = 3
UNREACHABLE = 4


class Commands(click.Group):
    """Ends with one line that says what to do, not with a traceback."""

    @override
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except CascadeError as error:
            click.echo(f"cascade: {error}", err=True)
            ctx.exit(_code(error))
        except (DatabaseError, BrokerError) as error:
            kind = "database" if isinstance(error, DatabaseError) else "broker"
            click.echo(
                f"cascade: {kind}: it cannot be reached; `cascade doctor` says more", err=True
            )
            ctx.exit(UNREACHABLE)


def _code(error: CascadeError) -> int:
    match error:
        case ConfigurationError():
            return MISCONFIGURED
        case TryAgainError():
            return UNREACHABLE
        case _:
            return INVALID


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="cascade-delivery")
def main() -> None:
    """One message to one person, over the cheapest channel that reaches them in time.

    The deployment is named by the environment: CASCADE_DATABASE_URL, CASCADE_BROKER_URL,
    CASCADE_SEAL_KEYS, CASCADE_HASH_KEY, and CASCADE_CONFIG_DIR for the config files.

    \b
    cascade send --to +79161234567 --text "Ваш заказ собран" --policy default
    cascade send-csv recipients.csv --text "#name#, ваш заказ собран" --priority bulk
    cascade trace 0192f3a4-…
    cascade doctor
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
