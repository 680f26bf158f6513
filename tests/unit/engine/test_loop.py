"""The loop alone: a pretended world, a journal in memory."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from fakes.recording_ports import Night

from cutoverd.daemon.engine.errors import Conflict, ServerRefused
from cutoverd.daemon.engine.loop import Stopped
from cutoverd.daemon.engine.refusal_flood import ALONE, NOTES
from cutoverd.daemon.plan.freeze import PlanChanged
from cutoverd.daemon.runtime.drive import listen
from cutoverd.events import facts
from cutoverd.states.check_rules import Rule, Rules, Sample
from cutoverd.states.errors import CheckFailed, NotLeader, OutcomeUnknown


def failing(error: Exception):
    def fail():
        raise error

    return fail


async def hanging():
    await asyncio.sleep(3600)


def types_of(events: list[facts.Event]) -> list[str]:
    return [event.wire_type() for event in events]


async def test_a_run_without_faults_completes():
    night = Night()
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "completed"
    assert night.world.on == {"worker/new", "api/new", "door"}


async def test_services_stop_in_order_and_start_in_reverse():
    night = Night()
    await night.daemon()
    moved = [name for name in night.world.done if name.startswith("services.")]
    assert moved == [
        "services.stop.worker.old",
        "services.stop.api.old",
        "services.start.api.test",
        "services.stop.api.test",
        "services.start.api.new",
        "services.start.worker.new",
    ]


async def test_a_failed_comparison_takes_the_way_back_without_asking_anybody():
    night = Night()
    night.world.wrong["validation.compare.flights"] = failing(CheckFailed("3 rows differ", evidence={"keys": [1, 2, 3]}))
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "rolledback"
    assert night.world.on == {"worker/old", "api/old", "door"}
    failed = [event for event in await night.events() if isinstance(event, facts.StepFailed)]
    assert failed[0].evidence == {"keys": [1, 2, 3]}


async def test_the_way_back_undoes_newest_first():
    night = Night()
    night.world.wrong["checks.smoke.page"] = failing(CheckFailed("no"))
    await night.daemon()
    back = night.world.done[night.world.done.index("checks.smoke.page") + 1 :]
    assert back == [
        "databases.count_writes",
        "services.stop.api.test",
        "databases.exchange_back",
        "databases.written",
        "backups.end",
        "databases.close_old",
        "databases.keep_new",
        "databases.lift_fence",
        "services.start.api.old",
        "services.start.worker.old",
        "traffic.open.door",
        "checks.prove_health.old",
        "databases.leftovers",
    ]


async def test_the_way_back_does_not_need_to_know_what_was_written():
    night = Night()
    night.world.wrong["checks.smoke.page"] = failing(CheckFailed("no"))
    night.world.wrong["databases.written"] = failing(OutcomeUnknown("nobody gets in"))
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "rolledback"


async def test_the_way_back_says_that_not_all_that_was_written_could_be_counted():
    night = Night()
    night.world.wrong["checks.smoke.page"] = failing(CheckFailed("no"))
    night.world.wrong["databases.written"] = lambda: {"tables": {"public.t": {"inserted": 1}}, "complete": False}
    assert await night.daemon() is Stopped.OVER
    succeeded = [event for event in await night.events() if isinstance(event, facts.StepSucceeded)]
    [back] = [event for event in succeeded if (event.step, event.direction) == ("smoke.exchange_names", "back")]
    assert back.evidence["written"] == {"public.t": {"inserted": 1}}
    assert "what was written before it is not listed" in back.evidence["written_uncounted"]


async def test_a_service_that_did_not_run_before_is_not_started_by_the_way_back():
    night = Night()
    night.world.on = {"api/old", "door"}
    night.world.wrong["scripts.apply_schema"] = failing(CheckFailed("line 7"))
    await night.daemon()
    assert night.world.on == {"api/old", "door"}


async def test_a_door_that_was_closed_before_is_not_opened_by_the_way_back():
    night = Night()
    night.world.on = {"worker/old", "api/old"}
    night.world.wrong["scripts.apply_schema"] = failing(CheckFailed("line 7"))
    await night.daemon()
    assert night.world.on == {"worker/old", "api/old"}


async def test_a_failure_once_traffic_is_open_holds():
    night = Night()
    night.world.wrong["checks.prove_health.old"] = lambda: failing(CheckFailed("500"))() if "api/new" in night.world.on else {}
    assert await night.daemon() is Stopped.NEEDS_A_PERSON
    assert night.log.run.state == "cutover"
    assert night.log.run.held is not None
    assert "door" in night.world.on


async def test_a_door_that_proves_closed_lets_the_run_go_back_by_itself():
    night = Night()
    night.world.wrong["traffic.open.door"] = lambda: (
        failing(CheckFailed("the lb says no"))() if "api/new" in night.world.on else night.world._switch("open", ("door",))
    )
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "rolledback"
    probed = [event for event in await night.events() if isinstance(event, facts.StepProbed)]
    assert [(event.step, event.found) for event in probed] == [("cutover.open_traffic:door", "absent")]


async def test_a_rollback_after_traffic_was_open_needs_accept_loss():
    night = Night(watch_seconds=3600)
    daemon = asyncio.create_task(night.daemon())
    await night.until(lambda: night.log.run.state == "monitor")
    await night.say("rollback", reason="errors")
    await night.say("rollback", reason="errors", accept_loss=True)
    await daemon
    assert night.log.run.state == "rolledback"
    assert types_of(await night.events()).count("command_rejected") == 1


async def test_a_second_advance_is_refused_and_recorded():
    night = Night()
    daemon = asyncio.create_task(night.daemon(auto=False))
    await night.until(lambda: night.log.run.gate is not None)
    await night.say("advance")
    await night.say("advance")
    await night.until(lambda: night.log.run.gate is not None and night.log.run.gate.name == "cutover")
    events = types_of(await night.events())
    assert (events.count("gate_passed"), events.count("command_rejected")) == (1, 1)
    daemon.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await daemon


async def test_hold_now_cancels_the_step_and_resume_takes_it_again():
    night = Night()
    night.world.wrong["scripts.apply_schema"] = hanging
    daemon = asyncio.create_task(night.daemon())
    await night.until(lambda: "scripts.apply_schema" in night.world.done)
    await night.say("hold", now=True, reason="wait")
    assert await daemon is Stopped.NEEDS_A_PERSON
    assert night.log.run.held is not None
    del night.world.wrong["scripts.apply_schema"]
    await night.say("resume")
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "completed"
    assert night.world.done.count("scripts.apply_schema") == 2


async def test_rollback_ends_the_running_step_first():
    night = Night()
    night.world.wrong["scripts.run_script.1.sql"] = hanging
    daemon = asyncio.create_task(night.daemon())
    await night.until(lambda: "scripts.run_script.1.sql" in night.world.done)
    await night.say("rollback")
    await daemon
    assert night.log.run.state == "rolledback"
    events = types_of(await night.events())
    assert events.index("step_interrupted") > events.index("transitioned")


async def test_a_failure_reported_from_outside_turns_the_run():
    night = Night()
    night.world.wrong["validation.compare.flights"] = hanging
    daemon = asyncio.create_task(night.daemon())
    await night.until(lambda: "validation.compare.flights" in night.world.done)
    await night.say("fail", reason="a person counted")
    await daemon
    assert night.log.run.state == "rolledback"


async def test_a_lost_connection_is_no_failure_and_no_success():
    night, lost = Night(), [OutcomeUnknown("the server is gone")]
    night.world.wrong["databases.exchange"] = lambda: failing(lost.pop())() if lost else {}
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "completed"
    assert types_of(await night.events()).count("step_interrupted") == 1


async def test_an_outcome_that_stays_unknown_fails_in_the_end(monkeypatch):
    monkeypatch.setattr("cutoverd.daemon.engine.step_executor.SLOWEST_RETRY_SECONDS", 0.0)
    night = Night()
    night.world.wrong["databases.exchange"] = failing(OutcomeUnknown("the server is gone"))
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "rolledback"


async def test_a_step_that_hangs_is_timed_out():
    night = Night()
    night.world.wrong["scripts.apply_schema"] = hanging
    assert await night.daemon(step_seconds=0.05) is Stopped.OVER
    failed = [event for event in await night.events() if isinstance(event, facts.StepFailed)]
    assert failed[0].error == "TimedOut"


async def test_what_else_is_wrong_is_asked_until_its_time_is_over():
    night = Night()
    night.world.wrong["validation.check_grants"] = failing(CheckFailed("a right is lost"))
    night.world.wrong["validation.compare.flights"] = hanging
    assert await night.daemon(collect_seconds=0.1) is Stopped.OVER
    assert night.log.run.state == "rolledback"
    events = await night.events()
    [failed] = [event for event in events if isinstance(event, facts.ValidationFailed)]
    assert [each.step for each in failed.failures] == ["validate.check_grants"]
    assert "validate.compare:flights" in failed.not_checked
    [cut] = [event for event in events if isinstance(event, facts.StepInterrupted)]
    assert (cut.step, "the time for it is over" in cut.reason) == ("validate.compare:flights", True)


async def test_a_rehearsal_has_all_the_time_that_it_takes_to_say_what_is_wrong():
    """Found: `validate.collect`, which is of the window, ended it too."""
    night = Night(rehearses=True)
    night.copy.wrong["validation.check_grants"] = failing(CheckFailed("a right is lost"))
    night.copy.wrong["validation.compare.flights"] = lambda: asyncio.sleep(0.3, {})
    assert await night.daemon(collect_seconds=0.1) is Stopped.NEEDS_A_PERSON
    assert "collecting_ended" not in types_of(await night.events())
    [failed] = [event for event in await night.events() if isinstance(event, facts.ValidationFailed)]
    assert ([each.step for each in failed.failures], failed.not_checked) == (["precheck.rehearse:validate.check_grants"], [])


async def test_a_time_that_is_over_after_the_run_has_turned_is_nothing():
    night = Night()
    night.world.wrong["validation.check_grants"] = failing(CheckFailed("a right is lost"))
    night.world.wrong["databases.lift_fence"] = lambda: asyncio.sleep(0.2, {})
    assert await night.daemon(collect_seconds=0.1) is Stopped.OVER
    assert "collecting_ended" not in types_of(await night.events())


async def test_a_way_back_that_fails_is_stuck_and_retry_takes_it_again():
    night = Night()
    night.world.wrong["scripts.apply_schema"] = failing(CheckFailed("line 7"))
    night.world.wrong["databases.lift_fence"] = failing(CheckFailed("somebody is in"))
    assert await night.daemon() is Stopped.NEEDS_A_PERSON
    assert night.log.run.state == "stuck"
    del night.world.wrong["databases.lift_fence"]
    await night.say("retry")
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "rolledback"
    assert night.world.done.count("databases.keep_new") == 1


async def test_a_failed_precheck_stays_and_abort_ends_it():
    night = Night()
    night.world.wrong["databases.check_fit"] = failing(CheckFailed("no"))
    assert await night.daemon() is Stopped.NEEDS_A_PERSON
    assert night.log.run.state == "precheck"
    await night.say("abort", reason="not tonight")
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "aborted"


async def test_retry_of_a_plan_that_was_corrected_is_refused_and_not_the_old_one_tried_again():
    """Found: after `window.budget` was corrected in the plan, `retry` tried the old one again, without a word."""
    night = Night()
    night.world.wrong["databases.check_fit"] = failing(CheckFailed("no"))
    await night.daemon()
    night.check_plan = lambda run: failing(PlanChanged("run night began with other contents of: plan.yaml", hint="`abort` it"))()
    await night.say("retry")
    assert await night.daemon() is Stopped.NEEDS_A_PERSON
    [refused] = [event for event in await night.events() if isinstance(event, facts.CommandRejected)]
    assert refused.reason == "run night began with other contents of: plan.yaml: `abort` it"
    assert "abort" in refused.next
    assert "retry" not in refused.next
    assert night.world.done.count("databases.check_fit") == 1, "nothing was tried again"
    assert night.log.run.failure.reason == "no", "what had failed is still told"


async def test_an_abort_that_failed_is_tried_again_whatever_was_changed():
    night = Night()
    night.check_plan = lambda run: failing(PlanChanged())()
    night.world.wrong["databases.drop_placeholder"] = failing(CheckFailed("somebody is in"))
    daemon = asyncio.create_task(night.daemon(auto=False))
    await night.until(lambda: night.log.run.gate is not None)
    await night.say("abort")
    await night.until(lambda: night.log.run.failure is not None)
    night.world.wrong.clear()
    await night.say("retry")
    async with asyncio.timeout(5):
        assert await daemon is Stopped.OVER
    assert night.log.run.state == "aborted"


async def test_abort_drops_the_placeholder_and_what_a_killed_proof_left():
    night = Night()
    daemon = asyncio.create_task(night.daemon(auto=False))
    await night.until(lambda: night.log.run.gate is not None)
    await night.say("abort")
    await daemon
    assert night.log.run.state == "aborted"
    assert night.world.done[-2:] == ["databases.drop_placeholder", "backups.clear"]


async def test_cheap_checks_are_made_once_more_after_the_gate():
    night = Night()
    await night.daemon()
    assert night.world.done.count("databases.check_fit") == 2
    assert night.world.done.count("backups.prove") == 1


@pytest.mark.parametrize("steps", range(1, 60, 3))
async def test_a_daemon_that_dies_anywhere_is_followed_by_one_that_finishes(steps):
    """Die after the n-th message: the next daemon reads the journal and goes on; no switch is thrown twice unprobed."""
    night = Night()
    daemon = asyncio.create_task(night.daemon())
    with contextlib.suppress(TimeoutError, asyncio.CancelledError):
        await night.until(lambda: len(night.stream.messages) >= steps or daemon.done())
        daemon.cancel()
        await daemon
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "completed"
    assert night.world.on == {"worker/new", "api/new", "door"}
    moved = [name for name in night.world.done if name.startswith(("services.", "traffic."))]
    assert len(moved) == len(set(moved))


class Deaf:
    """Commands that cannot be read any more."""

    async def read(self, start: int):
        raise ServerRefused("the connection to NATS was closed for good")
        yield


@pytest.mark.parametrize("where", ["at a gate", "in a step"])
async def test_a_daemon_that_cannot_hear_any_more_stops_and_says_why(where: str):
    night = Night()
    if where == "in a step":
        night.world.wrong["checks.prove_health.old"] = hanging
    daemon = asyncio.create_task(night.daemon(auto=False))
    await night.until(lambda: night.log.run.gate is not None or "checks.prove_health.old" in night.world.done)
    await listen(Deaf(), 1, night.inbox)
    async with asyncio.timeout(5):
        with pytest.raises(ServerRefused, match="closed for good"):
            await daemon


BAD, GOOD = Sample(True, 9.0, "9"), Sample(True, 0.0, "0")


def watched(night: Night, sample: Sample) -> Night:
    night.world.monitor_checks.rules = Rules({"errors": Rule(0.05, above=1.0)}, every_seconds=0.01)
    night.world.monitor_checks.samples = {"errors": sample}
    return night


async def let_in(night: Night) -> asyncio.Task[Stopped]:
    """A daemon with an operator, who lets it through both gates."""
    daemon = asyncio.create_task(night.daemon(auto=False))
    for gate in ("downtime", "cutover"):
        await night.until(lambda gate=gate: night.log.run.gate is not None and night.log.run.gate.name == gate)
        await night.say("advance")
    await night.until(lambda: night.world.monitor_checks.kept is not None)
    return daemon


async def test_a_breach_holds_the_run_and_is_on_record_before_the_failure():
    night = watched(Night(watch_seconds=60), BAD)
    assert await night.daemon() is Stopped.NEEDS_A_PERSON
    assert night.log.run.held is not None
    assert night.log.run.held.reason.startswith("monitor.watch: errors: 9, allowed up to 1")
    assert "door" in night.world.on
    types = types_of(await night.events())
    assert types[-3:] == ["check_breached", "step_failed", "run_held"]


async def test_a_held_run_goes_on_being_watched_and_resume_ends_the_watch_when_it_should():
    night = watched(Night(watch_seconds=1.0), BAD)
    daemon = await let_in(night)
    await night.until(lambda: night.log.run.held is not None)
    night.world.monitor_checks.samples = {"errors": GOOD}
    await night.until(lambda: not night.log.run.breached)
    assert night.log.run.held is not None, "it is a person who goes on"
    await night.say("note", reason="the deploy was rolled forward")
    await night.say("resume")
    assert await daemon is Stopped.OVER
    assert night.log.run.state == "completed"
    types = types_of(await night.events())
    assert types.count("check_breached") == types.count("check_recovered") == 1
    assert types.index("check_recovered") < types.index("run_resumed")


async def test_hold_in_monitor_ends_no_watch_and_hold_now_is_watched_on():
    night = watched(Night(watch_seconds=60), GOOD)
    daemon = await let_in(night)
    for now in (False, True):
        await night.say("hold", now=now)
        await night.until(lambda now=now: night.log.run.held is not None and night.log.run.held.now is now)
        rounds = night.world.monitor_checks.kept.rounds
        await night.until(lambda rounds=rounds: night.world.monitor_checks.kept.rounds > rounds + 1)
    daemon.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await daemon


async def test_a_daemon_that_may_lead_no_more_learns_it_while_the_run_is_held():
    night = watched(Night(watch_seconds=60), BAD)
    daemon = await let_in(night)
    await night.until(lambda: night.log.run.held is not None)
    night.world.monitor_checks.wrong = NotLeader("epoch 1 may start no check")
    async with asyncio.timeout(5):
        with pytest.raises(NotLeader):
            await daemon


async def test_a_flood_of_refused_commands_is_one_event_and_who_counts_is_heard_after_it():
    """Found: an event for each of 20,000 took the daemon hours, and filled the stream."""
    night = Night()
    daemon = asyncio.create_task(night.daemon(auto=False))
    await night.until(lambda: night.log.run.gate is not None)
    for n in range(500):
        await night.say("resume", reason=str(n))
    last_seq = night.stream.messages[-1].seq
    await night.say("advance")
    await night.until(lambda: "gate_passed" in night.types())
    refused = [event for event in await night.events() if isinstance(event, facts.CommandRejected)]
    (flood,) = [event for event in await night.events() if isinstance(event, facts.CommandsRejected)]
    assert (len(refused), flood.count) == (ALONE, 500 - ALONE)
    assert (flood.last.seq, flood.last.reason, flood.first.by) == (last_seq, "the run is not held", "alice")
    assert flood.first.seq > night.log.run.started_seq
    daemon.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await daemon


async def test_a_flood_that_nobody_ends_is_put_on_record_all_the_same():
    night = Night()
    daemon = asyncio.create_task(night.daemon(auto=False))
    await night.until(lambda: night.log.run.gate is not None)
    for _ in range(50):
        await night.say("resume")
    last_seq = night.stream.messages[-1].seq
    await night.until(lambda: night.log.run.command_position == last_seq)
    assert sum(event.count for event in await night.events() if isinstance(event, facts.CommandsRejected)) == 50 - ALONE
    daemon.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await daemon


async def test_of_a_flood_of_notes_the_first_are_kept_and_the_rest_is_refused():
    night = Night()
    daemon = asyncio.create_task(night.daemon(auto=False))
    await night.until(lambda: night.log.run.gate is not None)
    for n in range(500):
        await night.say("note", reason=str(n))
    await night.say("advance")
    await night.until(lambda: "gate_passed" in night.types())
    kept = night.types().count("note_taken")
    refused = sum(event.count for event in await night.events() if isinstance(event, facts.CommandsRejected))
    assert NOTES <= kept < 100
    assert kept + refused == 500
    daemon.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await daemon


async def test_what_was_refused_of_a_flood_is_on_record_before_the_run_ends():
    """Found: `rollback` was sent after `fail` in a flood, the run was back within a second, and nobody answered the sender."""
    night = Night()
    daemon = asyncio.create_task(night.daemon(auto=False))
    await night.until(lambda: night.log.run.gate is not None)
    await night.say("advance")
    await night.until(lambda: night.log.run.gate is not None and night.log.run.gate.name == "cutover")
    for _ in range(ALONE):
        await night.say("resume")
    await night.say("fail", reason="seen outside")
    for _ in range(3):
        await night.say("fail", reason="again")
    last_seq = night.stream.last("cutover.cmd.alice")
    assert await daemon is Stopped.OVER
    assert night.log.run.command_position == last_seq


async def test_a_command_whose_answer_met_a_conflict_is_answered_on_the_new_end(monkeypatch):
    """Found: it had left the inbox, and the next command moved the position past it: a `fail` in the stream was never heard."""
    night = Night()
    daemon = asyncio.create_task(night.daemon(auto=False))
    await night.until(lambda: night.log.run.gate is not None)
    append, refused = night.log._journal.append, []

    async def rival_was_there(id: str, body: bytes) -> int:
        if not refused:
            refused.append(id)
            raise Conflict("another daemon has appended")
        return await append(id, body)

    monkeypatch.setattr(night.log._journal, "append", rival_was_there)
    await night.say("fail", reason="seen outside")
    await night.until(lambda: bool(refused))
    await night.say("note", reason="after it")
    await night.until(lambda: "note_taken" in night.types())
    assert night.types().count("failure_reported") == 1
    daemon.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await daemon
