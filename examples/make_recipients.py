"""Writes `recipients.csv`, invented people for the sandbox: `to,name,order,amount`.

The sandbox reads its answer off a phone: the last five digits choose what becomes of a message on
VK, OK, Viber, WhatsApp and SMS (docs/sandbox.md has the table). `MIX` says how often each kind of
person comes. The first 200 rows hold one of every kind, so that a short run shows them all, and
nobody keeps a run waiting for longer than 75 s with the example's TTLs.

The numbers are drawn at random from real ranges: never send to them through a real provider.
"""

from __future__ import annotations

import argparse
import csv
import random

from collections.abc import Iterator
from pathlib import Path


ROWS = 5000
SEED = 2026
FIRST = 200  # rows that hold one of every kind
HERE = Path(__file__).parent

# One letter of each string is drawn per person, so a letter's share of its string is its weight.
HIT = "1123"  # delivered soon
GONE = "445"  # not a user, told at once or by webhook
TEXTED = "1" * 10 + "2" * 6 + "33" + "77" + "445"  # SMS: here and there it fails
CHATS = "11223" + "444445"  # WhatsApp: about half are users

# Per mille, then the digits of VK, OK, Viber, WhatsApp and SMS. A digit behind one that delivers
# is never reached; 0 is drawn by the sandbox and may wait its whole TTL.
MIX = (
    (560, "0", "0", "0", CHATS, TEXTED),
    (55, "0", GONE, "0", "0", TEXTED),
    (45, "0", "0", "12345", CHATS, TEXTED),
    (40, "0", GONE, "45", GONE, "0"),
    # VK delivers …
    (75, "1", HIT, HIT, HIT, HIT),
    (45, "2", HIT, HIT, HIT, HIT),
    (35, "3", HIT, HIT, HIT, HIT),
    (10, "7", HIT, HIT, HIT, HIT),
    (10, "8", HIT, HIT, HIT, HIT),
    (5, "9", HIT, HIT, HIT, HIT),
    # … or does not, and OK does.
    (4, "6", HIT, HIT, HIT, HIT),
    (4, "4", "1", HIT, HIT, HIT),
    (2, "5", "1", HIT, HIT, HIT),
    (3, GONE, "2", HIT, HIT, HIT),
    (3, GONE, "3", HIT, HIT, HIT),
    (3, GONE, "7", HIT, HIT, HIT),
    (10, GONE, "8", HIT, HIT, HIT),
    (3, GONE, "9", HIT, HIT, HIT),
    # Viber's turn.
    (3, GONE, "6", HIT, HIT, HIT),
    (2, GONE, "4", "1", HIT, HIT),
    (2, GONE, "5", "1", HIT, HIT),
    (3, GONE, GONE, "2", HIT, HIT),
    (3, GONE, GONE, "3", HIT, HIT),
    (3, GONE, GONE, "6", HIT, HIT),
    (4, GONE, GONE, "7", HIT, HIT),
    (4, GONE, GONE, "8", HIT, HIT),
    (3, GONE, GONE, "9", HIT, HIT),
    # WhatsApp's turn.
    (2, GONE, GONE, "4", "1", HIT),
    (1, GONE, GONE, "5", "1", HIT),
    (2, GONE, GONE, "45", "2", HIT),
    (2, GONE, GONE, "45", "3", HIT),
    (2, GONE, GONE, "45", "6", HIT),
    (3, GONE, GONE, "45", "7", HIT),
    (10, GONE, GONE, "45", "8", HIT),
    (2, GONE, GONE, "45", "9", HIT),
    # SMS's turn; 4, 5 and 6 reach nobody.
    (3, GONE, GONE, "45", "4", "1"),
    (1, GONE, GONE, "45", "5", "1"),
    (3, GONE, GONE, "45", GONE, "2"),
    (3, GONE, GONE, "45", GONE, "3"),
    (5, GONE, GONE, "45", GONE, "4"),
    (4, GONE, GONE, "45", GONE, "5"),
    (1, GONE, GONE, "45", GONE, "6"),
    (4, GONE, GONE, "45", GONE, "7"),
    (10, GONE, GONE, "45", GONE, "8"),
    (3, GONE, GONE, "45", GONE, "9"),
)

# Country code, operators' ranges, digits between them and the last five.
RUSSIA = ("+7", "903 905 906 909 910 912 915 916 917 919 921 925 926 929 960 964 977 985 999", 2)
KAZAKHSTAN = ("+7", "701 702 705 707 747 775 777 778", 2)
BELARUS = ("+375", "259 291 292 295 296 297 298 336 447", 1)

NAMES = (
    "Александр Алексей Анастасия Андрей Анна Антон Валентина Виктор Вера Галина Дарья Денис "
    "Дмитрий Евгений Екатерина Елена Иван Игорь Ирина Кирилл Ксения Лариса Любовь Людмила Максим "
    "Маргарита Мария Михаил Надежда Наталья Николай Оксана Олег Ольга Павел Полина Роман Светлана "
    "Сергей Софья Степан Тамара Татьяна Фёдор Юлия Яна"
)


def recipients(*, rows: int, seed: int) -> Iterator[tuple[str, str, str, str]]:
    """`rows` people (at least `FIRST`) with distinct phones; the same seed gives the same."""
    dice = random.Random(seed)  # noqa: S311  # repeatable, not secret
    taken: set[str] = set()
    order = 104_000
    for ending in endings(rows, dice):
        order += dice.randrange(1, 9)
        roubles, kopecks = dice.randrange(290, 15_000), dice.choice((0, 0, 50, 90))
        phone = new_phone(ending, taken, dice)
        yield phone, dice.choice(NAMES.split()), str(order), f"{roubles}.{kopecks:02}"


def endings(rows: int, dice: random.Random) -> list[str]:
    """The last five digits of everybody, one of each kind among the `FIRST`."""
    kinds = [tuple(digits) for _, *digits in MIX]
    weights = [share for share, *_ in MIX]
    one_of_each = [ending_of(kind, dice) for kind in kinds]
    most_common = kinds[0]
    rest = [
        ending_of(kind, dice)
        for kind, share in zip(kinds, weights, strict=True)
        for _ in range(share * rows // 1000 - 1)
    ]
    rest += [ending_of(most_common, dice) for _ in range(rows - len(one_of_each) - len(rest))]
    dice.shuffle(rest)
    filling = FIRST - len(one_of_each)
    first = one_of_each + rest[:filling]
    dice.shuffle(first)
    return first + rest[filling:]


def ending_of(kind: tuple[str, ...], dice: random.Random) -> str:
    """One draw of each of the five digits."""
    return "".join(dice.choice(digits) for digits in kind)


def new_phone(ending: str, taken: set[str], dice: random.Random) -> str:
    """A number that nobody has yet: mostly Russian, 2 % Kazakh, 1 % Belarusian."""
    code, ranges, length = dice.choices((RUSSIA, KAZAKHSTAN, BELARUS), weights=(97, 2, 1))[0]
    while True:
        middle = f"{dice.randrange(10**length):0{length}}"
        phone = f"{code}{dice.choice(ranges.split())}{middle}{ending}"
        if phone not in taken:
            taken.add(phone)
            return phone


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Writes invented recipients for the sandbox.")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--output", type=Path, default=HERE / "recipients.csv")
    options = parser.parse_args()
    with options.output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("to", "name", "order", "amount"))
        writer.writerows(recipients(rows=options.rows, seed=options.seed))


if __name__ == "__main__":
    main()
