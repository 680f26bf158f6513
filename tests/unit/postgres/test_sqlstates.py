"""Which of PostgreSQL's answers are certain, by SQLSTATE alone."""

from __future__ import annotations

import pytest
from psycopg import errors

from cutoverd.daemon.postgres.session.sqlstates import CLASSES, CODES, is_certain

CERTAIN = [
    errors.InvalidCatalogName, errors.InsufficientPrivilege, errors.UndefinedTable, errors.SyntaxError, errors.UniqueViolation,
    errors.ObjectInUse, errors.LockNotAvailable, errors.DiskFull, errors.TooManyConnections, errors.QueryCanceled,
    errors.SerializationFailure, errors.DeadlockDetected, errors.ReadOnlySqlTransaction, errors.RaiseException,
    errors.InternalError_, errors.DatabaseDropped, errors.InvalidPassword, errors.OutOfMemory, errors.IoError,
]  # fmt: skip
UNCERTAIN = [
    errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, errors.IdleSessionTimeout, errors.ConnectionFailure,
    errors.ConnectionException, errors.TransactionResolutionUnknown, errors.StatementCompletionUnknown,
    errors.IdleInTransactionSessionTimeout, errors.ProtocolViolation,
]  # fmt: skip


@pytest.mark.parametrize("error", CERTAIN)
def test_an_answer_that_will_be_the_same_again_is_certain(error: type[errors.Error]) -> None:
    assert is_certain(error.sqlstate)


@pytest.mark.parametrize("error", UNCERTAIN)
def test_an_end_of_the_session_leaves_open_what_became_of_it(error: type[errors.Error]) -> None:
    assert not is_certain(error.sqlstate)


def test_no_sqlstate_is_no_answer() -> None:
    assert not is_certain(None)
    assert not is_certain("")


def test_what_a_function_of_somebody_raises_is_an_answer() -> None:
    assert is_certain("CV001")
    assert is_certain("ZZ999")


def test_the_table_has_every_class_that_psycopg_knows() -> None:
    known = {code[:2] for code in errors._sqlcodes if len(code) == 5 and any(map(str.isdigit, code))} - {
        "00",
        "01",
        "02",
    }  # those are no errors
    assert known <= CLASSES.keys(), "say of each class whether it is certain"


def test_a_code_is_only_there_where_it_differs_from_its_class() -> None:
    assert not [code for code, certain in CODES.items() if CLASSES[code[:2]] is certain]
