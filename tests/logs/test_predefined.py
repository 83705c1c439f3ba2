"""The predefined queries find the lines that usual services write, and leave their neighbours alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import QueryDict

from core import clock
from logs import saved
from logs.records import from_json
from logs.search import parse_search


def line(message: str, level: str = "info", **fields: Any) -> dict[str, Any]:
    return {"message": message, "level": level, "service": "api"} | fields


def error(message: str, **fields: Any) -> dict[str, Any]:
    return line(message, "error", **fields)


def warning(message: str, **fields: Any) -> dict[str, Any]:
    return line(message, "warning", **fields)


FOUND: dict[str, list[dict[str, Any]]] = {
    "task-creation-failures": [
        error("Failed to create task: title must not be empty", logger="backend.routers.tasks"),
        error("connection refused", title="Task Creation Failed"),
        warning("Task creation rejected, quota of tenant t-7 reached"),
        error("Could not enqueue job 7f3a: Error 111 connecting to redis:6379"),
        error("Error creating import job for tenant 7"),
        error("Unable to submit task ocr.extract to queue default"),
        error("Failed to schedule task cleanup"),
        error("TaskCreationException: invalid due date"),
    ],
    "event-publishing-errors": [
        error("Failed to publish event task.created to topic task-events"),
        error("Error publishing message: connection to broker lost", service="worker"),
        error("KafkaProducer: delivery of message failed: Local: Message timed out"),
        error("could not emit event user.updated", title="Event bus"),
        error("Publish to exchange orders was rejected (NACK)"),
        warning("Event publish timed out, retry 1 of 3", logger="dapr.pubsub"),
        error("Failed to deliver message to queue mail", title="RabbitMQ"),
    ],
    "websocket-disconnections": [
        line("WebSocket disconnected: client 42, code 1006"),
        line("WebSocket DISCONNECT /ws/logs/ [10.12.7.9:51334]", logger="daphne"),
        line("connection closed abnormally [internal]", logger="websockets.server"),
        warning("websocket: close 1006 (abnormal closure): unexpected EOF"),
        line("client disconnected (transport close)", logger="socket.io"),
        warning("Connection lost, reconnecting in 2 s", metadata={"url": "wss://example.com/live"}),
        warning("WebSocket ping timeout for user 7"),
    ],
    "authentication-failures": [
        warning("Login failed for user alice@example.com"),
        warning("Failed login attempt from 10.0.0.7", metadata={"ip": "10.0.0.7"}),
        line("Failed password for root from 203.0.113.7 port 4022 ssh2", service="sshd"),
        error("Invalid credentials", title="Authentication"),
        error('FATAL: password authentication failed for user "app"', service="postgres"),
        line('10.0.0.7 - - [21/Nov/2026:10:00:00 +0000] "POST /api/login HTTP/1.1" 401 52', service="nginx"),
        warning("GET /api/v1/orders → 401 in 3.2 ms", metadata={"status": 401}),
        warning("JsonWebTokenError: jwt expired"),
        warning("request answered", metadata={"statusCode": 401}),
        error("Keycloak token exchange failed", metadata={"error": "invalid_grant"}),
    ],
    "database-errors": [
        error("django.db.utils.OperationalError: connection to server at 10.0.0.5 failed: Connection refused"),
        error('duplicate key value violates unique constraint "users_email_key"'),
        warning("deadlock detected, transaction is tried again"),
        error("database is locked", logger="sqlite3"),
        error("QueuePool limit of size 5 overflow 10 reached, connection timed out"),
        error("Database connection failed", title="Startup"),
        error("ORA-00060: deadlock detected while waiting for resource"),
        error("request failed", metadata={"stack": "sqlalchemy.exc.ProgrammingError: (psycopg.errors…)"}),
        error("FATAL: sorry, too many clients already", service="postgres"),
        error("Could not reach MongoDB at mongo:27017"),
    ],
    "high-latency-requests": [
        line("GET /api/orders → 200", metadata={"duration_ms": 1840}),
        line("request completed", metadata={"responseTime": 2301, "req": {"url": "/"}}),
        line("handled", metadata={"durationMs": 1500.5}),
        line("handled", metadata={"context": {"latency_ms": "1200"}}),
        line("access", service="nginx", metadata={"request_time": 3.21}),
        line("handled", metadata={"duration": 1200}),
        line("handled", metadata={"duration_seconds": 1.8}),
        warning("Slow request: GET /reports"),
        error("upstream: request timed out"),
    ],
    "user-activity": [
        line("Task created", user_id="550e8400-e29b-41d4-a716-446655440000"),
        line("Login successful", metadata={"userId": 42}),
        line("viewed page", metadata={"context": {"userId": "u-7"}}),
    ],
}

LEFT_ALONE: dict[str, list[dict[str, Any]]] = {
    "task-creation-failures": [
        line("Task created"),
        error("Failed to create user: e-mail is taken", service="task-api", logger="backend.routers.tasks"),
        error("Task 7f3a failed after 3 attempts"),
        warning("Job 12 took 40 s"),
        line("Task creation failed, said the test of this very text"),
    ],
    "event-publishing-errors": [
        line("Event task.created published to topic task-events"),
        error("Failed to publish blog post 7"),
        error("consumer group lost its partition"),
        error("Event handler failed: division by zero"),
    ],
    "websocket-disconnections": [
        line("WebSocket connected: client 42"),
        line('10.0.0.7:51334 - "WebSocket /ws/logs/" [accepted]'),
        error("Database connection lost"),
        line("SMTP client disconnected"),
    ],
    "authentication-failures": [
        line("Login successful", metadata={"userId": 42}),
        line("User alice authenticated"),
        line("Token refreshed"),
        line("GET /api/v1/orders → 200 in 401 ms", metadata={"status": 200, "duration_ms": 401}),
        error("Payment failed for order 401"),
    ],
    "database-errors": [
        line("Database connection established"),
        line("migrations applied to database app"),
        error("Failed to render template", metadata={"database": "orders"}),
        warning("Disk is almost full", service="postgres"),
        error("connection to redis failed"),
    ],
    "high-latency-requests": [
        line("GET /api/orders → 200", metadata={"duration_ms": 42}),
        line("request completed", metadata={"responseTime": 12}),
        line("access", service="nginx", metadata={"request_time": 0.021}),
        line("handled", metadata={"duration": 1_200_000_000}),  # of Go, 1.2 s: such a number could be anything
        line("GET /slow → 200 in 3 ms"),
    ],
    "user-activity": [line("cache flushed"), line("job done", metadata={"user": "system"})],
}


def finds(slug: str, sample: dict[str, Any]) -> bool:
    predefined = next(found for found in saved.PREDEFINED if found.slug == slug)
    view = QueryDict(mutable=True)
    view.update({"q": predefined.text, "level": predefined.levels, "from": predefined.since})
    return parse_search(view, now=clock.now()).node.matches(from_json(json.dumps(sample).encode(), clock.now()))


def test_there_are_seven_and_each_has_examples() -> None:
    slugs = [predefined.slug for predefined in saved.PREDEFINED]
    assert len(set(slugs)) == 7
    assert sorted(slugs) == sorted(FOUND) == sorted(LEFT_ALONE)


@pytest.mark.parametrize(("slug", "sample"), [(slug, sample) for slug in FOUND for sample in FOUND[slug]])
def test_it_finds(slug: str, sample: dict[str, Any]) -> None:
    assert finds(slug, sample)


@pytest.mark.parametrize(("slug", "sample"), [(slug, sample) for slug in LEFT_ALONE for sample in LEFT_ALONE[slug]])
def test_it_leaves_alone(slug: str, sample: dict[str, Any]) -> None:
    assert not finds(slug, sample)
