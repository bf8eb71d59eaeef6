"""PostgreSQL: the only place with SQL. Every statement works on a set, and its WHERE is its guard."""
