"""A caller of its own process: sends one message from ten threads at once, all with one key.

`--die` ends it without a word once the message is committed, before the caller has its id.
"""

from __future__ import annotations

import os
import sys
import threading

from concurrent.futures import ThreadPoolExecutor

from cascade import Cascade
from cascade.dispatch import Dispatcher


THREADS = 10
DIED = 9  # exit code


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    if "--die" in sys.argv:
        Dispatcher.publish = lambda *_: os._exit(DIED)  # type: ignore[method-assign]
    cascade = Cascade.from_env()
    gate = threading.Barrier(THREADS)

    def send() -> str:
        gate.wait()
        return str(cascade.send(to="+79161234567", text="Ваш заказ собран", key="order-1024"))

    say("ready")
    sys.stdin.readline()
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(send) for _ in range(THREADS)]
        for future in futures:
            say(future.result())


if __name__ == "__main__":
    main()
