"""Which tables a statement names, and what it needs of them."""

from __future__ import annotations

import pytest

from cutoverd.daemon.sqltext.mentions import mentions
from cutoverd.daemon.sqltext.splitter import Statement, split

STATEMENTS = {
    "ALTER TABLE IF EXISTS ONLY public.note ADD FOREIGN KEY (a) REFERENCES s.other (id)": [
        "public.note owner", "s.other privilege"
    ],
    'DROP TABLE IF EXISTS public."No te" CASCADE': ["public.No te owner"],
    'INSERT INTO shop.x SELECT n.id, note FROM public.item i JOIN "Note" n ON true': [
        "shop.x privilege", "public.item privilege", "Note privilege"
    ],
    "CREATE UNIQUE INDEX i ON public.note (id)": ["public.note owner"],
    "CREATE OR REPLACE TRIGGER t BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION f()": ["note owner"],
    "DROP POLICY p ON note": ["note owner"],
    "CREATE OR REPLACE VIEW public.v AS SELECT * FROM shop.t": ["public.v owner", "shop.t privilege"],
    "CREATE VIEW su.v AS SELECT * FROM t -- FROM comment": ["su.v privilege", "t privilege"],
    "CREATE TABLE IF NOT EXISTS su.t (id int)": ["su.t privilege"],
    "WITH note AS (SELECT 1) SELECT 'FROM text' FROM note, LATERAL (SELECT 1) q": [],
    "TRUNCATE public.note": ["public.note privilege"],
    "ALTER FUNCTION public.f(int) STABLE": ["public.f owner"],
    "COMMENT ON TABLE public.note IS 'x'": ["public.note owner"],
    "GRANT SELECT ON public.note TO PUBLIC": [],
    "DO $$ BEGIN IF true THEN DROP TABLE public.note; END IF; UPDATE public.b SET x = 1; END $$": [
        "public.note owner", "public.b privilege"
    ],
}  # fmt: skip
NO_NAMES = {"drop", "table", "if", "exists", "cascade", "comment", "on", "is", "policy", "not"}


@pytest.mark.parametrize("text", STATEMENTS)
def test_a_name_is_found_with_what_the_statement_needs_of_it(text: str) -> None:
    [statement] = [piece for piece in split(text) if isinstance(piece, Statement)]
    found = [mention for mention in mentions(statement) if mention.name[-1] not in NO_NAMES]
    assert [f"{'.'.join(mention.name)} {mention.need.value}" for mention in found] == STATEMENTS[text]
