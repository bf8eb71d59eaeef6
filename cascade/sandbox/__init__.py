"""Providers on loopback that speak real wire formats, and judge what they are sent.

It shares no code with the rest of Cascade: its words, prices and checks are its own, so that its
ledger can be held against Cascade's books.
"""
