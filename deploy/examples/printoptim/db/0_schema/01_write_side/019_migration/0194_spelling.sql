CREATE TABLE migration.tb_spelling (
    subject text NOT NULL,
    spelling text,
    code text NOT NULL,
    rows bigint NOT NULL,

    UNIQUE NULLS NOT DISTINCT (subject, spelling)
);

COMMENT ON TABLE migration.tb_spelling IS 'Each way in which a word was typed, how often, and the code that it became.';

-- The codes that some subjects need; `unknown` is always one.
CREATE FUNCTION migration.codes(VARIADIC subjects text[]) RETURNS TABLE (code text)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT 'unknown' UNION SELECT spelling.code FROM migration.tb_spelling spelling WHERE subject = ANY (subjects) ORDER BY 1;
    END;
