-- The same row gets the same id in every rehearsal; rows that come later get random ones.
CREATE FUNCTION common.migrated_id(kind text, key text) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN md5(kind || '/' || key)::uuid;

-- The old system wrote down what the clocks in Paris showed.
CREATE FUNCTION common.moment(shown timestamp) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN shown AT TIME ZONE 'Europe/Paris';

CREATE FUNCTION common.clock(moment timestamptz) RETURNS timestamp
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN moment AT TIME ZONE 'Europe/Paris';

CREATE FUNCTION common.cents(amount double precision) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN round(amount::numeric, 2);

-- People typed 'Active', 'ACTIVE' and ' active'.
CREATE FUNCTION common.spelled(word text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(lower(btrim(word)), 'unknown');

CREATE FUNCTION common.touch() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
