-- One schema per writer; each service sees its own through search_path and writes nothing else.
-- Every schema has the same mailboxes: outbox (messages owed), inbox (messages handled), leases (who does what
-- only one may do).

CREATE SCHEMA brain;
CREATE SCHEMA risk;
CREATE SCHEMA execute;
CREATE SCHEMA feed;
CREATE SCHEMA notify;

DO $$
DECLARE
    service text;
BEGIN
    FOREACH service IN ARRAY ARRAY['brain', 'risk', 'execute', 'feed', 'notify'] LOOP
        EXECUTE format($sql$
            CREATE TABLE %1$I.outbox (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                -- A message's id is a pure function of its cause: staging it twice is a no-op.
                event_id text NOT NULL UNIQUE,
                body bytea NOT NULL,
                staged_at timestamptz NOT NULL DEFAULT now(),
                sent_at timestamptz
            );
            CREATE INDEX outbox_unsent ON %1$I.outbox (staged_at) WHERE sent_at IS NULL;
            CREATE INDEX outbox_sent ON %1$I.outbox (sent_at) WHERE sent_at IS NOT NULL;

            CREATE TABLE %1$I.inbox (
                queue text NOT NULL,
                event_id text NOT NULL,
                handled_at timestamptz NOT NULL DEFAULT now(),
                PRIMARY KEY (queue, event_id)
            );
            CREATE INDEX inbox_handled ON %1$I.inbox (handled_at);

            CREATE TABLE %1$I.leases (
                name text PRIMARY KEY,
                holder text NOT NULL,
                -- Grows with every change of holder: work done under an old epoch is recognisable.
                epoch bigint NOT NULL,
                expires_at timestamptz NOT NULL
            );
        $sql$, service);
    END LOOP;
END
$$;
