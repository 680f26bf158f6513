"""Every command of a plan, and every address that it logs in to, with the keys that name them."""

from __future__ import annotations

from collections.abc import Iterator

from cutoverd.daemon.plan.model import Plan
from cutoverd.daemon.plan.systems import CheckSection, Service


def commands(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    """("services.api.new.start", its words), …"""
    yield from _of_checks("health", plan.health)
    for service in plan.services:
        yield from _of_service(service)
    yield from _of_checks("smoke", plan.smoke.tests)
    if plan.backup.restore:
        yield "backup.restore", plan.backup.restore
    for door in plan.traffic:
        for verb in ("close", "open", "status"):
            yield f"traffic.{door.name}.{verb}", getattr(door, verb)
    for watched in plan.monitor.checks:
        if watched.command:
            yield f"monitor.checks.{watched.name}", watched.command


def passed(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    """("services.api.new", the variables that its commands get by name), …; of those that get one."""
    checks = [("health", check) for check in plan.health] + [("smoke", check) for check in plan.smoke.tests]
    for service in plan.services:
        for version in ("old", "new", "test"):
            if given := getattr(service, version):
                yield f"services.{service.name}.{version}", given.env
                checks += [(f"services.{service.name}.{version}.health", check) for check in given.health]
    yield from ((f"{key}.{check.title}", check.env) for key, check in checks)
    yield from ((f"traffic.{door.name}", door.env) for door in plan.traffic)
    yield from ((f"monitor.checks.{watched.name}", watched.env) for watched in plan.monitor.checks)


def logins(plan: Plan) -> dict[str, str]:
    """{"smoke.page": libpq's address}; not those under `health`, which PreCheck tries."""
    checks = [("smoke", check) for check in plan.smoke.tests]
    for service in plan.services:
        checks += [(f"services.{service.name}.new.health", check) for check in (service.new.health if service.new else ())]
        checks += [(f"services.{service.name}.test.health", check) for check in (service.test.health if service.test else ())]
    return {f"{key}.{check.title}": check.login.url for key, check in checks if check.login}


def _of_service(service: Service) -> Iterator[tuple[str, list[str]]]:
    for version in ("old", "new", "test"):
        if given := getattr(service, version):
            for verb in ("start", "stop", "status"):
                yield f"services.{service.name}.{version}.{verb}", getattr(given, verb)
            yield from _of_checks(f"services.{service.name}.{version}.health", given.health)


def _of_checks(key: str, checks: list[CheckSection]) -> Iterator[tuple[str, list[str]]]:
    for check in checks:
        if check.command:
            yield f"{key}.{check.title}", check.command
