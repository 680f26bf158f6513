"""Secrets of the daemon stay with it, and what programs print of them is masked before it is recorded."""

from __future__ import annotations

import os

import pytest
from psycopg.pq import Conninfo

from cutoverd.daemon.host import environment
from cutoverd.daemon.host.environment import MASK, NOT_FOR_LIBPQ, SECRETS, masked, withheld, without_secrets
from cutoverd.daemon.plan import fields

SECRET = "tiger's 50%"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGPASSWORD", SECRET)
    monkeypatch.setenv("NATS_USER", "cutover")
    monkeypatch.setenv("NATS_PASSWORD", "opensesame")


def test_what_libpq_takes_for_a_secret_from_the_environment_is_one_here() -> None:
    secret = {
        option.envvar.decode()
        for option in Conninfo.get_defaults()
        if option.keyword.decode() in fields.SECRETS and option.envvar
    }
    assert secret <= set(SECRETS)


def test_a_program_gets_all_but_the_secrets_and_those_that_are_named() -> None:
    assert without_secrets() == {name: value for name, value in os.environ.items() if name not in SECRETS}
    assert without_secrets(["NATS_PASSWORD"])["NATS_PASSWORD"] == "opensesame"
    assert withheld() == ["PGPASSWORD", "NATS_USER", "NATS_PASSWORD"]
    assert withheld(["PGPASSWORD", "NATS_USER"]) == ["NATS_PASSWORD"]


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (f"password={SECRET};", f"password={MASK};"),
        ("postgresql://cutover:tiger%27s%2050%25@host", f"postgresql://cutover:{MASK}@host"),
        ("nats: opensesame, opensesame", f"nats: {MASK}, {MASK}"),
        ("sesame\nit was cut before", f"{MASK}\nit was cut before"),
        ("cutover is a user's name, no secret", "cutover is a user's name, no secret"),
        ("nothing", "nothing"),
    ],
)
def test_a_secret_is_masked_as_it_is_as_part_of_an_address_and_cut_in_half(output: str, shown: str) -> None:
    assert masked(output) == shown


def test_a_user_alone_is_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATS_PASSWORD")
    assert masked("as cutover") == f"as {MASK}"


def test_what_is_passed_by_name_is_a_secret_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "abc-123")
    assert (masked("abc-123"), masked("abc-123", ["API_TOKEN"])) == ("abc-123", MASK)


def test_what_is_too_short_to_be_one_spoils_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "a")
    assert masked("a table") == "a table"


def test_every_variable_of_libpq_that_is_no_part_of_a_login_is_kept_from_it() -> None:
    """Found: PGHOSTADDR took every session to another server than `database.url` names."""
    known = {option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar}
    how_we_log_in = {name for name in known if name.startswith(("PGSSL", "PGPASS", "PGGSS", "PGREQUIRE", "PGOAUTH"))}
    others = {"PGCHANNELBINDING", "PGKRBSRVNAME", "PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION", "PGSCRAMCLIENTKEY"}
    assert known - how_we_log_in - others - {"PGSERVICEFILE", "PGREALM"} <= set(NOT_FOR_LIBPQ)


def test_what_is_kept_from_libpq_the_commands_of_the_plan_still_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "203.0.113.1")
    monkeypatch.setenv("PGSSLMODE", "require")
    environment.set_aside_for_libpq()
    assert "PGHOSTADDR" not in os.environ
    assert ("PGHOSTADDR" in environment.for_libpq(), environment.for_libpq()["PGSSLMODE"]) == (False, "require")
    assert without_secrets()["PGHOSTADDR"] == environment.as_given()["PGHOSTADDR"] == "203.0.113.1"


def test_psql_and_pg_dump_get_no_secret_of_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Found: NATS_PASSWORD was in their environment, where a file of the plan reads it by `\getenv`."""
    for name in SECRETS:
        monkeypatch.setenv(name, SECRET)
    assert environment.for_libpq().keys() & {*SECRETS} == {"PGPASSWORD"}
