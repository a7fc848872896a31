-- Runs and everything that happens in them.
--
-- Conventions: columns named *_at are microseconds since 1970 in UTC, columns named *_us are microseconds; money is
-- GLM as an exact decimal in text, so it is added up outside SQL; *_no counts within a run; an *_id is the daemon's.
-- A row whose status is 'intended' was written before its request was sent: after a crash the daemon is asked
-- whether it came to be. Tables have names in the plural, as in PostgreSQL, where the singular ones are views.

PRAGMA application_id = 1196379211; -- "GOLK", so that we never write into somebody else's database

CREATE TABLE runs (
    run_no      INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, whatever was deleted
    run_id      TEXT    NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL,
    app_session TEXT    NOT NULL,  -- what agreements are confirmed with; the same after a restart
    version     TEXT    NOT NULL,  -- of the program that began the run
    job         TEXT    NOT NULL,  -- JSON: what was run and under which limits
    status      TEXT    NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'stopping', 'ended')),
    stopping_at INTEGER,
    stop_reason TEXT,              -- why no more work was begun
    ended_at    INTEGER,
    finish      TEXT,              -- JSON: how it ended
    waiting     TEXT               -- JSON: why nothing ran when it was last asked
) STRICT;

-- Who may write a run. The number grows with each new holder; a commit that names another one is refused.
CREATE TABLE leases (
    run_no   INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    lease_no INTEGER NOT NULL DEFAULT 0,
    host     TEXT,                 -- none while nobody holds it
    pid      INTEGER,
    process  TEXT,                 -- which process of that pid: when it started, as its system says it
    machine  TEXT,                 -- whose pids these are
    since_at INTEGER,
    heard_at INTEGER,
    cancel_at INTEGER,             -- when its holder was asked to stop
    commits  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE jobs (
    run_no      INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    job_no      INTEGER NOT NULL,
    added_at    INTEGER NOT NULL,
    deadline_at INTEGER,
    ended_at    INTEGER,
    end_reason  TEXT,
    finish      TEXT,              -- JSON: how it ended
    retries     INTEGER NOT NULL,  -- of each of its tasks
    exhausted_at INTEGER,          -- when its source had no more tasks
    PRIMARY KEY (run_no, job_no)
) STRICT;

CREATE TABLE allocations (
    run_no        INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
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

CREATE TABLE demands (
    run_no       INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    demand_id    TEXT    NOT NULL,
    published_at INTEGER NOT NULL,
    expires_at   INTEGER,
    ended_at     INTEGER,
    why          TEXT,
    PRIMARY KEY (run_no, demand_id)
) STRICT;

-- One rental with one provider, from the intent to sign to the settled bill.
CREATE TABLE rentals (
    run_no          INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
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
    created_at      INTEGER,
    approved_at     INTEGER,
    ended_at        INTEGER,
    ended_by        TEXT,
    end_reason      TEXT,              -- JSON, as the one who ended it gave it
    cost            TEXT    NOT NULL DEFAULT '0', -- accepted so far
    final_bill      TEXT,              -- 'accepted' or 'refused': the rental is settled
    bill_missing_at INTEGER,
    PRIMARY KEY (run_no, rental_no)
) STRICT;
CREATE INDEX rentals_agreement ON rentals (agreement_id);

CREATE TABLE activities (
    run_no      INTEGER NOT NULL,
    rental_no   INTEGER NOT NULL,
    activity_no INTEGER NOT NULL,      -- from 1 in its rental
    job_no      INTEGER NOT NULL DEFAULT 0,
    activity_id TEXT,
    status      TEXT    NOT NULL CHECK (status IN ('intended', 'created', 'ready', 'ended')),
    intended_at INTEGER NOT NULL,
    created_at  INTEGER,
    ready_at    INTEGER,
    ended_at    INTEGER,
    usage       TEXT,                  -- JSON: the usage vector it ended with
    failure     TEXT,
    PRIMARY KEY (run_no, rental_no, activity_no),
    FOREIGN KEY (run_no, rental_no) REFERENCES rentals ON DELETE CASCADE
) STRICT;
CREATE INDEX activities_id ON activities (activity_id);

-- One row a task; its result is here and nowhere else.
CREATE TABLE tasks (
    run_no       INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    task_no      INTEGER NOT NULL,
    job_no       INTEGER NOT NULL DEFAULT 0,
    status       TEXT    NOT NULL
                 CHECK (status IN ('waiting', 'running', 'done', 'failed', 'cancelled', 'expired')),
    attempt      INTEGER NOT NULL DEFAULT 0, -- the newest attempt; an outcome of an older one is dropped
    added_at     INTEGER NOT NULL,
    finished_at  INTEGER,
    failure_kind TEXT,
    failure      TEXT,
    data         TEXT    NOT NULL,     -- JSON
    result       TEXT,                 -- JSON
    stdout       TEXT,
    stdout_bytes BLOB,                 -- instead of it, where that isn't UTF-8 text
    stderr       TEXT,
    stderr_bytes BLOB,
    spawned      INTEGER NOT NULL DEFAULT 0, -- 1 where it came up on the way, beside the job's source
    forgiven     INTEGER NOT NULL DEFAULT 0, -- attempts up to this one no longer count: it is tried afresh
    reopened_at  INTEGER,              -- when it was last to be tried afresh
    no_result    INTEGER NOT NULL DEFAULT 0, -- 1 where it is done and has no result
    PRIMARY KEY (run_no, task_no)
) STRICT;
CREATE INDEX tasks_status ON tasks (run_no, status);

CREATE TABLE attempts (
    run_no       INTEGER NOT NULL,
    task_no      INTEGER NOT NULL,
    number       INTEGER NOT NULL,     -- from 1 in its task
    rental_no    INTEGER NOT NULL,
    activity_no  INTEGER,              -- the newest of its rental when it began
    outcome      TEXT CHECK (outcome IN ('done', 'failed', 'cancelled', 'lost')), -- none while it runs
    started_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    took_us      INTEGER,
    ran_before   INTEGER NOT NULL DEFAULT 0, -- tasks that ran on its machine before, where they may be why it failed
    failure_kind TEXT,
    failure      TEXT,
    stderr       TEXT,
    stderr_bytes BLOB,                 -- instead of it, where that isn't UTF-8 text
    PRIMARY KEY (run_no, task_no, number),
    FOREIGN KEY (run_no, task_no) REFERENCES tasks ON DELETE CASCADE,
    FOREIGN KEY (run_no, rental_no) REFERENCES rentals ON DELETE CASCADE
) STRICT;

CREATE TABLE bills (
    run_no       INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    bill_id      TEXT    NOT NULL,
    kind         TEXT    NOT NULL CHECK (kind IN ('debit_note', 'invoice')),
    rental_no    INTEGER,              -- none when it isn't for one of ours
    activity_no  INTEGER,              -- of a debit note: the newest of its rental when it came
    amount       TEXT    NOT NULL,     -- of a debit note: all that its activity owes so far
    status       TEXT    NOT NULL CHECK (status IN ('received', 'accepting', 'accepted', 'refused')),
    reason       TEXT,
    received_at  INTEGER NOT NULL,
    accepting_at INTEGER,
    decided_at   INTEGER,
    increase     TEXT,                 -- what it adds to what its rental's bills promised before
    PRIMARY KEY (run_no, bill_id),
    FOREIGN KEY (run_no, rental_no) REFERENCES rentals ON DELETE CASCADE
) STRICT;
CREATE INDEX bills_rental ON bills (run_no, rental_no);

-- What happened and has no row of its own above.
CREATE TABLE notes (
    note_no       INTEGER PRIMARY KEY,
    run_no        INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    at            INTEGER NOT NULL,
    kind          TEXT    NOT NULL,    -- the event's name
    provider_id   TEXT,
    provider_name TEXT,
    until_at      INTEGER,             -- of a provider that was set back
    text          TEXT    NOT NULL,    -- for people
    body          TEXT    NOT NULL     -- JSON: the event
) STRICT;
CREATE INDEX notes_run ON notes (run_no, kind);

-- The newest word on each provider whose offer a run has seen.
CREATE TABLE offers (
    run_no        INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    provider_id   TEXT    NOT NULL,
    provider_name TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('asked', 'agreed', 'refused', 'unfit')),
    reason        TEXT, -- why it was refused, in words that many share; 'refused' by the provider, 'unfit' by us
    above         TEXT, -- JSON: the price that was above its cap
    per_hour      TEXT,
    start_price   TEXT,
    agreed_at     INTEGER, -- when it first agreed to our terms
    seen_at       INTEGER NOT NULL,
    PRIMARY KEY (run_no, provider_id)
) STRICT;

-- What a run needs to go on, beside the tables above; for the program, which reads it when the run is resumed.

-- What isn't about a task, a job or a rental.
CREATE TABLE states (
    run_no INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    body   TEXT    NOT NULL        -- JSON
) STRICT;

-- Rentals that aren't settled. A row is deleted with what settles its rental.
CREATE TABLE open_rentals (
    run_no    INTEGER NOT NULL,
    rental_no INTEGER NOT NULL,
    body      TEXT    NOT NULL,    -- JSON
    PRIMARY KEY (run_no, rental_no),
    FOREIGN KEY (run_no, rental_no) REFERENCES rentals ON DELETE CASCADE
) STRICT;

-- Scripts that were sent for the attempts that a rental's worker has in its hands, in order.
CREATE TABLE scripts (
    run_no    INTEGER NOT NULL,
    rental_no INTEGER NOT NULL,
    script_no INTEGER NOT NULL,
    body      TEXT    NOT NULL,    -- JSON: the attempts, and the script
    PRIMARY KEY (run_no, rental_no, script_no),
    FOREIGN KEY (run_no, rental_no) REFERENCES rentals ON DELETE CASCADE
) STRICT;

-- What the daemon said last of a rental's money, when it was asked. Amounts count from the rental's begin.
CREATE TABLE payments (
    run_no    INTEGER NOT NULL,
    rental_no INTEGER NOT NULL,
    accepted  TEXT    NOT NULL,        -- promised
    scheduled TEXT    NOT NULL,        -- of that, in payment orders
    paid      TEXT    NOT NULL,        -- of that, confirmed by the chain
    failure   TEXT,                    -- what hindered the payment of the rest
    seen_at   INTEGER NOT NULL,
    PRIMARY KEY (run_no, rental_no),
    FOREIGN KEY (run_no, rental_no) REFERENCES rentals ON DELETE CASCADE
) STRICT;

-- What was tried in each rental of a run that has ended, so that providers are remembered without counting all attempts
-- again. Written with the run's end.
CREATE TABLE tallies (
    run_no    INTEGER NOT NULL,
    rental_no INTEGER NOT NULL,
    done      INTEGER NOT NULL,        -- attempts that made a result
    failed    INTEGER NOT NULL,
    task_us   INTEGER,                 -- the middle one of the times that results took
    newest_at INTEGER,                 -- when the last of these attempts ended
    PRIMARY KEY (run_no, rental_no),
    FOREIGN KEY (run_no, rental_no) REFERENCES rentals ON DELETE CASCADE
) STRICT;
CREATE INDEX rentals_intended ON rentals (intended_at);

-- Providers that no run of this database is to sign with, whatever becomes of the runs.
CREATE TABLE blocked_providers (
    provider_id   TEXT    NOT NULL PRIMARY KEY,
    provider_name TEXT    NOT NULL,    -- as it was known; empty where it wasn't
    reason        TEXT,
    blocked_at    INTEGER NOT NULL
) STRICT;

-- Services: each is kept up by a run of its own, whose row may come a moment later.
CREATE TABLE services (
    run_id     TEXT    NOT NULL PRIMARY KEY,
    stack      TEXT    NOT NULL,       -- the name by which `up` and `down` know the services of one file
    service    TEXT    NOT NULL,
    wanted     INTEGER NOT NULL,       -- instances
    network_id TEXT,                   -- of the daemon; whoever knows it can send into the network
    began_at   INTEGER NOT NULL,
    down_at    INTEGER,                -- when it was asked to end
    body       TEXT    NOT NULL        -- JSON: what other processes need of its description
) STRICT;
CREATE INDEX services_stack ON services (stack, service, began_at);

-- Their instances, as the process that keeps them up saw them last.
CREATE TABLE instances (
    run_id      TEXT    NOT NULL REFERENCES services ON DELETE CASCADE,
    number      INTEGER NOT NULL,      -- from 1 in its service
    turn        INTEGER NOT NULL,      -- another one when its agreement was renewed
    state       TEXT    NOT NULL,
    activity_id TEXT,
    changed_at  INTEGER NOT NULL,
    body        TEXT    NOT NULL,      -- JSON: all that is known of it
    deployed    TEXT,                  -- JSON: in which words its activity was deployed
    PRIMARY KEY (run_id, number, turn)
) STRICT;

-- Whoever deletes a run deletes all of it, also by way of a program that doesn't switch foreign keys on.
CREATE TRIGGER runs_deleted BEFORE DELETE ON runs BEGIN
    DELETE FROM scripts WHERE run_no = OLD.run_no;
    DELETE FROM open_rentals WHERE run_no = OLD.run_no;
    DELETE FROM payments WHERE run_no = OLD.run_no;
    DELETE FROM tallies WHERE run_no = OLD.run_no;
    DELETE FROM attempts WHERE run_no = OLD.run_no;
    DELETE FROM tasks WHERE run_no = OLD.run_no;
    DELETE FROM bills WHERE run_no = OLD.run_no;
    DELETE FROM activities WHERE run_no = OLD.run_no;
    DELETE FROM rentals WHERE run_no = OLD.run_no;
    DELETE FROM demands WHERE run_no = OLD.run_no;
    DELETE FROM allocations WHERE run_no = OLD.run_no;
    DELETE FROM jobs WHERE run_no = OLD.run_no;
    DELETE FROM notes WHERE run_no = OLD.run_no;
    DELETE FROM offers WHERE run_no = OLD.run_no;
    DELETE FROM states WHERE run_no = OLD.run_no;
    DELETE FROM leases WHERE run_no = OLD.run_no;
    DELETE FROM instances WHERE run_id = OLD.run_id;
    DELETE FROM services WHERE run_id = OLD.run_id;
END;
