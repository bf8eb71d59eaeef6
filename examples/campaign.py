"""A campaign from a CSV: whoever has not read it in VK or Viber gets an SMS.

    make up                                    # in another terminal
    set -a; . .cascade/up/env; set +a
    .venv/bin/python examples/campaign.py examples/campaign.csv --errors refused.csv

Run again with the `--start` that it prints, it sends nothing twice.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import time
import uuid

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from decimal import Decimal
from pathlib import Path

from cascade import Cascade, MessageState, MessageStatus, PolicyStep, Row, RowError, SendReport


# VK takes texts that were moderated before; an SMS may say it in fewer, cheaper characters.
TEXT = {
    "ru": "#name#, заказ №#order# ждёт вас по новому адресу: Лесная, 7.",
    "en": "#name#, order #order# waits for you at our new address: Lesnaya 7.",
}
SMS = {
    "ru": "#name#, заказ #order# на новом месте: Лесная, 7",
    "en": "#name#, order #order# has moved to Lesnaya 7",
}

# The shortest times that the providers take, so that the end is soon seen. Most people read within
# hours, and each reader saves an SMS: a real campaign gives VK a day ("1d").
UNTIL_IT_IS_READ = [
    PolicyStep(channel="vk", ttl="15s", success="read"),
    PolicyStep(channel="viber", ttl="30s", success="read"),
    PolicyStep(channel="sms", ttl="60s"),
]


def rows(path: Path, start: dt.datetime) -> Iterator[Row]:
    """The file, line by line: it may be longer than the memory."""
    with path.open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            yield Row(
                to=line["to"],
                # Everything follows from the file and the start, so a second run is a repetition.
                key=f"moved-{start.isoformat()}-{line['order']}",
                variables={"name": line["name"], "order": line["order"]},
                language=line["language"],
                send_at=start + dt.timedelta(seconds=int(line["delay"])),
            )


def show_progress(report: SendReport) -> None:
    """Is called after each 1,000 rows, once they are committed."""
    refused = len(report.errors)
    print(f"{report.accepted} accepted, {report.repeated} of them before; {refused} refused")


def write_errors(path: Path, errors: list[RowError]) -> None:
    """Row numbers, fields and reasons: no phone numbers, so the file may be passed on."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("row", "field", "problem", "cure"))
        for one in errors:
            writer.writerow((one.row, one.error.field, one.error.problem, one.error.cure))


def wait_for_the_end(cascade: Cascade, ids: Collection[uuid.UUID], since: dt.datetime) -> None:
    """Follows the events until each message has ended.

    A service would keep the cursor with its own data, and go on from there after a restart.
    """
    waiting, cursor = set(ids), None
    while True:
        for event in cascade.events(since=cursor or since):
            cursor = event.cursor
            if event.state is not MessageState.IN_PROGRESS:
                waiting.discard(event.message_id)
        if not waiting:
            return
        time.sleep(0.5)


def print_funnel(statuses: list[MessageStatus]) -> None:
    """For thousands of messages `cascade report` does this in the database."""
    attempts = [attempt for one in statuses for attempt in one.attempts]
    delivered = sum(one.state is MessageState.DELIVERED for one in statuses)
    read = sum(any(attempt.read_at for attempt in one.attempts) for one in statuses)
    print(f"accepted {len(statuses)} -> delivered {delivered} -> read {read}")
    tried = Counter(one.channel for one in attempts)
    succeeded = Counter(one.channel for one in attempts if one.success.is_met_by(one.state))
    for channel, count in tried.items():
        print(f"  {channel:<6} tried {count}, succeeded {succeeded[channel]}")
    cost: dict[str, Decimal] = defaultdict(Decimal)
    for currency, amount in (item for one in statuses for item in one.cost.items()):
        cost[currency] += amount
    print("cost", ", ".join(f"{amount:.2f} {currency}" for currency, amount in cost.items()))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Sends a campaign and prints its funnel.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--errors", type=Path, required=True, help="takes the refused rows")
    parser.add_argument("--start", type=dt.datetime.fromisoformat, help="with a zone; now if none")
    options = parser.parse_args()
    start = options.start or dt.datetime.now(dt.UTC).replace(microsecond=0)

    print(f"--start {start.isoformat()}")
    cascade = Cascade.from_env()
    report = cascade.send_many(
        rows(options.file, start),
        text=TEXT,
        texts={"sms": SMS},
        policy=UNTIL_IT_IS_READ,
        sender="campaign",
        priority="bulk",
        progress=show_progress,
    )
    write_errors(options.errors, report.errors)
    ids = [one for one in report.ids if one is not None]
    wait_for_the_end(cascade, ids, since=start - dt.timedelta(minutes=1))  # clocks differ
    print_funnel([cascade.status(one) for one in ids])
    cascade.close()


if __name__ == "__main__":
    main()
