-- Least privilege: each role reads and writes its own schema and nothing else. No role may alter a table.

DO $$
DECLARE
    service text;
BEGIN
    FOREACH service IN ARRAY ARRAY['brain', 'risk', 'execute', 'feed', 'notify'] LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %1$I TO %2$I', service, 'phoenix_' || service);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %1$I TO %2$I',
                       service, 'phoenix_' || service);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %1$I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %2$I',
                       service, 'phoenix_' || service);
    END LOOP;
END
$$;

REVOKE UPDATE, DELETE ON risk.audit_log FROM phoenix_risk;
