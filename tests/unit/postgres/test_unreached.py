"""Where no session could be had the hint is made from what libpq or the server said, and names where the mistake is."""

from __future__ import annotations

import psycopg
import pytest

from cutoverd.daemon.postgres.session.unreached import GENERAL_HINT, hint_for

URL = "postgresql://cutover@127.0.0.1:1/app"


@pytest.mark.parametrize(
    ("url", "environment", "hint"),
    [
        ("service=nope dbname=app", {}, "put a section [nope] into the file that PGSERVICEFILE names, or ~/.pg_service.conf"),
        (URL, {"PGSSLMODE": "bogus"}, "mend sslmode in PGSSLMODE=bogus"),
        (URL, {"PGREQUIREAUTH": "bogus"}, "mend require_auth in PGREQUIREAUTH=bogus"),
        (URL, {"PGSSLMINPROTOCOLVERSION": "x"}, "mend ssl_min_protocol_version in PGSSLMINPROTOCOLVERSION=x"),
        (f"{URL}?target_session_attrs=foo", {}, "mend target_session_attrs in database.url"),
        ("postgresql://cutover@127.0.0.1:99999/app", {}, "mend the port in database.url"),
        ("postgresql://cutover@nosuch.invalid/app", {}, "mend the host in database.url, or its name in DNS"),
        ("postgresql://cutover@/app?host=/nonexistent", {}, "no server listens in /nonexistent"),
        (URL, {}, "start the server, or mend host and port in database.url"),
    ],
)
def test_what_libpq_itself_says_has_its_hint(
    url: str, environment: dict[str, str], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: whatever was wrong, the hint was to see that the server runs. Libpq's own words are asked for here."""
    monkeypatch.setenv("PGSERVICEFILE", "/dev/null")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(psycopg.OperationalError) as error:
        psycopg.connect(url)
    assert hint in hint_for([str(error.value)], url)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("server does not support SSL, but SSL was required", "set ssl=on there, or mend sslmode"),
        ('FATAL:  password authentication failed for user "cutover"', "give the password of cutover in PGPASSFILE"),
        ("fe_sendauth: no password supplied", "give the password of our role in PGPASSFILE"),
        (
            'FATAL:  no pg_hba.conf entry for host "::1", user "cutover", database "app", no encryption',
            'a line in pg_hba.conf for host "::1", user "cutover", database "app", then reload',
        ),
        ('FATAL:  role "cutover" does not exist', "CREATE ROLE cutover, or mend the role in database.url"),
        ("session is read-only", "name the primary in database.url, or mend target_session_attrs"),
        ('FATAL:  invalid value for parameter "TimeZone": "Nope"', "mend TimeZone in options of database.url"),
        ("FATAL:  the database system is starting up", "wait until the server is up"),
        ("FATAL:  sorry, too many clients already", "end sessions that nobody needs"),
        ("connection timeout expired", "no answer: look at host and port in database.url"),
        ('root certificate file "/x/root.crt" does not exist', "put the authority's certificate at /x/root.crt"),
    ],
)
def test_what_a_server_says_has_its_hint(words: str, hint: str) -> None:
    assert hint in hint_for([words], URL)


def test_of_several_attempts_each_help_is_said_once_and_what_nobody_knows_has_a_general_one() -> None:
    assert hint_for(["Connection refused", "Connection refused"], URL).count("start the server") == 1
    assert hint_for(["FATAL:  das Datenbanksystem denkt nach"], URL) == GENERAL_HINT
