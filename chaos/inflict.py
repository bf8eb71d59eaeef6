"""Breaking things by the schedule, and mending them; each fault says whether it has landed."""

from __future__ import annotations

import os
import random
import signal
import time

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from chaos.proxy.links import Hit
from chaos.schedule import BEATS, Fault, Kind
from chaos.stack import ChaosStack


CLOCK_SHIFT = 600  # seconds, in either direction
SLOW, JITTER = 150.0, 100.0  # milliseconds each way
COMMITS_CUT = 5

_KILLS = {
    Kind.KILL_WORKER,
    Kind.KILL_GATEWAY,
    Kind.KILL_PRODUCER,
    Kind.KILL_BEAT,
    Kind.NO_BEAT,
}


@dataclass(frozen=True, slots=True)
class StopWindow:
    """When processes stood still (seconds since the epoch): what they began before may go on."""

    name: str
    since: float
    until: float


@dataclass(slots=True)
class Inflictor:
    """Begins and ends faults, one by one, in the thread that owns the servers."""

    stack: ChaosStack
    stopped: list[StopWindow] = field(default_factory=list)
    _pids: dict[int, tuple[list[int], float]] = field(default_factory=dict)  # by fault

    def begin(self, fault: Fault) -> bool:
        """Breaks it; whether that has touched anything. A link's fault tells at its end."""
        match fault.kind:
            case Kind.KILL_CHILD:
                return self._kill_child(fault)
            case Kind.STOP_CHILDREN:
                return self._stop_children(fault)
            case Kind.CLOCK:
                return self._shift_clock(fault)
            case kind if kind in _KILLS:
                return self._kill(_killed(fault))
            case Kind.LATENCY | Kind.BLACKHOLE | Kind.RESET | Kind.CUT_AFTER_COMMIT:
                self._break_link(fault)
                return False
            case _:
                return self._break_server(fault)

    def end(self, fault: Fault) -> bool:
        """Mends it; whether it was found only now that it had touched something."""
        match fault.kind:
            case Kind.STOP_CHILDREN:
                self._go_on(fault)
            case Kind.CLOCK:
                self.stack.shift_clock(fault.target, 0)
            case Kind.LATENCY | Kind.BLACKHOLE | Kind.RESET | Kind.CUT_AFTER_COMMIT:
                return self.stack.links.heal(fault.target).hit > 0
            case Kind.KILL_BROKER:
                self.stack.start_broker()
            case Kind.STOP_BROKER:
                self.stack.signal_broker(signal.SIGCONT)
            case Kind.RESTART_DATABASE:
                self.stack.start_database()
            case _:
                self._restart(_killed(fault))
        return False

    def _restart(self, names: Sequence[str]) -> None:
        for name in names:
            self.stack.restart(name)

    def _kill(self, names: Sequence[str]) -> bool:
        alive = [one for one in names if self._runs(one)]
        for name in alive:
            self.stack.kill(name)
        return len(alive) == len(names)

    def _runs(self, name: str) -> bool:
        process = self.stack.processes.get(name)
        return process is not None and process.popen.poll() is None

    def _kill_child(self, fault: Fault) -> bool:
        children = self.stack.children(fault.target) if self._runs(fault.target) else []
        if not children:
            return False
        chosen = random.Random(fault.number).choice(children)  # noqa: S311  # repeatable
        return _signal(chosen, signal.SIGKILL)

    def _stop_children(self, fault: Fault) -> bool:
        children = self.stack.children(fault.target) if self._runs(fault.target) else []
        self._pids[fault.number] = (children, time.time())
        return sum(_signal(pid, signal.SIGSTOP) for pid in children) > 0  # each of them

    def _go_on(self, fault: Fault) -> None:
        children, since = self._pids.pop(fault.number)
        for pid in children:
            _signal(pid, signal.SIGCONT)
        self.stopped.append(StopWindow(fault.target, since, time.time()))

    def _shift_clock(self, fault: Fault) -> bool:
        sign = 1 if fault.number % 2 else -1
        self.stack.shift_clock(fault.target, sign * CLOCK_SHIFT)
        return self._runs(fault.target)

    def _break_link(self, fault: Fault) -> Hit:
        links, link = self.stack.links, fault.target
        match fault.kind:
            case Kind.LATENCY:
                return links.latency(link, ms=SLOW, jitter=JITTER, seed=fault.number)
            case Kind.BLACKHOLE:
                return links.blackhole(link)
            case Kind.RESET:
                return links.reset(link)
            case _:
                return links.cut_after_commit(link, times=COMMITS_CUT)

    def _break_server(self, fault: Fault) -> bool:
        match fault.kind:
            case Kind.KILL_BROKER:
                self.stack.kill_broker()
            case Kind.STOP_BROKER:
                self.stack.signal_broker(signal.SIGSTOP)
            case Kind.FLUSH_BROKER:
                self.stack.flush_broker()
            case Kind.RESTART_DATABASE:
                self.stack.kill_database()
            case _:
                return self.stack.terminate_backends() > 0
        return True


def _killed(fault: Fault) -> Sequence[str]:
    """The processes that are gone as long as the fault lasts."""
    if fault.kind is Kind.NO_BEAT:
        return BEATS
    return (fault.target,) if fault.kind in _KILLS else ()


def _signal(pid: int, number: signal.Signals) -> bool:
    """Whether there was such a process."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
