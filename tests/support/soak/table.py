"""What a soak has shown, in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from support.soak.moves import MOVES
from support.soak.proof import Result

from cutoverd.states import STATES, STUCK

FOUR = {
    "acknowledged writes lost without accept_loss": "lost",
    "production closed with nobody driving": "undriven",
    "deaf": "deaf",
    "tracebacks": "tracebacks",
}
BESIDES = "what else did not hold"


def table(results: Sequence[Result], minutes: float) -> str:
    """Moves, runs, ends, exit codes of daemons, and what must be none."""
    moves, states, ends, exits = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for each in results:
        moves += each.moves
        states += each.states
        ends[each.end] += 1
        exits += each.exits
    slowest = max((each.slowest_answer_seconds for each in results), default=0.0)
    rows = [
        ("runs", f"{len(results)} in {minutes:.1f} min, seeds {results[0].seed} to {results[-1].seed}" if results else "0"),
        *(("  end: " + end, str(count)) for end, count in sorted(ends.items())),
        ("moves", str(moves.total())),
        *(("  " + kind, str(moves[kind])) for kind in MOVES),
        ("moves by state", ", ".join(f"{state} {states[state]}" for state in (*STATES, STUCK) if states[state])),
        ("exit codes of daemons", ", ".join(f"{count} × {code}" for code, count in sorted(exits.items()))),
        ("writes acknowledged", str(sum(each.writes for each in results))),
        ("commands acknowledged", f"{sum(each.commands for each in results)}, the slowest answer after {slowest:.1f} s of calm"),
        *((name, str(sum(len(getattr(each, field)) for each in results))) for name, field in FOUR.items()),
        (BESIDES, str(sum(len(each.others) for each in results))),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
