#!/usr/bin/env bash
# The runbook by hand, made to work: what a team would type, in this order. Prints `state seconds` for each part.
# Environment: URL of production, ADMIN_URL of the server, DATABASE, OWNER, FOLDER, STOP, START_NEW, START_OLD, HEALTH, SMOKE,
# CLOSE, OPEN (shell lines), SCHEMA, DATA, VALIDATION (files, a line each). `runbook.sh there` or `runbook.sh back`.
set -euo pipefail
ran() { local began=$EPOCHREALTIME; "$2"; awk -v s="$1" -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%s %.3f\n", s, b - a }'; }
sql() { PGOPTIONS="-c role=$OWNER" psql -X -q -v ON_ERROR_STOP=1 -d "$URL" "$@" > /dev/null; }
each() { while IFS= read -r file; do sql -1 -f "$file"; done <<< "$1"; }

back_up() { pg_dump -d "$URL" > "$FOLDER/backup.sql"; }
stop() { bash -c "$CLOSE"; bash -c "$STOP"; pg_dump -d "$URL" > "$FOLDER/final.sql"; }
schema() { each "$SCHEMA"; }
data() { each "$DATA"; }
validate() { each "$VALIDATION"; }
smoke() { bash -c "$START_NEW"; bash -c "$SMOKE"; }
cut_over() { bash -c "$OPEN"; bash -c "$HEALTH"; }
way_back() {
    bash -c "$CLOSE"; bash -c "$STOP"
    psql -X -q -d "$ADMIN_URL" -c "DROP DATABASE \"$DATABASE\"" -c "CREATE DATABASE \"$DATABASE\" OWNER \"$OWNER\""
    psql -X -q -v ON_ERROR_STOP=1 -d "$URL" -f "$FOLDER/final.sql" > /dev/null
    bash -c "$START_OLD"; bash -c "$OPEN"; bash -c "$HEALTH"
}

case $1 in
there)
    ran precheck back_up; ran downtime stop; ran schema schema; ran data data; ran validate validate; ran smoke smoke; ran cutover cut_over ;;
back) ran rollback way_back ;;
esac
