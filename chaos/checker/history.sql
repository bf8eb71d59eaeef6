-- Installed before a run, from outside the product: every change of a state, as it was made.
CREATE SCHEMA chaos;

CREATE TABLE chaos.history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    attempt_id bigint,  -- either this
    message_id uuid,    -- or this
    old text,           -- null: the row is new
    new text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    transaction xid NOT NULL DEFAULT CAST(pg_current_xact_id() AS xid)
);

CREATE FUNCTION chaos.note_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.history (attempt_id, old, new)
    VALUES (NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END, NEW.state);
    RETURN NULL;
END $$;

CREATE FUNCTION chaos.note_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.history (message_id, old, new)
    VALUES (NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END, NEW.state);
    RETURN NULL;
END $$;

CREATE TRIGGER noted AFTER INSERT ON cascade.attempts
    FOR EACH ROW EXECUTE FUNCTION chaos.note_attempt();
CREATE TRIGGER changed AFTER UPDATE OF state ON cascade.attempts
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
    EXECUTE FUNCTION chaos.note_attempt();

CREATE TRIGGER noted AFTER INSERT ON cascade.messages
    FOR EACH ROW EXECUTE FUNCTION chaos.note_message();
CREATE TRIGGER changed AFTER UPDATE OF state ON cascade.messages
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
    EXECUTE FUNCTION chaos.note_message();
