-- Runs and everything that happened in them.
--
-- Conventions: columns named *_at are microseconds since 1970 in UTC, columns named *_us are microseconds; money is
-- GLM as an exact decimal in text, so it is added up outside SQL; *_no counts within a run; an *_id is the daemon's.
-- A row whose status is 'intended' was written before its request was sent: after a crash the daemon is asked
-- whether it came to be.

PRAGMA application_id = 1196379211; -- "GOLK", so that we never write into somebody else's database

CREATE TABLE run (
    run_no      INTEGER PRIMARY KEY,
    run_id      TEXT    NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL,
    app_session TEXT    NOT NULL,  -- what agreements are confirmed with; the same after a restart
    version     TEXT    NOT NULL,  -- of the program that began the run
    job         TEXT    NOT NULL,  -- JSON: what was run and under which limits
    status      TEXT    NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'stopping', 'ended')),
    ended_at    INTEGER,
    finish      TEXT,              -- JSON: how it ended
    waiting     TEXT               -- JSON: why nothing ran when it was last asked
) STRICT;

CREATE TABLE allocation (
    run_no        INTEGER NOT NULL REFERENCES run,
    allocation_no INTEGER NOT NULL,
    allocation_id TEXT,
    platform      TEXT,
    amount        TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('intended', 'created', 'released')),
    intended_at   INTEGER NOT NULL,
    created_at    INTEGER,
    expires_at    INTEGER,
    released_at   INTEGER,
    PRIMARY KEY (run_no, allocation_no),
    UNIQUE (run_no, allocation_id)
) STRICT;

CREATE TABLE demand (
    run_no       INTEGER NOT NULL REFERENCES run,
    demand_id    TEXT    NOT NULL,
    published_at INTEGER NOT NULL,
    expires_at   INTEGER,
    ended_at     INTEGER,
    why          TEXT,
    PRIMARY KEY (run_no, demand_id)
) STRICT;

-- One deal with one provider, from the intent to sign to the settled bill.
CREATE TABLE rental (
    run_no          INTEGER NOT NULL REFERENCES run,
    rental_no       INTEGER NOT NULL,
    provider_id     TEXT    NOT NULL,
    provider_name   TEXT    NOT NULL,
    proposal_id     TEXT    NOT NULL,
    per_hour        TEXT    NOT NULL,
    start_price     TEXT    NOT NULL,
    agreement_id    TEXT,
    status          TEXT    NOT NULL CHECK (status IN ('intended', 'created', 'approved', 'failed', 'ended')),
    failure         TEXT,
    intended_at     INTEGER NOT NULL,
    approved_at     INTEGER,
    ended_at        INTEGER,
    ended_by        TEXT,
    end_reason      TEXT,              -- JSON, as the one who ended it gave it
    cost            TEXT    NOT NULL DEFAULT '0', -- accepted so far
    final_bill      TEXT,              -- 'accepted' or 'refused': the deal is settled
    bill_missing_at INTEGER,
    PRIMARY KEY (run_no, rental_no)
) STRICT;
CREATE INDEX rental_agreement ON rental (agreement_id);

CREATE TABLE activity (
    run_no      INTEGER NOT NULL,
    rental_no   INTEGER NOT NULL,
    activity_no INTEGER NOT NULL,      -- from 1 in its rental
    activity_id TEXT,
    status      TEXT    NOT NULL CHECK (status IN ('intended', 'created', 'ready', 'ended')),
    intended_at INTEGER NOT NULL,
    created_at  INTEGER,
    ready_at    INTEGER,
    ended_at    INTEGER,
    usage       TEXT,                  -- JSON: the usage vector it ended with
    failure     TEXT,
    PRIMARY KEY (run_no, rental_no, activity_no),
    FOREIGN KEY (run_no, rental_no) REFERENCES rental
) STRICT;
CREATE INDEX activity_id ON activity (activity_id);

-- One row a task; its result is here and nowhere else.
CREATE TABLE task (
    run_no       INTEGER NOT NULL REFERENCES run,
    task_no      INTEGER NOT NULL,
    status       TEXT    NOT NULL CHECK (status IN ('waiting', 'running', 'done', 'failed')),
    attempt      INTEGER NOT NULL DEFAULT 0, -- the newest try; an outcome of an older one is dropped
    added_at     INTEGER NOT NULL,
    finished_at  INTEGER,
    failure_kind TEXT,
    failure      TEXT,
    data         TEXT    NOT NULL,     -- JSON
    result       TEXT,                 -- JSON
    stdout       TEXT,
    stderr       TEXT,
    PRIMARY KEY (run_no, task_no)
) STRICT;
CREATE INDEX task_status ON task (run_no, status);

CREATE TABLE attempt (
    run_no       INTEGER NOT NULL,
    task_no      INTEGER NOT NULL,
    number       INTEGER NOT NULL,     -- from 1 in its task
    rental_no    INTEGER NOT NULL,
    outcome      TEXT CHECK (outcome IN ('done', 'failed', 'cancelled', 'lost')), -- none while it runs
    started_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    took_us      INTEGER,
    failure_kind TEXT,
    failure      TEXT,
    stderr       TEXT,
    PRIMARY KEY (run_no, task_no, number),
    FOREIGN KEY (run_no, task_no) REFERENCES task,
    FOREIGN KEY (run_no, rental_no) REFERENCES rental
) STRICT;

CREATE TABLE bill (
    run_no      INTEGER NOT NULL REFERENCES run,
    bill_id     TEXT    NOT NULL,
    kind        TEXT    NOT NULL CHECK (kind IN ('debit_note', 'invoice')),
    rental_no   INTEGER,               -- none when it isn't for one of ours
    amount      TEXT    NOT NULL,      -- of a debit note: all that its activity owes so far
    status      TEXT    NOT NULL CHECK (status IN ('received', 'accepting', 'accepted', 'refused')),
    reason      TEXT,
    received_at INTEGER NOT NULL,
    decided_at  INTEGER,
    PRIMARY KEY (run_no, bill_id),
    FOREIGN KEY (run_no, rental_no) REFERENCES rental
) STRICT;
CREATE INDEX bill_rental ON bill (run_no, rental_no);

-- What happened and has no row of its own above.
CREATE TABLE note (
    note_no       INTEGER PRIMARY KEY,
    run_no        INTEGER NOT NULL REFERENCES run,
    at            INTEGER NOT NULL,
    kind          TEXT    NOT NULL,    -- the event's name
    provider_id   TEXT,
    provider_name TEXT,
    text          TEXT    NOT NULL,    -- for people
    body          TEXT    NOT NULL     -- JSON: the event
) STRICT;
CREATE INDEX note_run ON note (run_no, kind);
