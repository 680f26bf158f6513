-- Which of the given tables have row level security, for the owner too, or stand below one that has: (table, on, forced).
, above AS (
    SELECT r.oid AS leaf, r.oid FROM relations r WHERE r.name = ANY (%s::text[])
    UNION SELECT a.leaf, i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
)
SELECT r.name, bool_or(t.relrowsecurity), bool_or(t.relrowsecurity AND t.relforcerowsecurity)
  FROM above a JOIN relations r ON r.oid = a.leaf JOIN relations t ON t.oid = a.oid
 GROUP BY 1
