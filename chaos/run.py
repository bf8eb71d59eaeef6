"""One run: messages come, faults happen, everything ends, the checker counts."""

from __future__ import annotations

import datetime as dt
import heapq
import json
import subprocess
import sys
import time

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import psycopg2

from chaos.books import reconcile
from chaos.inflict import Inflictor, StopWindow
from chaos.look import Look, look
from chaos.proxy.links import ProxyError
from chaos.schedule import BEATS, PRODUCERS, Fault
from chaos.stack import WARM_UP_MESSAGES, WARMING, ChaosStack
from demo.environment import ROOT
from demo.process import DiedError


GRACE = 90.0  # seconds after the last deadline in which everything must be final
CALM = 3.0  # seconds without anything to do before a run is over
WARM_UP = 90.0  # seconds for the first messages
SAID_EVERY = 5.0  # seconds

Say = Callable[[str], None]
Figures = dict[str, Any]


@dataclass(slots=True)
class Battle:
    """What is under way, and what has been seen."""

    stack: ChaosStack
    faults: Sequence[Fault]
    say: Say
    begun: float = field(default_factory=time.monotonic)
    landed: set[int] = field(default_factory=set)
    deaths: list[str] = field(default_factory=list)
    last_fault: float = 0.0  # seconds into the run
    recovered: float | None = None  # seconds after the last fault
    calm_since: float | None = None
    seen: Look | None = None

    @property
    def seconds(self) -> float:
        """Since the messages began to come."""
        return time.monotonic() - self.begun


def run(stack: ChaosStack, faults: Sequence[Fault], *, say: Say) -> Figures:
    """Starts all, attacks, waits for the end, and returns the figures. Raises DiedError."""
    stack.start(lambda what: say(f"starting {what}"))
    _warm_up(stack)
    stack.start_producers()
    battle = Battle(stack, faults, say)
    inflictor = Inflictor(stack)
    _fight(battle, inflictor)
    seconds = battle.seconds
    figures = _check(stack, inflictor, told=True)
    repaired = reconcile(stack, repair=True)
    _calm_down(battle)
    left = reconcile(stack, repair=False)
    _stop_work(stack)
    after = _check(stack, inflictor, told=False)
    return figures | {
        "sum_difference": after["sum_difference"],
        "repaired": repaired["written"],
        "unreconciled": len(left["found"]),
        "unreconciled_kinds": dict(Counter(one["kind"] for one in left["found"])),
        "seed": stack.seed,
        "sabotage": stack.sabotage,
        "faults": len(faults),
        "faults_landed": len(battle.landed),
        "not_landed": [str(one) for one in faults if one.number not in battle.landed],
        "deaths": battle.deaths,
        "recovery_seconds": battle.recovered,
        "seconds": round(seconds, 1),
    }


def _warm_up(stack: ChaosStack) -> None:
    """Until some messages have come to their end: a fault before would meet nobody at work."""
    stack.start_warming()
    until = time.monotonic() + (WARM_UP if stack.sabotage is None else WARM_UP / 3)
    while look(stack.dsn).final < WARM_UP_MESSAGES / 2:  # others wait for answers that never come
        stack.check()
        if time.monotonic() > until:
            if stack.sabotage is not None:  # it may be what keeps them from their end
                break
            raise TimeoutError(f"the first messages have not ended within {WARM_UP:.0f} s")
        Event().wait(0.2)
    del stack.processes[WARMING]


def _fight(battle: Battle, inflictor: Inflictor) -> None:
    """Until all is final and calm, or the time is over."""
    events = [(fault.at, 0, fault.number, fault) for fault in battle.faults]
    heapq.heapify(events)
    until = battle.stack.size.sending + battle.stack.size.deadline + GRACE
    said = 0.0
    while battle.seconds < until and not (_is_calm(battle) and not events):
        while events and events[0][0] <= battle.seconds:
            _, ending, _, fault = heapq.heappop(events)
            _meet(battle, inflictor, fault, ending=bool(ending))
            if not ending:
                heapq.heappush(events, (battle.seconds + fault.seconds, 1, fault.number, fault))
        _revive(battle)
        _watch(battle, is_over=not events)
        if battle.seconds >= said:
            said = battle.seconds + SAID_EVERY
            battle.say(f"{battle.seconds:6.1f} s  {_told(battle)}")
        Event().wait(0.1)


def _calm_down(battle: Battle) -> None:
    """Until what reconciling has written is applied."""
    until, battle.calm_since = battle.seconds + GRACE, None
    while battle.seconds < until and not _is_calm(battle):
        _watch(battle, is_over=False)
        Event().wait(0.2)


def _meet(battle: Battle, inflictor: Inflictor, fault: Fault, *, ending: bool) -> None:
    try:
        landed = inflictor.end(fault) if ending else inflictor.begin(fault)
    except (OSError, KeyError, ProxyError, psycopg2.Error, DiedError) as error:
        battle.say(f"[yellow]{battle.seconds:6.1f} s  {fault.kind}: {error!r}[/]")
        landed = False
    if landed:
        battle.landed.add(fault.number)
    if not ending:
        battle.say(f"[red]{battle.seconds:6.1f} s  {fault.kind}: {fault.target}[/]")
    battle.last_fault = battle.seconds


def _revive(battle: Battle) -> None:
    """Starts what has died by itself, as its supervisor would; that is a finding."""
    for name, process in list(battle.stack.processes.items()):
        code = process.popen.poll()
        if code is None or (name in PRODUCERS and code == 0):
            continue
        battle.deaths.append(f"{name} ended with {code}")
        battle.say(f"[yellow]{battle.seconds:6.1f} s  {name} has died ({code})[/]")
        battle.stack.restart(name)


def _watch(battle: Battle, *, is_over: bool) -> None:
    """Looks at the database, if it can be looked at."""
    try:
        battle.seen = look(battle.stack.dsn)
    except psycopg2.Error:
        battle.seen = None
        return
    if is_over and battle.recovered is None and battle.seen.lag < CALM:
        battle.recovered = round(battle.seconds - battle.last_fault, 1)


def _is_calm(battle: Battle) -> bool:
    """Whether nothing has been left to do for a while."""
    stack, seen = battle.stack, battle.seen
    if seen is None or seen.is_busy or not stack.producers_are_done() or _pending(stack):
        battle.calm_since = None
        return False
    battle.calm_since = battle.calm_since or battle.seconds
    return battle.seconds - battle.calm_since >= CALM


def _pending(stack: ChaosStack) -> int:
    try:
        return stack.pending()
    except OSError:
        return 1


def _told(battle: Battle) -> str:
    seen = battle.seen
    if seen is None:
        return "the database is away"
    return (
        f"{seen.messages}/{battle.stack.size.messages} accepted, {seen.final} final,"
        f" {seen.live} attempts live, {seen.receipts} receipts to apply, lag {seen.lag:.0f} s;"
        f" {len(battle.landed)} faults landed"
    )


def _stop_work(stack: ChaosStack) -> None:
    """Nothing moves any more while it is counted; the servers stay."""
    for name in (*BEATS, *(one for one in stack.processes if one not in BEATS)):
        if name in stack.processes and name != "sandbox":
            stack.processes[name].popen.terminate()
    for process in stack.processes.values():
        if process.name != "sandbox":
            _wait(process.popen)


def _wait(popen: subprocess.Popen[bytes]) -> None:
    try:
        popen.wait(20)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()


def _check(stack: ChaosStack, inflictor: Inflictor, *, told: bool) -> Figures:
    """What the checker says: a program of its own, which knows nothing of the product's rules.

    Its own words are shown if they are to be `told`.
    """
    directory = stack.directory
    stops = directory / "stops.jsonl"
    stops.write_text("".join(_line(window) for window in inflictor.stopped))
    result = directory / "checked.json"
    command = [sys.executable, "-m", "chaos.checker", "--database", stack.dsn]
    command += ["--ledger", str(stack.sandbox_ledger)]
    command += ["--accepted", *(str(one) for one in stack.journals())]
    command += ["--stops", str(stops), "--logs", str(directory / "logs"), "--json", str(result)]
    output = None if told else subprocess.DEVNULL
    subprocess.run(command, cwd=ROOT, env=stack.environ, stdout=output, check=False)  # noqa: S603  # our own
    figures: Figures = json.loads(result.read_text("utf-8"))
    return figures


def _line(window: StopWindow) -> str:
    since, until = (
        dt.datetime.fromtimestamp(at, dt.UTC).isoformat() for at in (window.since, window.until)
    )
    return json.dumps({"process": window.name, "from": since, "until": until}) + "\n"
