"""`cascade`: the group of all commands.

Exit codes: 0 done; 1 the answer is no (rows refused, a check is red); 2 wrong use or a value that
is refused; 3 the configuration cannot be used; 4 the database or the broker cannot be reached;
130 Ctrl-C.
"""

from __future__ import annotations

import importlib

import click

from typing_extensions import override

from cascade.cli.exits import INTERRUPTED


# In the order of the help. A file of that name holds a command of that name; it is read when it is
# wanted, so that a health check does not pay for the imports of a report.
COMMANDS = (
    "send",
    "send-csv",
    "status",
    "trace",
    "cancel",
    "report",
    "reconcile",
    "policies",
    "rates",
    "callbacks",
    "keys",
    "migrate",
    "doctor",
)


class Commands(click.Group):
    """Ends with one line that says what to do, not with a traceback."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"cascade.cli.{name}"), name)
        return command

    @override
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except Exception as error:
            from cascade.cli.ending import ending  # noqa: PLC0415  # SQLAlchemy, only if it comes

            told = ending(error)
            if told is None:
                raise
            click.echo(f"cascade: {told.line}", err=True)
            ctx.exit(told.code)


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

    Exit codes: 0 done; 1 the answer is no; 2 wrong use or a refused value; 3 configuration;
    4 database or broker away; 130 Ctrl-C
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
