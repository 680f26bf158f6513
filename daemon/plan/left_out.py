"""What `database.url` leaves out and libpq would take from the environment: that decides nothing, and is refused by its name.

Where the plan says it, the variable is not looked at (host/environment.py); where it does not, dropping it in silence would take
the run to another server than whoever set it had in mind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from psycopg.conninfo import conninfo_to_dict

FROM_ENVIRONMENT = {
    "PGHOST": ("host", "hostaddr"),
    "PGHOSTADDR": ("host", "hostaddr"),
    "PGPORT": ("port",),
    "PGUSER": ("user",),
    "PGTARGETSESSIONATTRS": ("target_session_attrs",),
}
DECIDES_ONLY_WITH_MANY_HOSTS = "PGTARGETSESSIONATTRS"


def left_to_environment(url: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Each variable by itself, with what would be right; of a service its file says all of that."""
    given = conninfo_to_dict(url)
    if given.get("service"):
        return
    for name, keywords in FROM_ENVIRONMENT.items():
        decides = name != DECIDES_ONLY_WITH_MANY_HOSTS or "," in str(given.get("host") or given.get("hostaddr") or "")
        if environment.get(name) and decides and not any(given.get(keyword) for keyword in keywords):
            yield (
                f"saw {name}={environment[name]!r} in the environment, and no {keywords[0]} in the URL; the plan alone says"
                f" where and as whom we connect: name the {keywords[0]} there, or unset {name}"
            )
