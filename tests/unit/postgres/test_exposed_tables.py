"""Partitions and children without row level security below a table that has it: only what is wider than in old is named."""

import pytest

from cutoverd.daemon.postgres.validation.rights import Exposed, Rights, RightsFinding, Security
from cutoverd.daemon.postgres.validation.widened import find_widened

JULY = Exposed("public.july", "public.year", 7, "reporting")


def rights(*exposed: Exposed, is_on: bool = True) -> Rights:
    policies = {"public.year": Security(is_on, False, 7, {}), "public.july": Security(False, False, 8, {})}
    owners = {("table", table): "app_owner" for table in policies}
    return Rights(frozenset(), {}, frozenset(), policies, frozenset(), owners, exposed=exposed)


def found(before: Rights, *exposed: Exposed) -> list[RightsFinding]:
    now = rights(*exposed)
    return [each for each in find_widened(before, now, []) if "below" in each.what]


def test_a_new_partition_that_walks_past_row_level_security_is_named_and_waived_by_name() -> None:
    (finding,) = found(rights(), Exposed("public.august", "public.year", 7, "app_user"))
    assert finding.text == "public.august (below public.year) to app_user"
    assert {"public.august", "app_user on public.august", "app_user"} <= set(finding.waivers)


@pytest.mark.parametrize(
    "now",
    [
        JULY,  # it was granted in old, or is a warning by its name
        Exposed("public.august", "public.year", 7, "reporting"),  # as each month before it
        Exposed("shop.tb_august", "shop.tb_year", 7, "reporting"),  # the same table above under a new name
        Exposed("public.july", "public.year", 7, "app_user"),
    ],
)
def test_what_a_role_could_walk_past_in_old_is_the_custom_of_that_database(now: Exposed) -> None:
    assert found(rights(JULY), now) == []


def test_where_old_had_no_row_level_security_nothing_is_wider() -> None:
    assert found(rights(is_on=False), Exposed("public.august", "public.year", 7, "app_user")) == []
