"""Faults on purpose: the whole service is attacked while it works, and the sandbox is the judge."""
