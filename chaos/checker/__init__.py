"""The judge of the battery: what the providers say happened against what our tables say.

It shares no code with the product; what it knows of it are the tables' columns and the words of
`docs/guarantees.md`.
"""

from __future__ import annotations
