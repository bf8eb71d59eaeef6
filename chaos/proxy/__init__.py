"""A TCP proxy between the processes of the service, which breaks the network on command.

`python -m chaos.proxy` serves the links; `Links` starts and commands it.
"""

from __future__ import annotations

from chaos.proxy.links import Hit, Links, ProxyError


__all__ = ["Hit", "Links", "ProxyError"]
