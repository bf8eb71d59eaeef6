"""A provider that takes 100 messages a call on two channels: Devino, which serves Viber alone."""
