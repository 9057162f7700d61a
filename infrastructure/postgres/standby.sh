#!/bin/sh
# A standby of PostgreSQL: copies the primary once, then follows it. Arguments go to the server.
#
# PGDATA, PGPASSFILE and PRIMARY (a connection string without a password) say where; the replication slot `standby` makes
# the primary keep what has not been fetched yet. A copy that was interrupted is thrown away and made anew.
set -eu

copy=$PGDATA.copy
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    rm -rf "$copy" "$PGDATA"
    pg_basebackup --pgdata "$copy" --dbname "$PRIMARY" --slot standby --wal-method stream --checkpoint fast \
        --write-recovery-conf --no-password
    mv "$copy" "$PGDATA"
fi
exec postgres "$@"
