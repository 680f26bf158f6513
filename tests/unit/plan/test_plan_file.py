"""Mistakes in a plan are told with file, line, key, the value seen and what would be right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from psycopg.pq import Conninfo

from cutoverd.daemon.host.environment import NOT_FOR_LIBPQ
from cutoverd.daemon.plan import fields
from cutoverd.daemon.plan.durations import seconds_of
from cutoverd.daemon.plan.load import BadPlan, load

PLAN = """\
run: night-1
state_dir: state
database: {url: postgresql://cutover@127.0.0.1/app}
health:
  - http: {url: "http://127.0.0.1:1/health"}
services:
  - name: api
    old: {start: [./api, start], stop: [./api, stop], status: [./api, status]}
schema: {files: ["schema/*.sql"]}
data: {scripts: ["data/*.sql"]}
validate:
  compare:
    - {name: t, old: SELECT 1 AS id, new: SELECT 1 AS id, key: [id]}
smoke:
  - command: ["true"]
traffic:
  - {close: ["true"], open: ["true"], status: ["true"]}
"""


@pytest.fixture
def write(tmp_path: Path):
    for name in ("schema/1.sql", "schema/2.sql", "data/1.sql"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("SELECT 1;\n")

    def written(text: str) -> Path:
        (tmp_path / "plan.yaml").write_text(text)
        return tmp_path / "plan.yaml"

    return written


def test_a_plan_without_mistakes_is_loaded(write):
    loaded = load(write(PLAN))
    assert [file.name for file in loaded.schema_files] == ["1.sql", "2.sql"]
    assert loaded.items()["data_scripts"] == ["data/1.sql"]
    assert loaded.items()["new_services"] == []
    assert set(loaded.hashes()) == {"schema/1.sql", "schema/2.sql", "data/1.sql"}


def test_what_a_service_writes_is_not_frozen_though_a_command_names_it(write):
    """Found: a daemon that took over after the new version had started refused to go on, because of its pid file."""
    path = write(
        PLAN.replace("[./api, start]", "[./api, start, --pidfile, run/api.pid, --state, state/door, --config, api.yaml]")
    )
    for name in ("api", "run/api.pid", "state/door", "api.yaml"):
        (path.parent / name).parent.mkdir(exist_ok=True)
        (path.parent / name).write_text("x")
    assert {name for name in load(path).files() if not name.endswith(".sql")} == {"api"}
    path.write_text(f"{path.read_text()}freeze: ['*.yaml']\n")
    assert {name for name in load(path).files() if not name.endswith(".sql")} == {"api", "api.yaml", "plan.yaml"}


def test_named_queries_are_steps_of_their_own(write):
    queries = "queries: [{name: overview, old: SELECT 1, new: SELECT 1}]"
    loaded = load(write(PLAN.replace("validate:\n", f"validate:\n  {queries}\n")))
    assert loaded.items()["queries"] == ["overview"]
    assert loaded.plan.validate_.queries[0].no_slower_than == 1.5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("run: night-1", "run: night.1", "plan.yaml:1: run: saw 'night.1'; a run's name has only"),
        ("run: night-1\n", "", "run; it is missing"),
        ("smoke:", "smoek:", "plan.yaml:14: smoek: saw [{'command': ['true']}]; there is no such key: did you mean smoke?"),
        ("key: [id]", "keys: [id]", "plan.yaml:13: validate.compare.0.keys: saw ['id']; there is no such key: did you mean key?"),
        ("schema: {files", "schema: {xyz: 1, files", "schema.xyz: saw 1; there is no such key; here may be: "),
        ("127.0.0.1/app", f"127.0.0.1/{'p' * 55}", "the name of its database has 55 bytes, and may have 54"),
        ("127.0.0.1/app", f"127.0.0.1/{'é' * 28}", "the name of its database has 56 bytes, and may have 54"),
        ("cutover@127", "cutover:secret@127", "a plan holds no password"),
        ("127.0.0.1/app", "127.0.0.1", "it names no database"),
        ('["true"], open', "true, open", "a command is a list of words"),
        (
            "start: [./api, start]",
            "start: ./api start",
            "plan.yaml:8: services.0.old.start: saw './api start'; a command is a list",
        ),
        ("start: [./api, start], stop", "systemd: api, stop", "`systemd` is not built yet"),
        ("schema/*.sql", "schemas/*.sql", "plan.yaml:9: schema.files: 'schemas/*.sql' names no file"),
        ('["data/*.sql"]', '["data/1.sql",\n  "dta/*.sql"]', "plan.yaml:11: data.scripts: 'dta/*.sql' names no file"),
        ('["data/*.sql"]', '[\n  {file: "dta/*.sql"}]', "plan.yaml:11: data.scripts: 'dta/*.sql' names no file"),
        ('["data/*.sql"]', '["data/*.sql",\n  1]', "plan.yaml:11: data.scripts.1: saw 1; Input should be a valid"),
        ('["data/*.sql"]', '[\n  {fil: "data/*.sql"}]', "plan.yaml:11: data.scripts.0.file; it is missing"),
        (
            '["data/*.sql"]',
            '[\n  {fil: "data/*.sql"}]',
            "data.scripts.0.fil: saw 'data/*.sql'; there is no such key: did you mean",
        ),
        ('["data/*.sql"]', '[{file: "data/*.sql",\n  probe: 1}]', "plan.yaml:11: data.scripts.0.probe: saw 1"),
        (
            'smoke:\n  - command: ["true"]',
            'smok:\n  - http: {url: "http://a:b@c/"}',
            "plan.yaml:14: smok; there is no such key: did you mean smoke?",
        ),
        ("run: night-1", "run: night-1\ngates: [lunch]", "plan.yaml:2: gates.0: saw 'lunch'; a gate is the name of the state"),
        (
            "run: night-1",
            "run: night-1\nmonitor: {for: 48}",
            "plan.yaml:2: monitor.for: saw 48; a duration is a number with a unit",
        ),
        ("run: night-1", "run: night-1\nwindow: {opens: 2026-12-05T22:00:00}", "a moment needs its time zone"),
        ("http://127.0.0.1:1/h", "http://me:hunter2@127.0.0.1:1/h", "a plan holds no user and password"),
        ("127.0.0.1/app", "127.0.0.1:99999/app", "plan.yaml:3: database.url: saw"),
        ("127.0.0.1/app", "127.0.0.1:0/app", "its port is no number from 1 to 65535: postgresql://role@host:port/DATABASE"),
        ("127.0.0.1:1/h", "127.0.0.1:99999/h", "its port is no number from 1 to 65535: http://host:8080/path"),
        ("127.0.0.1:1/h", "127.0.0.1:0/h", "its port is no number from 1 to 65535"),
        ("127.0.0.1:1/h", "xn--a/h", "its host is no name that can be looked up: letters, digits, '-' and '.'"),
        ("127.0.0.1:1/h", f"{'a' * 64}/h", "its host is no name that can be looked up"),
        ("127.0.0.1:1/h", "/h", "its host is no name that can be looked up"),
        ("run: night-1", "run: night-1\ndashboards: ['https://a..b/']", "its host is no name that can be looked up"),
        ("run: night-1", f"run: {'n' * 41}", "at most 40 of them"),
        ("run: night-1", "run: night-1\nwindow: {opens: 2026-12-05T22:00:00Z}\ngates: [cutover]", "`gates` must name downtime"),
        ("run: night-1", "run: night-1\noperators: [a.b]", "plan.yaml:2: operators.0: saw 'a.b'; an operator's name has only"),
        ("run: night-1", "run: night-1\noperators: [al, al]", "operators: al is there twice"),
        ("run: night-1", "run: night-1\ndashboards: ['http://me:hunter2@x/']", "a plan holds no user and password"),
        ("run: night-1", "run: night-1\nrehearsal: {database: 'postgresql://c:hunter2@db2/app'}", "a plan holds no password"),
        ("run: night-1", "run: night-1\nrehearsal: {database: 'postgresql://c@db2/app', skip: no time}", "one of the two"),
        ("run: night-1", "run: night-1\nmetrics: {listen: '127.0.0.1:1', scraped_within: 5}", "metrics.scraped_within: saw 5"),
        ("run: night-1", "run: [", "not YAML"),
        ("  compare:", "  grants: {waive: {reporting: ''}}\n  compare:", "plan.yaml:12: validate.grants.waive.reporting: saw ''"),
        (
            'command: ["true"]',
            "login: {url: postgresql://127.0.0.1/app}",
            "smoke.0.login.url: saw 'postgresql://127.0.0.1/app'; it na",
        ),
        ('command: ["true"]', 'login: {url: "service=x password=hunter2"}', "a plan holds no password"),
        ('command: ["true"]', 'login: {url: service=x}\n    command: ["true"]', "plan.yaml:15: smoke.0; a check is either"),
        (
            "  compare:",
            "  queries: [{name: q, old: SELECT 1, new: SELECT 1, no_slower_than: 0}]\n  compare:",
            "plan.yaml:12: validate.queries.0.no_slower_than: saw 0",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(write, old, new, message):
    assert old in PLAN
    with pytest.raises(BadPlan) as refused:
        load(write(PLAN.replace(old, new)))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("http://[::1", "it is no address that can be asked by HTTP: http://host:8080/path"),
        ("ftp://x", "it is no address that can be asked by HTTP"),
        ("localhost:8222", "it is no address that can be asked by HTTP"),
        ("http://127.0.0.1:99999", "its port is no number from 1 to 65535"),
        ("http://a..b:8222", "its host is no name that can be looked up"),
    ],
)
def test_a_monitoring_port_that_cannot_be_asked_is_refused_with_the_plan(write, url, right):
    """Found: it was any text, and what was odd about it ended the run in a traceback, or went unseen."""
    with pytest.raises(BadPlan) as refused:
        load(write(f"{PLAN}bus:\n  url: nats://127.0.0.1\n  monitoring: '{url}'\n"))
    assert f"plan.yaml:20: bus.monitoring: saw '{url}'; {right}" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("", "it is no address of a NATS server: nats://host:4222 or tls://host:4222"),
        ("nats://", "it is no address of a NATS server"),
        ("nats://[::1", "it is no address of a NATS server"),
        ("http://localhost:4222", "it is no address of a NATS server"),
        ("ws://localhost:4222", "it is no address of a NATS server"),
        ("nats://localhost:x", "its port is no number from 1 to 65535: nats://host:4222 or tls://host:4222"),
        ("nats://localhost:99999", "its port is no number from 1 to 65535"),
        ("nats:localhost", "its port is no number from 1 to 65535"),
        ("nats://a..b:4222", "its host is no name that can be looked up"),
        ("nats://a:4222,nats://b:4222", "it is more than one address; give one"),
    ],
)
def test_a_bus_that_cannot_be_reached_by_nats_is_refused_with_the_plan(write, url, right):
    """Found: it was any text, and what was odd about it ended every command in a traceback."""
    with pytest.raises(BadPlan) as refused:
        load(write(f"{PLAN}bus: {{url: '{url}'}}\n"))
    assert f"plan.yaml:18: bus.url: saw '{url}'; {right}" in str(refused.value)


@pytest.mark.parametrize("url", ["nats://me:hunter2@localhost:4222", "nats://hunter2@localhost", "me:hunter2@localhost:4222"])
def test_a_password_of_the_bus_is_refused_as_every_other_and_not_repeated(write, url):
    with pytest.raises(BadPlan) as refused:
        load(write(f"{PLAN}bus: {{url: '{url}'}}\n"))
    assert "bus.url: saw what may hold a password; a plan holds no user, password or token" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["nats://127.0.0.1", "tls://nats.example:4222", "localhost:4222", "localhost", "nats://[::1]:4222"]
)
def test_a_bus_that_nats_can_reach_is_taken(write, url):
    bus = load(write(f"{PLAN}bus: {{url: '{url}'}}\n")).plan.bus
    assert bus is not None
    assert bus.url == url


def test_a_password_is_not_repeated_in_the_refusal(write):
    with pytest.raises(BadPlan) as refused:
        load(write(PLAN.replace("cutover@127", "cutover:hunter2@127")))
    assert "hunter2" not in str(refused.value)


def test_half_a_password_is_not_taken_for_a_port_and_repeated(write):
    with pytest.raises(BadPlan) as refused:
        load(write(PLAN.replace("http://127.0.0.1:1/h", "http://me:hunter2/3@127.0.0.1:1/h")))
    assert "its port is no number" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("host", ["[::1]:80", "bücher.example", "api_1:8080", "localhost."])
def test_a_host_that_can_be_looked_up_is_taken(write, host):
    assert load(write(PLAN.replace("127.0.0.1:1/h", f"{host}/h"))).plan.run == "night-1"


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(BadPlan, match="cannot be read"):
        load(tmp_path / "plan.yaml")


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("90s", 90), ("15m", 900), ("4h", 14400), ("2d", 172800), ("1.5h", 5400)]
)
def test_durations(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "4", 4, "h", "-1s", "4 weeks", None])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="a duration is"):
        seconds_of(text)


SECRETS = [
    "cutover:hunter2@127.0.0.1/app",
    "cutover:hunter2@tail@127.0.0.1/app",
    "cutover:hun/ter2@127.0.0.1/app",
    "127.0.0.1/app?password=hunter2",
    "127.0.0.1/app?sslpassword=hunter2",
]


PAIRS = ["host=h dbname=x password = 'hunter2 tail'", "host=h dbname=x password=hunter2 tail"]


@pytest.mark.parametrize("url", [*(f"postgresql://{rest}" for rest in SECRETS), *PAIRS])
def test_no_part_of_a_password_is_repeated(write, url):
    with pytest.raises(BadPlan) as refused:
        load(write(PLAN.replace("postgresql://cutover@127.0.0.1/app", f'"{url}"')))
    assert not [part for part in ("hunter2", "tail", "hun", "ter2") if part in str(refused.value).replace("state", "")]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("postgresql://cutover@127.0.0.1/app", '"foo bar"', "database.url: saw 'foo bar'; libpq cannot read it: postgresql://"),
        ('"schema/*.sql"', '""', "schema.files: '' is no pattern for files"),
        ('"schema/*.sql"', '"**x.sql"', "schema.files: '**x.sql' is no pattern for files"),
        (
            '"schema/*.sql"',
            '"schema/2.sql", "schema/*.sql"',
            "schema.files: schema/2.sql is named by 'schema/2.sql' and by 'schema/*.sql'; it would run twice",
        ),
        ('"data/*.sql"', '"data/*.sql", "data/*.sql"', "data.scripts: data/1.sql is named by"),
        ("smoke:", "services: []\nsmoke:", "plan.yaml:14: services is there twice, first in line 6; keep one"),
        ("key: [id]", "key: [id], key: [no]", "plan.yaml:13: key is there twice, first in line 13; keep one"),
        ("run: night-1", "run: &run [*run]", "plan.yaml:1: run: saw"),
        ("run: night-1", "run: night-1\nmonitor: {for: 99999999999d}", "a duration is at most 366d"),
    ],
)
def test_a_mistake_that_would_have_been_taken_for_a_plan_is_told(write, old, new, message):
    assert old in PLAN
    with pytest.raises(BadPlan) as refused:
        load(write(PLAN.replace(old, new, 1)))
    assert message in str(refused.value)


def test_a_script_that_cannot_be_read_is_told_before_the_run_begins(write, monkeypatch):
    path = write(PLAN)
    opened = os.open

    def refused(file: Path, *how: int):
        if Path(file).name == "2.sql":
            raise PermissionError(13, "Permission denied", str(file))
        return opened(file, *how)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(BadPlan, match=r"schema\.files: schema/2\.sql cannot be read: Permission denied"):
        load(path)


def test_whoever_serves_metrics_says_how_fresh_a_scrape_has_to_be(write):
    asked = load(write(f"{PLAN}metrics: {{listen: '127.0.0.1:1'}}\n"))
    assert asked.items()["metrics"] == ["127.0.0.1:1"]
    not_asked = load(write(f"{PLAN}metrics: {{listen: '127.0.0.1:1', scraped_within: 0s}}\n"))
    assert not_asked.items()["metrics"] == []


def test_a_word_of_a_command_that_is_longer_than_a_file_name_can_be_is_no_file(write):
    statement = "SELECT " + "1 + " * 200 + "1"
    loaded = load(write(PLAN.replace('- command: ["true"]', f'- command: [psql, -c, "{statement}"]')))
    assert set(loaded.hashes()) == {"schema/1.sql", "schema/2.sql", "data/1.sql"}


def test_every_secret_that_libpq_knows_is_refused():
    """`*` is how libpq marks what a terminal must not show."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults() if option.dispchar == b"*"}
    assert {"password", "sslpassword"} <= known <= fields.SECRETS


@pytest.mark.parametrize("secret", sorted(fields.SECRETS & {option.keyword.decode() for option in Conninfo.get_defaults()}))
def test_a_secret_in_the_address_of_the_database_is_refused(write, secret):
    with pytest.raises(BadPlan, match="a plan holds no password") as refused:
        load(write(PLAN.replace("postgresql://cutover@127.0.0.1/app", f"'postgresql://cutover@127.0.0.1/app?{secret}=tiger'")))
    assert "tiger" not in str(refused.value)


def test_a_line_that_is_no_yaml_is_told_by_its_place_and_not_shown(write):
    """Found: the reader of YAML shows the line, and with it a password that should not be there."""
    with pytest.raises(BadPlan, match=r"plan\.yaml:4: not YAML: did not find expected ',' or '}'") as refused:
        load(write(PLAN.replace("127.0.0.1/app}", "127.0.0.1/app?password=tiger")))
    assert "tiger" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "url", "lacks"),
    [
        ("PGHOST", "postgresql://cutover@/app", "host"),
        ("PGHOSTADDR", "postgresql://cutover@/app", "host"),
        ("PGPORT", "postgresql://cutover@127.0.0.1/app", "port"),
        ("PGUSER", "postgresql://127.0.0.1/app", "user"),
        ("PGTARGETSESSIONATTRS", "'host=a,b dbname=app user=u port=5432'", "target_session_attrs"),
    ],
)
def test_a_server_that_the_environment_alone_names_is_refused_by_the_name_of_the_variable(
    write, name: str, url: str, lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "7")
    path = write(PLAN.replace("postgresql://cutover@127.0.0.1/app", url))
    with pytest.raises(BadPlan, match=f"3: database.url: saw {name}='7' in the environment, and no {lacks} in the URL; .* unset"):
        load(path)


@pytest.mark.parametrize("url", ["postgresql://cutover@127.0.0.1:5432/app", "service=production dbname=app"])
def test_a_variable_that_decides_nothing_is_in_nobodys_way(write, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NOT_FOR_LIBPQ:
        monkeypatch.setenv(name, "7")
    assert load(write(PLAN.replace("postgresql://cutover@127.0.0.1/app", url))).plan.run == "night-1"


@pytest.mark.parametrize("timeouts", ["step: 1h", "query: 5s"])
def test_a_rehearsal_with_another_time_out_of_its_steps_is_another(write, timeouts: str) -> None:
    """Found: a query that had 30 s in the rehearsal, and 5 s in the window, failed there for the first time."""
    before, after = [load(write(f"{PLAN}timeouts: {{{each}}}\n")) for each in ("http: 1s", timeouts)]
    assert before.rehearsed_sha256() != after.rehearsed_sha256()
    assert load(write(f"{PLAN}timeouts: {{http: 2s, fence: 5s}}\n")).rehearsed_sha256() == before.rehearsed_sha256()
