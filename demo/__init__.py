"""`make demo`: the whole engine on this machine, a campaign through it, and the books compared."""
