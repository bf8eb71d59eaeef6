from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from cascade.services.sealed import open_content, open_recipient
from tests.cli.conftest import Run
from tests.services.journey import Journey


pytestmark = pytest.mark.integration

TEXT = ("--text", "#name#, готово")
# Whoever starts the tests in the background may have had Ctrl-C ignored, which is inherited.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from cascade.cli.main import main
main()
"""


@pytest.fixture
def a_file(tmp_path: Path) -> Callable[..., Path]:
    """A file of these lines, in these bytes."""

    def write(
        *lines: str,
        encoding: str = "utf-8",
        end: str = "\n",
        name: str = "recipients.csv",
    ) -> Path:
        path = tmp_path / name
        path.write_bytes("".join(line + end for line in lines).encode(encoding))
        return path

    return write


@pytest.fixture
def summary(run: Run) -> Callable[..., dict[str, Any]]:
    """What `send-csv --json` says."""
    return lambda *arguments: json.loads(run("send-csv", *arguments, "--json").stdout)


@pytest.fixture
def sent(journey: Journey) -> Callable[[], Counter[tuple[str, str]]]:
    """How often each person was sent which words."""

    def read() -> Counter[tuple[str, str]]:
        keyring = journey.ledger.keyring
        rows = journey.rows("SELECT id, recipient, content FROM cascade.messages")
        found: Counter[tuple[str, str]] = Counter()
        for row in rows:
            content = open_content(keyring, row.id, bytes(row.content))
            words = content.text.replace("#name#", content.variables.get("name", ""))
            found[open_recipient(keyring, row.id, bytes(row.recipient)), words] += 1
        return found

    return read


def phone(number: int) -> str:
    return f"+7916{number:07d}"


def errors(path: Path) -> list[dict[str, str]]:
    with path.with_name(f"{path.name}.errors.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_row_is_one_message_with_its_own_words(a_file, run: Run, sent):
    path = a_file("to,name", f"{phone(1)},Анна", f'{phone(2)},"Пётр, младший"')

    result = run("send-csv", path, *TEXT)

    assert result.exit_code == 0
    assert sent() == {
        (phone(1), "Анна, готово"): 1,
        (phone(2), "Пётр, младший, готово"): 1,
    }
    assert "2 new" in result.stdout
    assert not path.with_name("recipients.csv.errors.csv").exists()


@pytest.mark.parametrize(
    ("lines", "how"),
    [
        (("to;name", f"{phone(1)};Анна"), {"end": "\r\n"}),
        (("to\tname", f"{phone(1)}\tАнна"), {}),
        (("name,to", f"Анна,{phone(1)}"), {"encoding": "utf-8-sig"}),
        (("to;name;", f"{phone(1)};Анна;", ";;", ""), {"encoding": "utf-8-sig", "end": "\r\n"}),
        ((" to , name ", f"{phone(1)},Анна"), {}),
    ],
    ids=["semicolons", "tabs", "bom", "as Excel saves it", "spaces in the header"],
)
def test_separators_byte_order_marks_and_line_ends_are_found_out(
    a_file, run: Run, sent, lines, how
):
    result = run("send-csv", a_file(*lines, **how), *TEXT)

    assert result.exit_code == 0
    assert sent() == {(phone(1), "Анна, готово"): 1}


def test_rows_that_are_refused_are_listed_by_line_and_the_rest_goes_on(a_file, run: Run, sent):
    path = a_file(
        "to,name,send_at",
        f"{phone(1)},Анна,",
        "12345,Пётр,",
        f'{phone(2)},"Две\nстроки",',
        f"{phone(3)},Иван,,лишнее",
        f"{phone(4)},Ольга,завтра",
        f"{phone(5)},Игорь,2090-01-01T10:00",
        f"{phone(6)}",
        f'{phone(7)},"а"б,',
        f"{phone(8)},Вера,2090-01-01T10:00+03:00",
        f"{phone(9)},Лев,0001-01-01T00:00+03:00",
    )

    result = run("send-csv", path, *TEXT)

    assert result.exit_code == 1
    assert set(sent()) == {
        (phone(1), "Анна, готово"),
        (phone(2), "Две\nстроки, готово"),
        (phone(8), "Вера, готово"),
    }
    listed = errors(path)
    assert [(one["line"], one["field"]) for one in listed] == [
        ("3", "to"),
        ("6", "row"),
        ("7", "send_at"),
        ("8", "send_at"),
        ("9", "variables['name']"),
        ("10", "row"),
        ("12", "send_at"),
    ]
    assert [listed[1]["problem"], listed[5]["problem"]] == [
        "it has 4 cells under 3 columns",
        "its quotes do not match",
    ]
    assert all(one["cure"] for one in listed)
    assert f"7 refused, listed in {path}.errors.csv" in result.stdout


def test_no_number_and_no_text_is_printed_or_listed(a_file, run: Run):
    path = a_file("to,name,note", f"{phone(1)},Анна,x", f"{phone(2)}9,Пётр,x", "98765,Иван,x")

    result = run("send-csv", path, *TEXT)

    shown = result.output + path.with_name("recipients.csv.errors.csv").read_text()
    for secret in (phone(1)[2:], phone(2)[2:], "98765", "Анна", "Пётр", "готово"):
        assert secret not in shown


def test_the_list_of_an_earlier_run_does_not_outlive_its_rows(a_file, run: Run):
    path = a_file("to,name", "12345,Анна")
    run("send-csv", path, *TEXT)
    assert len(errors(path)) == 1

    a_file("to,name", f"{phone(1)},Анна")
    run("send-csv", path, *TEXT)

    assert not path.with_name("recipients.csv.errors.csv").exists()


def test_the_list_may_stand_elsewhere_but_not_in_the_place_of_the_file(
    a_file, run: Run, tmp_path: Path
):
    path = a_file("to,name", "12345,Анна")

    run("send-csv", path, *TEXT, "--errors", tmp_path / "bad.csv")
    over = run("send-csv", path, *TEXT, "--errors", path)

    assert (tmp_path / "bad.csv").read_text().startswith("line,field,problem,cure")
    assert over.exit_code == 2
    assert path.read_text().startswith("to,name")


def test_the_second_run_of_the_same_file_sends_nothing_twice(a_file, summary, sent):
    path = a_file("to,name", f"{phone(1)},Анна", "12345,Пётр", f"{phone(2)},Ольга")

    first, second = summary(path, *TEXT), summary(path, *TEXT)

    assert (first["new"], first["repeated"], first["refused"]) == (2, 0, 1)
    assert (second["new"], second["repeated"], second["refused"]) == (0, 2, 1)
    assert second["campaign"] == first["campaign"]
    assert set(sent().values()) == {1}


def test_after_mending_only_what_was_refused_is_sent(a_file, summary, sent):
    a_file("to,name,note", f"{phone(1)},Анна,a", "12345,Пётр,b", f"{phone(2)},Ольга,c")
    path = a_file("to,name,note", f"{phone(1)},Анна,a", "12345,Пётр,b", f"{phone(2)},Ольга,c")
    summary(path, *TEXT)

    a_file("to,name,note", f"{phone(2)},Ольга,z", f"{phone(3)},Пётр,b", f"{phone(1)},Анна,a")
    mended = summary(path, *TEXT)

    assert (mended["new"], mended["repeated"], mended["refused"]) == (1, 2, 0)
    assert set(sent().values()) == {1}


@pytest.mark.parametrize(
    "spelled",
    ["8 916 123-45-67", "79161234567", "+7 (916) 123-45-67", " 8(916)1234567 "],
)
def test_a_number_that_another_program_has_spelled_anew_is_not_sent_to_twice(
    a_file, summary, sent, spelled: str
):
    path = a_file("to,name", f"{spelled},Анна")
    summary(path, *TEXT)

    a_file("to,name", "+79161234567,Анна")
    mended = summary(path, *TEXT)

    assert (mended["new"], mended["repeated"], mended["refused"]) == (0, 1, 0)
    assert sent() == {("+79161234567", "Анна, готово"): 1}


@pytest.mark.parametrize("key", ["", "order-17"])
def test_a_row_with_its_number_and_time_spelled_anew_is_the_same_request(
    a_file, summary, sent, key: str
):
    path = a_file("to,name,key,send_at", f"8 916 0000001,Анна,{key},2090-01-01T10:00+03:00")
    summary(path, *TEXT)

    a_file("to,name,key,send_at", f"{phone(1)},Анна,{key},2090-01-01 07:00:00Z")
    mended = summary(path, *TEXT)

    assert (mended["new"], mended["repeated"], mended["refused"]) == (0, 1, 0)


def test_equal_rows_are_as_many_messages_and_stay_so(a_file, summary, sent):
    path = a_file("to,name", *[f"{phone(1)},Анна"] * 3)

    assert summary(path, *TEXT)["new"] == 3
    assert summary(path, *TEXT)["repeated"] == 3
    assert sent() == {(phone(1), "Анна, готово"): 3}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["1,Анна", "2,Анна", "1,Пётр"], ""),
        (["1,Анна", "2,Анна", "1,Анна"], "1 of them says the same as another\n"),
        (["1,Анна"] * 3 + ["2,Пётр"] * 2, "3 of them say the same as others\n"),
    ],
)
def test_equal_rows_are_counted_in_the_end(
    journey: Journey, a_file, run: Run, rows: list[str], said: str
):
    numbered = [row.partition(",") for row in rows]
    lines = [f"{phone(int(number))},{name}" for number, _, name in numbered]

    result = run("send-csv", a_file("to,name", *lines), *TEXT)

    assert f"{len(rows)} new" in result.stdout
    assert result.stderr == said


@pytest.mark.parametrize("empty", ["", "  "])
def test_a_row_without_a_value_for_a_place_is_refused(a_file, summary, sent, empty: str):
    path = a_file("to,name,note", f"{phone(1)},{empty},x", f"{phone(2)},Анна,")

    found = summary(path, *TEXT)

    assert (found["new"], found["refused"]) == (1, 1)
    [listed] = errors(path)
    assert (listed["line"], listed["field"]) == ("2", "variables['name']")
    assert listed["problem"] == "it is empty"
    assert listed["cure"]
    assert sent() == {(phone(2), "Анна, готово"): 1}


def test_other_words_another_file_and_another_campaign_are_sent_anew(a_file, summary):
    path = a_file("to,name", f"{phone(1)},Анна")
    other = a_file("to,name", f"{phone(1)},Анна", name="others.csv")
    summary(path, *TEXT)

    assert summary(path, "--text", "#name#, забирайте")["new"] == 1
    assert summary(other, *TEXT)["new"] == 1
    assert summary(path, *TEXT, "--campaign", "autumn")["new"] == 1
    assert summary(other, *TEXT, "--campaign", "autumn")["repeated"] == 1


def test_a_key_of_the_row_goes_before_one_of_ours(a_file, summary, journey: Journey):
    first = journey.send(to=phone(1), text=TEXT[1], variables={"name": "Анна"}, key="order-17")
    path = a_file("to,name,key", f"{phone(1)},Анна,order-17", f"{phone(2)},Пётр,")

    found = summary(path, *TEXT)

    assert (found["new"], found["repeated"]) == (1, 1)
    assert journey.message(first).state == "in_progress"


def test_a_named_campaign_refuses_other_words_for_the_same_rows(a_file, run: Run, sent):
    path = a_file("to,name", f"{phone(1)},Анна")
    run("send-csv", path, *TEXT, "--campaign", "autumn")

    result = run("send-csv", path, "--text", "#name#, забирайте", "--campaign", "autumn")

    assert result.exit_code == 1
    [listed] = errors(path)
    assert listed["field"] == "campaign"
    assert "another --campaign" in listed["cure"]
    assert sum(sent().values()) == 1


def test_columns_without_a_place_are_left_out_and_named_once(a_file, run: Run, sent):
    path = a_file("to,name,city,note", f"{phone(1)},Анна,Тверь,x", f"{phone(2)},Пётр,Омск,y")

    result = run("send-csv", path, *TEXT)

    assert result.exit_code == 0
    assert result.stderr == "left out, since no text has a place for them: city, note\n"
    assert len(sent()) == 2


def test_the_language_of_a_row_chooses_its_words(a_file, run: Run, sent):
    path = a_file(
        "to,name,language", f"{phone(1)},Анна,ru", f"{phone(2)},Ann,en", f"{phone(3)},Anne,fr"
    )

    run("send-csv", path, "--text-in", "ru=#name#, готово", "--text-in", "en=Ready")

    assert sent() == {(phone(1), "Анна, готово"): 1, (phone(2), "Ready"): 1}
    assert [one["field"] for one in errors(path)] == ["language"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "recipients.csv, line 1: it names no column 'to'"),
        ("+79160000001,Анна\n".encode(), "recipients.csv, line 1: it names no column 'to'"),
        (b"to,name,name\n", "line 1: column 'name' appears twice"),
        (
            b"to,name\n+79160000001,x\n" + "+79160000002,Анна\n".encode("cp1251"),
            "recipients.csv, line 3: it is not UTF-8; save the file as UTF-8",
        ),
        ("to,name\n".encode("utf-16"), "recipients.csv, line 1: it is not UTF-8"),
        (b"to,first\n+79160000001,x\n", "variables['name']: the file has no such column"),
    ],
    ids=["empty", "no header", "a column twice", "cp1251", "utf-16", "no variable"],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_is_sent(
    tmp_path: Path, journey: Journey, run: Run, content: bytes, said: str
):
    path = tmp_path / "recipients.csv"
    path.write_bytes(content)

    result = run("send-csv", path, *TEXT)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "9160000001" not in result.stderr
    assert journey.row("SELECT count(*) FROM cascade.messages")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--text", " "), 2, "cascade: text: it is empty"),
        ((*TEXT, "--text-for", "pigeon=x"), 2, "texts['pigeon']: there is no such channel"),
        ((*TEXT, "--deadline", "2090-01-01"), 2, "cascade: deadline: it has no time zone"),
        ((*TEXT, "--policy", "nowhere"), 3, "'nowhere' is not in the database"),
    ],
)
def test_what_would_refuse_every_row_is_said_once(
    a_file, run: Run, arguments: tuple[str, ...], code: int, said: str
):
    path = a_file("to,name", f"{phone(1)},Анна", f"{phone(2)},Пётр")

    result = run("send-csv", path, *arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert not path.with_name("recipients.csv.errors.csv").exists()


def test_a_terminal_is_shown_a_bar_and_a_pipe_a_line_now_and_then(
    a_file, environment: dict[str, str], run: Run
):
    path = a_file("to,name", f"{phone(1)},Анна")
    piped = run("send-csv", path, *TEXT)
    environment["FORCE_COLOR"] = "1"
    shown = run("send-csv", path, *TEXT)

    assert piped.stderr == ""
    assert "100%" in shown.stderr
    assert "1 rows," in shown.stderr
    assert "\x1b" not in shown.stdout


def many(rows: int) -> Iterable[str]:
    yield "to,name"
    for number in range(rows):
        yield f"{phone(number)},Анна" if number % 100 else f"{number},Анна"


def begun(journey: Journey, environment: dict[str, str], path: Path) -> subprocess.Popen[str]:
    """A process of its own, which has sent some rows, and has others to send."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "send-csv", str(path), *TEXT],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while committed(journey) == 0 and process.poll() is None:
        pass
    return process


def test_a_run_that_is_killed_goes_on_and_every_row_is_sent_once(
    a_file, environment: dict[str, str], journey: Journey, summary, sent
):
    path = a_file(*many(4000))
    process = begun(journey, environment, path)
    process.kill()
    process.communicate()
    before = committed(journey)

    after = summary(path, *TEXT)

    assert process.returncode == -signal.SIGKILL
    assert 0 < before < 3960
    assert (after["repeated"], after["new"], after["refused"]) == (before, 3960 - before, 40)
    assert sent() == {(phone(number), "Анна, готово"): 1 for number in range(4000) if number % 100}
    assert len(errors(path)) == 40


def test_an_interrupted_run_says_how_far_it_came(
    a_file, environment: dict[str, str], journey: Journey
):
    process = begun(journey, environment, a_file(*many(40_000)))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()

    assert (process.returncode, out) == (130, "")
    assert "rows; the same command goes on from there" in err
    assert "Traceback" not in err


def committed(journey: Journey) -> int:
    return int(journey.row("SELECT count(*) FROM cascade.messages")[0])
