"""A package, or the fixtures of its scope would live as long as the whole session."""
