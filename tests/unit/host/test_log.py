"""The log is configured by the first line that is written: until then structlog is not even imported."""

from __future__ import annotations

from structlog.testing import capture_logs

from cutoverd.daemon.host.log import Logger, configure_at_first_use, configure_now


def test_the_first_line_configures_the_log_and_the_second_does_not() -> None:
    configured: list[str] = []
    configure_at_first_use(lambda: configured.append("once"))
    assert configured == []
    with capture_logs() as lines:
        Logger("a").warning("disk_full", free_bytes=1)
        Logger("b").error("disk_full", free_bytes=0)
    assert configured == ["once"]
    assert [(line["log_level"], line["free_bytes"]) for line in lines] == [("warning", 1), ("error", 0)]


def test_what_somebody_changes_of_the_configuration_is_not_undone_by_the_first_line() -> None:
    configured: list[str] = []
    configure_at_first_use(lambda: configured.append("the default"))
    configure_now()  # as the tree does, which takes the lines over
    configured.append("the tree's")
    with capture_logs():
        Logger("a").info("nats_reconnected")
    assert configured == ["the default", "the tree's"]
