-- Everything that only grows has an end: the three tables with the most rows become partitions of a month each, which are
-- dropped whole; the others get the indexes by which old rows are found. Since PostgreSQL 17 partitions share the identity
-- column of their parent, so a row that is moved says that it brings its number (OVERRIDING).
--
-- Expand: older code reads and writes these tables as before; it names no constraint of theirs. The rows that are there
-- become the first partition: no row is copied, the new primary key of brain.story is built while the table is locked.

-- A month's partition is made two months ahead, from what is in force when its month comes nearer. Rows outside of all
-- months (a clock that is ahead, bars of a tape from another year) are in the default partition until theirs is made.
CREATE FUNCTION public.keep_months(parent regclass, key text, kept_days integer) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog SET timezone = 'UTC'
AS $body$
DECLARE
    months_ahead CONSTANT integer := 2;
    rows_max CONSTANT integer := 5000;
    cutoff CONSTANT timestamptz := now() - make_interval(days => kept_days);
    home text;
    base text;
    child record;
    month timestamptz;
    name text;
    dropped integer := 0;
BEGIN
    SELECT nspname, relname INTO home, base FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = parent;
    -- One at a time over all replicas; who comes second finds it done at its next look.
    IF NOT pg_try_advisory_xact_lock(9500002, parent::oid::integer) THEN
        RETURN 0;
    END IF;
    FOR ahead IN 0 .. months_ahead LOOP
        month := date_trunc('month', now()) + make_interval(months => ahead);
        name := base || to_char(month, '"_y"YYYY"m"MM');
        CONTINUE WHEN to_regclass(format('%I.%I', home, name)) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', home, name, parent);
        EXECUTE format(
            'WITH moved AS (DELETE FROM %1$I.%2$I WHERE %3$I >= $1 AND %3$I < $2 RETURNING *)
             INSERT INTO %1$I.%4$I OVERRIDING SYSTEM VALUE SELECT * FROM moved', home, base || '_outside', key, name)
            USING month, month + interval '1 month';
        EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)', parent, home, name,
                       month, month + interval '1 month');
    END LOOP;
    FOR child IN
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = parent AND relname ~ '_y\d{4}m\d{2}$'
    LOOP
        month := to_date(right(child.relname, 7), 'YYYY"m"MM') + interval '1 month';
        IF month <= cutoff THEN
            EXECUTE format('DROP TABLE %I.%I', home, child.relname);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    EXECUTE format('DELETE FROM %1$I.%2$I WHERE ctid IN (SELECT ctid FROM %1$I.%2$I WHERE %3$I < $1 LIMIT $2)',
                   home, base || '_outside', key) USING cutoff, rows_max;
    RETURN dropped;
END
$body$;
REVOKE EXECUTE ON FUNCTION public.keep_months FROM PUBLIC;

SET LOCAL timezone = 'UTC';  -- months begin at midnight UTC

DO $$
DECLARE
    this_month CONSTANT timestamptz := date_trunc('month', now());
    next_month CONSTANT timestamptz := this_month + interval '1 month';
    grown record;
    reader record;
    readers text[];
    reader_sql text;
    oldest text;
    since text;
BEGIN
    FOR grown IN
        SELECT * FROM (VALUES ('brain', 'story', 'occurred_at', 'correlation_id, event_id, occurred_at'),
                              ('execute', 'equity_snapshots', 'taken_at', 'taken_at'),
                              ('feed', 'bars', 'opened_at', 'symbol, opened_at')) AS v (home, base, key, unique_by)
    LOOP
        readers := ARRAY[]::text[];
        FOR reader IN
            SELECT DISTINCT pg_class.oid FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = objid
            JOIN pg_class ON pg_class.oid = ev_class
            WHERE refobjid = format('%I.%I', grown.home, grown.base)::regclass AND relkind = 'v'
        LOOP
            readers := readers || format('CREATE OR REPLACE VIEW %s AS %s', reader.oid::regclass,
                                         pg_get_viewdef(reader.oid));
        END LOOP;
        oldest := grown.base || to_char(this_month, '"_y"YYYY"m"MM');
        EXECUTE format('ALTER TABLE %I.%I RENAME TO %I', grown.home, grown.base, oldest);
        EXECUTE format('CREATE TABLE %1$I.%2$I (LIKE %1$I.%3$I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING IDENTITY)
                        PARTITION BY RANGE (%4$I)', grown.home, grown.base, oldest, grown.key);
        EXECUTE format('ALTER TABLE %I.%I DROP CONSTRAINT %I', grown.home, oldest, grown.base || '_pkey');
        EXECUTE format('ALTER TABLE %I.%I ADD PRIMARY KEY (%s)', grown.home, oldest, grown.unique_by);
        EXECUTE format('ALTER TABLE %I.%I ADD CONSTRAINT %I PRIMARY KEY (%s)', grown.home, grown.base,
                       grown.base || '_pkey', grown.unique_by);
        EXECUTE format('CREATE TABLE %1$I.%2$I PARTITION OF %1$I.%3$I DEFAULT', grown.home, grown.base || '_outside',
                       grown.base);
        EXECUTE format('WITH moved AS (DELETE FROM %1$I.%2$I WHERE %3$I >= $1 RETURNING *)
                        INSERT INTO %1$I.%4$I OVERRIDING SYSTEM VALUE SELECT * FROM moved', grown.home, oldest, grown.key,
                       grown.base || '_outside') USING next_month;
        IF grown.base = 'story' THEN  -- ordered by its number where times are equal: the numbers go on
            EXECUTE format('ALTER TABLE brain.%I ALTER COLUMN id DROP IDENTITY', oldest);
            EXECUTE format('SELECT setval(pg_get_serial_sequence(''brain.story'', ''id''), max(id) + 1, false) FROM
                            (SELECT id FROM brain.%I UNION ALL SELECT id FROM brain.story_outside
                             UNION ALL SELECT 0) AS known', oldest);
        END IF;
        EXECUTE format('SELECT CASE WHEN EXISTS (SELECT FROM %I.%I) THEN ''MINVALUE'' ELSE quote_literal($1) END',
                       grown.home, oldest) INTO since USING this_month::text;
        EXECUTE format('ALTER TABLE %I.%I ATTACH PARTITION %I.%I FOR VALUES FROM (%s) TO (%L)', grown.home, grown.base,
                       grown.home, oldest, since, next_month);
        FOREACH reader_sql IN ARRAY readers LOOP
            EXECUTE reader_sql;
        END LOOP;
        PERFORM public.keep_months(format('%I.%I', grown.home, grown.base)::regclass, grown.key, 36500);
    END LOOP;
END
$$;

-- Services may not alter tables: each may keep the months of its own, and nothing else.
CREATE FUNCTION brain.keep_story(kept_days integer) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
AS $$ SELECT public.keep_months('brain.story'::regclass, 'occurred_at', kept_days) $$;
CREATE FUNCTION execute.keep_equity(kept_days integer) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
AS $$ SELECT public.keep_months('execute.equity_snapshots'::regclass, 'taken_at', kept_days) $$;
CREATE FUNCTION feed.keep_bars(kept_days integer) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
AS $$ SELECT public.keep_months('feed.bars'::regclass, 'opened_at', kept_days) $$;
REVOKE EXECUTE ON FUNCTION brain.keep_story, execute.keep_equity, feed.keep_bars FROM PUBLIC;
GRANT EXECUTE ON FUNCTION brain.keep_story TO phoenix_brain;
GRANT EXECUTE ON FUNCTION execute.keep_equity TO phoenix_execute;
GRANT EXECUTE ON FUNCTION feed.keep_bars TO phoenix_feed;

-- By which the old rows of the other tables are found.
CREATE INDEX signal_keys_by_signal ON brain.signal_keys (signal_id);
CREATE INDEX duplicates_by_original ON brain.duplicates (duplicate_of);
CREATE INDEX reservations_by_release ON risk.reservations (released_at) WHERE state = 'released';
