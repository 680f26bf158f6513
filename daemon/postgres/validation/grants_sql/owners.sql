-- Whose each object is: (kind, name, owner).
SELECT kind, name, pg_get_userbyid(owner)::text FROM objects WHERE kind <> 'column'
