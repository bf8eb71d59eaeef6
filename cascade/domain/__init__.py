"""Pure rules: no I/O, no clock, no framework. Whoever needs the time passes `now`."""
