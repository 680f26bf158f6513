"""The end of `cutoverd rehearse`: all that is wrong, what was not looked at, where the copy is, and what now."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cutoverd.daemon.cli import rehearse
from cutoverd.daemon.cli.rehearse import exit_code, format_age, format_end, format_progress
from cutoverd.daemon.control.rehearsal_steps import Finding, Rehearsal
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.postgres.backup.kept_copy import KeptDatabase
from cutoverd.daemon.progress import Progress, ProgressReading
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import StepKey

WEEK = 7 * 86400.0


def rehearsed(item: str) -> StepKey:
    return StepKey.of(PreCheck.rehearse.of(item))


def lines(done: Rehearsal) -> list[str]:
    return list(format_end(done, Path("plan.yaml"), max_age_seconds=WEEK))[1:]


def test_all_that_is_wrong_stands_together_in_the_words_of_the_window_and_what_helps_once() -> None:
    failed = [
        Finding(rehearsed("validate.compare:flights"), "2 rows are missing", "look at the script", keys=[[1], [2]]),
        Finding(rehearsed("validate.compare:routes"), "1 row is missing\nin new", "look at the script"),
        Finding(rehearsed("undo smoke.exchange_names"), "it is not as it was", ""),
    ]
    assert lines(Rehearsal(failed)) == [
        "not fit: 3 things are wrong",
        "  ✖ validate.compare:flights  2 rows are missing",
        "      keys: [[1], [2]]",
        "  ✖ validate.compare:routes  1 row is missing\n      │ in new",
        "      → look at the script",
        "  ✖ back: smoke.exchange_names  it is not as it was",
        "→ see to all of them, then `cutoverd rehearse plan.yaml` again: production is untouched",
    ]


def test_what_helps_is_said_once_though_something_else_was_found_between() -> None:
    """Found: of two comparisons with one hint, and a lost right between them, each repeated it."""
    kinds = {"compare:flights": "look at the script", "check_grants": "GRANT it", "compare:routes": "look at the script"}
    found = lines(Rehearsal([Finding(rehearsed(f"validate.{check}"), "no", hint) for check, hint in kinds.items()]))
    assert [line.strip() for line in found[1:-1]] == [
        "✖ validate.compare:flights  no",
        "✖ validate.compare:routes  no",
        "→ look at the script",
        "✖ validate.check_grants  no",
        "→ GRANT it",
    ]


def test_what_was_not_looked_at_is_named_with_why() -> None:
    hidden = [rehearsed(f"validate.compare:{n}") for n in range(42)]
    script = rehearsed("data.run_script:1.sql")
    found = lines(Rehearsal([Finding(script, "division by zero", "")], hidden, script))
    assert found[0] == "not fit: 1 thing is wrong"
    assert found[2] == "not looked at, because data.run_script:1.sql has failed: 42 steps"
    assert found[3] == "  ⚠ validate.compare:0"
    assert found[-2] == "  ⚠ and 2 more"
    assert found[-1].startswith("→ see to it, then ")


def test_what_is_kept_is_named_with_the_command_that_looks_at_it_and_the_one_that_drops_it() -> None:
    kept = [KeptDatabase("app_try_n", "the new database", "postgresql://cutover@db/app_try_n")]
    assert lines(Rehearsal(done=60, seconds=192.0, kept=kept)) == [
        "kept: app_try_n, the new database: psql 'postgresql://cutover@db/app_try_n'",
        "→ `cutoverd rehearse --drop plan.yaml` drops it; so does the next rehearsal without --again",
        "fit: 60 steps in 3:12, the window was taken on the copy and back",
        "→ `cutoverd run plan.yaml` within 7 days does not rehearse again, unless a file, the plan or the catalog changes",
    ]


def test_what_was_found_is_said_though_the_end_of_it_is_not_known() -> None:
    """Found: an outcome that nobody knew hid five findings before it, and said that nothing was wrong."""
    script = rehearsed("data.run_script:1.sql")
    done = Rehearsal([Finding(rehearsed("precheck.check_coverage"), "t is not compared", "")], [script], script)
    done.ended = Finding(script, "what became of it is not known: the connection was lost", "begin anew")
    assert lines(done) == [
        "not fit: 1 thing is wrong",
        "  ✖ precheck.check_coverage  t is not compared",
        "it could not be made: what became of it is not known: the connection was lost",
        "not looked at, because data.run_script:1.sql was not ended: 1 steps",
        "  ⚠ data.run_script:1.sql",
        "→ see to it, then `cutoverd rehearse plan.yaml` again: production is untouched",
    ]
    done.failed = []
    assert (lines(done)[0], lines(done)[-1]) == (
        "it could not be made: what became of it is not known: the connection was lost",
        "→ begin anew: production is untouched",
    )


def test_what_is_around_the_copy_is_not_called_wrong_and_the_exit_code_says_so() -> None:
    """Found: a session that somebody ended counted as a mistake of the script that it was in."""
    script = rehearsed("data.run_script:1.sql")
    done = Rehearsal([Finding(script, "terminating connection", "", is_around=True)])
    assert (lines(done)[0], exit_code(done)) == ("not rehearsed: 1 thing is in the way", Exit.ERROR)
    done.failed.append(Finding(script, "division by zero", ""))
    assert (lines(done)[0], exit_code(done)) == ("not fit: 2 things are wrong", Exit.ABORTED)


def test_a_path_with_a_space_can_be_pasted() -> None:
    found = list(format_end(Rehearsal([Finding(rehearsed("a.b"), "wrong", "")]), Path("my plans/p.yaml"), max_age_seconds=WEEK))
    assert "`cutoverd rehearse 'my plans/p.yaml'` again" in found[-1]


def test_that_an_earlier_one_counts_no_more_is_said() -> None:
    assert lines(Rehearsal([Finding(rehearsed("a.b"), "wrong", "")], revoked=True))[2].endswith("it counts no more")


def test_a_copy_that_is_left_hides_nothing_of_what_was_found() -> None:
    found = lines(Rehearsal([Finding(rehearsed("data.run_script:1.sql"), "No space left", "")], not_dropped="no room for it"))
    assert found[1:4] == [
        "  ✖ data.run_script:1.sql  No space left",
        "the copy is not dropped: no room for it",
        "→ `cutoverd rehearse --drop plan.yaml` drops them; so does the next rehearsal without --again",
    ]


def test_of_a_copy_that_the_team_has_made_nobody_says_that_it_is_dropped() -> None:
    """Found: `--drop` drops them, it said, and named the team's own among them."""
    copy = KeptDatabase("app", "the copy", "postgresql://h/app")
    given = list(format_end(Rehearsal(kept=[copy]), Path("plan.yaml"), max_age_seconds=WEEK, is_given=True))
    then = "puts your copy back, and drops what was made beside it; so does the next rehearsal without --again"
    assert given[2] == f"→ `cutoverd rehearse --drop plan.yaml` {then}"
    left = list(format_end(Rehearsal(not_dropped="its server is away"), Path("plan.yaml"), max_age_seconds=WEEK, is_given=True))
    assert left[1] == "your copy is not put back: its server is away"


def test_a_step_that_takes_long_says_how_far_it_is_or_that_nobody_can_tell() -> None:
    step = PreCheck.rehearse.of("data.run_script:1.sql")
    known = Progress(step, "forward", 1, 72.0, ProgressReading("1.sql:7, INSERT", 3, 4, "statements"))
    assert format_progress(known).endswith(" ▶ data.run_script:1.sql  1:12 by now  75%  3 of 4 statements, 1.sql:7, INSERT\n")
    assert format_progress(Progress(step, "forward", 1, 72.0)).endswith("  1:12 by now  how far it is nobody can tell\n")


@pytest.mark.parametrize(("seconds", "words"), [(WEEK, "7 days"), (86400, "1 day"), (43200, "12 hours"), (90, "1:30")])
def test_an_age_is_said_as_people_say_it(seconds: float, words: str) -> None:
    assert format_age(seconds) == words


def test_help_says_what_it_does_and_every_exit_code_and_keep_excludes_drop(tmp_path: Path) -> None:
    output = CliRunner().invoke(rehearse.app, ["--help"], terminal_width=200).output
    for words in ("Production is read, nothing else", "0 fit", "1 it could", "2 usage", "5 something", "6 stopped", "7 another"):
        assert words in " ".join(output.split()), output
    refused = CliRunner().invoke(rehearse.app, [str(tmp_path / "plan.yaml"), "--keep", "--drop"])
    assert refused.exit_code == 2
