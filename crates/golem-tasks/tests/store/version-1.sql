PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO _sqlx_migrations VALUES(1,'runs','2026-11-22 05:32:19',1,X'38136536dfcc746e3a5223984124a1853098b8915c63c8cd4395efcd71b6c4344df7e326f78113ea3672f214a0fd92dc',687716);
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
INSERT INTO run VALUES(1,'ended',1795325539799014,'golem-tasks-ended','0.1.0','{"daemon":{"devnet":{"providers":3,"seed":7}},"driver":"erc20","job":"job.toml","limits":{"budget":"1","expiration_seconds":3600.0,"idle_timeout_seconds":900.0,"max_price":null,"max_price_per_hour":null,"max_start_price":null,"retries":1,"task_timeout_seconds":600.0,"workers":2},"network":"hoodi","payload":{"capabilities":[],"constraints":[],"image":{"hash":"9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae"},"min_cpu_cores":null,"min_cpu_threads":1,"min_mem_gib":0.5,"min_storage_gib":2.0,"properties":{},"runtime":"vm"},"subnet":"public"}','ended',1795325544814946,'{"why":"all_done","done":5,"failed":1,"unfinished":0,"cost":"0.001006476304166583","unsettled":0}',NULL);
INSERT INTO run VALUES(2,'cancelled',1795325544868546,'golem-tasks-cancelled','0.1.0','{"daemon":{"devnet":{"providers":3,"seed":7}},"driver":"erc20","job":"slow.toml","limits":{"budget":"1","expiration_seconds":3600.0,"idle_timeout_seconds":900.0,"max_price":null,"max_price_per_hour":null,"max_start_price":null,"retries":3,"task_timeout_seconds":600.0,"workers":2},"network":"hoodi","payload":{"capabilities":[],"constraints":[],"image":{"hash":"9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae"},"min_cpu_cores":null,"min_cpu_threads":1,"min_mem_gib":0.5,"min_storage_gib":2.0,"properties":{},"runtime":"vm"},"subnet":"public"}','ended',1795325553900319,'{"why":"cancelled","done":1,"failed":0,"unfinished":3,"cost":"0.001026726299997326","unsettled":0}',NULL);
INSERT INTO run VALUES(3,'killed',1795325553942685,'golem-tasks-killed','0.1.0','{"daemon":{"devnet":{"providers":3,"seed":7}},"driver":"erc20","job":"slow.toml","limits":{"budget":"1","expiration_seconds":3600.0,"idle_timeout_seconds":900.0,"max_price":null,"max_price_per_hour":null,"max_start_price":null,"retries":3,"task_timeout_seconds":600.0,"workers":2},"network":"hoodi","payload":{"capabilities":[],"constraints":[],"image":{"hash":"9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae"},"min_cpu_cores":null,"min_cpu_threads":1,"min_mem_gib":0.5,"min_storage_gib":2.0,"properties":{},"runtime":"vm"},"subnet":"public"}','running',NULL,NULL,NULL);
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
INSERT INTO allocation VALUES(1,1,'d08db684-5247-4754-a1f1-3cf526f144b6','erc20-hoodi-tglm','1','released',1795325539800054,1795325539800802,1795415539800356,1795325544816313);
INSERT INTO allocation VALUES(2,1,'d08db684-5247-4754-a1f1-3cf526f144b6','erc20-hoodi-tglm','1','released',1795325544880886,1795325544883142,1795415544882629,1795325553901644);
INSERT INTO allocation VALUES(3,1,'d08db684-5247-4754-a1f1-3cf526f144b6','erc20-hoodi-tglm','1','created',1795325553957149,1795325553961307,1795415553960651,NULL);
CREATE TABLE demand (
    run_no       INTEGER NOT NULL REFERENCES run,
    demand_id    TEXT    NOT NULL,
    published_at INTEGER NOT NULL,
    expires_at   INTEGER,
    ended_at     INTEGER,
    why          TEXT,
    PRIMARY KEY (run_no, demand_id)
) STRICT;
INSERT INTO demand VALUES(1,'4eb6985d26f14fd180aba8bf472ef3aa-d2884446186ce1494dff3871296cc927564a3208d55d38c726b19274ec1a3328',1795325539803832,1795329139802141,1795325542779394,'the run is stopping');
INSERT INTO demand VALUES(2,'4eb6985d26f14fd180aba8bf472ef3aa-d2884446186ce1494dff3871296cc927564a3208d55d38c726b19274ec1a3328',1795325544886226,1795329144883926,1795325547536093,'the run is stopping');
INSERT INTO demand VALUES(3,'4eb6985d26f14fd180aba8bf472ef3aa-d2884446186ce1494dff3871296cc927564a3208d55d38c726b19274ec1a3328',1795325553970944,1795329153969053,NULL,NULL);
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
INSERT INTO rental VALUES(1,1,'0xa9ae67124dbde1f8211b13827f56059451ed7a1f','amber-otter','R-392b9b46c35d6332fe62e45c7f4ba5f6b97e7f3c0c3b2b4f11a48656a91ea796','0.127','0.001','e2bd79f74ca12fab7aafb7ad0db799f26a825ec77558d81006913191d878febc','ended',NULL,1795325541303469,1795325541318290,1795325543416959,'requestor','{"message":"the tasks that are left have failed here","golem.requestor.code":"Cancelled"}','0.001001462498332999','accepted',NULL);
INSERT INTO rental VALUES(1,2,'0xb3237192ba89ad7389e86ccc7a569bcd209314c6','frosty-beaver','R-52b2b21d97c1440118a8764fcc2381fb1cbb439605331d7a9d3507d83d31640a','1.705','0','e4f08c2379fecb2174c5e8073290b66fb2e542375899f602161f9cec347938cb','ended',NULL,1795325541303469,1795325541320035,1795325543542530,'requestor','{"message":"all work is done","golem.requestor.code":"Success"}','0.0000018799225','accepted',NULL);
INSERT INTO rental VALUES(1,3,'0x9000b9bf61fd7f0461643a29b1bbc2753c99ec75','calm-dormouse','R-cb83994c0d982c4c4ecd474153fe6254cfd96ca1628f1cd572574c5067b50fe3','1.871','0','0223fbf6f9c93e6701d348a3ac5f83e35a7f40cd916ff01801ef6e05175c43cc','ended',NULL,1795325542645952,1795325542668987,1795325544184121,'requestor','{"message":"all work is done","golem.requestor.code":"Success"}','0.000003133883333584','accepted',NULL);
INSERT INTO rental VALUES(2,1,'0xa9ae67124dbde1f8211b13827f56059451ed7a1f','amber-otter','R-cb83994c0d982c4c4ecd474153fe6254cfd96ca1628f1cd572574c5067b50fe3','0.127','0.001','e2bd79f74ca12fab7aafb7ad0db799f26a825ec77558d81006913191d878febc','ended',NULL,1795325546384409,1795325546400199,1795325553651764,'requestor','{"message":"the requestor cancelled the run","golem.requestor.code":"Cancelled"}','0.001011695197497326','accepted',NULL);
INSERT INTO rental VALUES(2,2,'0xb1bbc2753c99ec750acf3c1f1d9b67d39ab97813','frosty-beaver','R-392b9b46c35d6332fe62e45c7f4ba5f6b97e7f3c0c3b2b4f11a48656a91ea796','1.705','0','e4f08c2379fecb2174c5e8073290b66fb2e542375899f602161f9cec347938cb','ended',NULL,1795325546384409,1795325546401477,1795325553653473,'requestor','{"message":"the requestor cancelled the run","golem.requestor.code":"Cancelled"}','0.0000150311025','accepted',NULL);
INSERT INTO rental VALUES(3,1,'0xa9ae67124dbde1f8211b13827f56059451ed7a1f','amber-otter','R-cb83994c0d982c4c4ecd474153fe6254cfd96ca1628f1cd572574c5067b50fe3','0.127','0.001','e2bd79f74ca12fab7aafb7ad0db799f26a825ec77558d81006913191d878febc','approved',NULL,1795325555469229,1795325555486456,NULL,NULL,NULL,'0',NULL,NULL);
INSERT INTO rental VALUES(3,2,'0xb3237192ba89ad7389e86ccc7a569bcd209314c6','frosty-beaver','R-52b2b21d97c1440118a8764fcc2381fb1cbb439605331d7a9d3507d83d31640a','1.705','0','e4f08c2379fecb2174c5e8073290b66fb2e542375899f602161f9cec347938cb','approved',NULL,1795325555469229,1795325555484612,NULL,NULL,NULL,'0',NULL,NULL);
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
INSERT INTO activity VALUES(1,1,1,'a00ed71fd272d320fdc7500ca4761727','ended',1795325541318290,1795325542073160,1795325542324726,1795325543416959,NULL,NULL);
INSERT INTO activity VALUES(1,2,1,'911a9f1703b4689dc400bd91baf9cce9','ended',1795325541320035,1795325542083857,1795325542325412,1795325543534342,NULL,NULL);
INSERT INTO activity VALUES(1,3,1,'bab33feca3d870bf5016f5937030ed3d','ended',1795325542668987,1795325543421014,NULL,1795325544172812,NULL,NULL);
INSERT INTO activity VALUES(2,1,1,'a00ed71fd272d320fdc7500ca4761727','ended',1795325546400199,1795325547153277,1795325547387735,1795325553651764,NULL,NULL);
INSERT INTO activity VALUES(2,2,1,'911a9f1703b4689dc400bd91baf9cce9','ended',1795325546401477,1795325547154843,1795325547417841,1795325553653473,NULL,NULL);
INSERT INTO activity VALUES(3,2,1,'a00ed71fd272d320fdc7500ca4761727','ready',1795325555484612,1795325556239170,1795325556506655,NULL,NULL,NULL);
INSERT INTO activity VALUES(3,1,1,'911a9f1703b4689dc400bd91baf9cce9','ready',1795325555486456,1795325556241262,1795325556534020,NULL,NULL,NULL);
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
INSERT INTO task VALUES(1,0,'done',1,1795325539802141,1795325542430719,NULL,NULL,'0','null','0',NULL);
INSERT INTO task VALUES(1,1,'done',1,1795325539802141,1795325542452758,NULL,NULL,'1','null','7',NULL);
INSERT INTO task VALUES(1,2,'done',1,1795325539802141,1795325542645799,NULL,NULL,'2','null','14',NULL);
INSERT INTO task VALUES(1,3,'failed',2,1795325539802141,1795325542779394,'command_failed','`sleep 0.1; test 3 -ne 3 || { echo no luck >&2; exit 3; }; echo -n $(( 3 * 7 ))`: ExeScript command exited with code 3','3',NULL,NULL,replace('no luck\n','\n',char(10)));
INSERT INTO task VALUES(1,4,'done',1,1795325539802141,1795325542558968,NULL,NULL,'4','null','28',NULL);
INSERT INTO task VALUES(1,5,'done',1,1795325539802141,1795325542672088,NULL,NULL,'5','null','35',NULL);
INSERT INTO task VALUES(2,0,'done',1,1795325544883926,1795325547402006,NULL,NULL,'0','null','0',NULL);
INSERT INTO task VALUES(2,1,'waiting',1,1795325544883926,NULL,NULL,NULL,'1',NULL,NULL,NULL);
INSERT INTO task VALUES(2,2,'waiting',1,1795325544883926,NULL,NULL,NULL,'2',NULL,NULL,NULL);
INSERT INTO task VALUES(2,3,'waiting',1,1795325544883926,NULL,NULL,NULL,'3',NULL,NULL,NULL);
INSERT INTO task VALUES(3,0,'done',1,1795325553969053,1795325556527324,NULL,NULL,'0','null','0',NULL);
INSERT INTO task VALUES(3,1,'running',1,1795325553969053,NULL,NULL,NULL,'1',NULL,NULL,NULL);
INSERT INTO task VALUES(3,2,'running',1,1795325553969053,NULL,NULL,NULL,'2',NULL,NULL,NULL);
INSERT INTO task VALUES(3,3,'running',1,1795325553969053,NULL,NULL,NULL,'3',NULL,NULL,NULL);
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
INSERT INTO attempt VALUES(1,0,1,1,'done',1795325542324726,1795325542430719,105668,NULL,NULL,NULL);
INSERT INTO attempt VALUES(1,1,1,2,'done',1795325542325412,1795325542452758,127239,NULL,NULL,NULL);
INSERT INTO attempt VALUES(1,2,1,1,'done',1795325542430872,1795325542645799,107055,NULL,NULL,NULL);
INSERT INTO attempt VALUES(1,3,1,1,'failed',1795325542430872,1795325542645935,215063,'command_failed','`sleep 0.1; test 3 -ne 3 || { echo no luck >&2; exit 3; }; echo -n $(( 3 * 7 ))`: ExeScript command exited with code 3',replace('no luck\n','\n',char(10)));
INSERT INTO attempt VALUES(1,4,1,2,'done',1795325542452898,1795325542558968,105538,NULL,NULL,NULL);
INSERT INTO attempt VALUES(1,5,1,2,'done',1795325542559108,1795325542672088,112809,NULL,NULL,NULL);
INSERT INTO attempt VALUES(1,3,2,2,'failed',1795325542672165,1795325542779394,107229,'command_failed','`sleep 0.1; test 3 -ne 3 || { echo no luck >&2; exit 3; }; echo -n $(( 3 * 7 ))`: ExeScript command exited with code 3',replace('no luck\n','\n',char(10)));
INSERT INTO attempt VALUES(2,0,1,1,'done',1795325547387735,1795325547402006,13954,NULL,NULL,NULL);
INSERT INTO attempt VALUES(2,1,1,1,'cancelled',1795325547402136,1795325552889942,5487806,NULL,NULL,NULL);
INSERT INTO attempt VALUES(2,2,1,1,'cancelled',1795325547402136,1795325552889942,5487806,NULL,NULL,NULL);
INSERT INTO attempt VALUES(2,3,1,2,'cancelled',1795325547417841,1795325552889942,5472101,NULL,NULL,NULL);
INSERT INTO attempt VALUES(3,0,1,2,'done',1795325556506655,1795325556527324,20373,NULL,NULL,NULL);
INSERT INTO attempt VALUES(3,1,1,2,NULL,1795325556527464,NULL,NULL,NULL,NULL,NULL);
INSERT INTO attempt VALUES(3,2,1,2,NULL,1795325556527464,NULL,NULL,NULL,NULL,NULL);
INSERT INTO attempt VALUES(3,3,1,1,NULL,1795325556534020,NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO bill VALUES(1,'94994526-3873-4e63-91ec-920744070f43','invoice',1,'0.001001462498332999','accepted',NULL,1795325543808578,1795325543811583);
INSERT INTO bill VALUES(1,'d5ef3666-54ad-426f-aba9-3fe2d01b38a5','debit_note',1,'0.001001462498332999','accepted',NULL,1795325543808979,1795325543811451);
INSERT INTO bill VALUES(1,'cec54adb-0387-488f-865a-f736d3310eea','debit_note',2,'0.0000018799225','accepted',NULL,1795325543809569,1795325543812355);
INSERT INTO bill VALUES(1,'3b3bdb4e-379e-49b4-a0eb-e302873d83a9','invoice',2,'0.0000018799225','accepted',NULL,1795325543809803,1795325543812371);
INSERT INTO bill VALUES(1,'178cca16-9651-4e33-8c61-c75810ae8bb0','debit_note',3,'0.000003133883333584','accepted',NULL,1795325543810343,1795325543812444);
INSERT INTO bill VALUES(1,'71b92f2b-9002-4fec-89c3-80ce08e413e1','invoice',3,'0.000003133883333584','accepted',NULL,1795325544813396,1795325544814946);
INSERT INTO bill VALUES(2,'c4984553-371b-412c-981b-edc51bb0eb1a','debit_note',1,'0.001011695197497326','accepted',NULL,1795325553896412,1795325553898545);
INSERT INTO bill VALUES(2,'148c8c7a-f030-438b-8834-24c746e14944','invoice',1,'0.001011695197497326','accepted',NULL,1795325553897755,1795325553900319);
INSERT INTO bill VALUES(2,'10040189-53fd-4a70-8d7c-26b178a45125','debit_note',2,'0.0000150311025','accepted',NULL,1795325553897842,1795325553899806);
INSERT INTO bill VALUES(2,'f4e9ffee-d20b-4001-b385-99f3003a03ff','invoice',2,'0.0000150311025','accepted',NULL,1795325553897861,1795325553899968);
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
INSERT INTO note VALUES(1,1,1795325542779394,'stopping',NULL,NULL,'','{"event":"stopping","why":"all_done"}');
INSERT INTO note VALUES(2,2,1795325547536093,'stopping',NULL,NULL,'','{"event":"stopping","why":"cancelled"}');
CREATE INDEX rental_agreement ON rental (agreement_id);
CREATE INDEX activity_id ON activity (activity_id);
CREATE INDEX task_status ON task (run_no, status);
CREATE INDEX bill_rental ON bill (run_no, rental_no);
CREATE INDEX note_run ON note (run_no, kind);
COMMIT;
PRAGMA application_id = 1196379211;
