"""Services and checks in the admin: who may what, what is shown, what is refused, and that no secret comes back."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from core import clock, kind_fields
from services import probes
from services.kind_help import help_for
from services.models import Check, Dependency, MaintenanceWindow, Service, StatusChange
from services.probes import Measurement
from services.status import Outcome

pytestmark = pytest.mark.django_db

SERVICES, CHECKS = "/admin/services/service/", "/admin/services/check/"
SECRET = "hunter2secret"
HIDDEN: Any = {"password": SECRET, "headers": {"Authorization": f"Bearer {SECRET}"}}


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin", "", ""))
    return client


def staff(client: Client, *permissions: str) -> Client:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="services", codename__in=permissions))
    client.force_login(user)
    return client


@pytest.fixture
def shop() -> Service:
    return Service.objects.create(name="shop")


@pytest.fixture
def check(shop: Service) -> Check:
    return Check.objects.create(
        service=shop, name="page", target="https://shop.example.org/", due_at=10**18, claim="somebody",
        secrets=HIDDEN, options={"method": "HEAD"},
    )  # fmt: skip


def service_form(**fields: Any) -> dict[str, Any]:
    inlines = {
        f"{prefix}-{name}": number
        for prefix in ("needs", "checks")
        for name, number in {"TOTAL_FORMS": 0, "INITIAL_FORMS": 0, "MIN_NUM_FORMS": 0, "MAX_NUM_FORMS": 1000}.items()
    }
    return {"name": "shop", "category": "web", "labels": "", "sla_target": "99.9", **inlines, **fields}


def check_form(service: Service, **fields: Any) -> dict[str, Any]:
    return {
        "service": service.pk, "name": "page", "role": "health", "kind": "http", "target": "https://shop.example.org/",
        "interval": 5, "timeout": 5, "initial_delay": 0, "failure_threshold": 2, "success_threshold": 1,
        "failing_means": "auto", "enabled": "on", "option_method": "GET", "option_redirects": "follow",
        "option_verify": "on", "option_warn_days": 14, "option_expected": "200-299", "option_json": "[]", **fields,
    }  # fmt: skip


def text(answer: Any) -> str:
    found: str = answer.content.decode()
    return found


# --- Services --------------------------------------------------------------------------------------------------------


def test_a_service_is_made_with_labels_as_lines(admin: Client) -> None:
    answer = admin.post(f"{SERVICES}add/", service_form(labels="team=payments\r\nenv=prod"))
    assert answer.status_code == 302
    service = Service.objects.get()
    assert service.labels == {"team": "payments", "env": "prod"}
    assert service.reason == "nothing is checked yet"  # judged at once
    page = text(admin.get(f"{SERVICES}{service.pk}/change/"))
    assert "team=payments\nenv=prod" in page
    assert "state-grey" in page
    assert "unknown" in page


def test_labels_that_are_none_are_refused_with_a_sentence(admin: Client) -> None:
    assert "Expected name=value" in text(admin.post(f"{SERVICES}add/", service_form(labels="payments")))


def test_what_a_worker_wrote_meanwhile_stays(admin: Client, shop: Service) -> None:
    page = f"{SERVICES}{shop.pk}/change/"
    Service.objects.update(status="healthy", reason="every check is up")
    Check.objects.create(service=shop, name="page", outcome=Outcome.UP, last_at=clock.now())
    admin.post(page, service_form(owner="ann"))
    shop.refresh_from_db()
    assert (shop.owner, shop.status) == ("ann", "healthy")


def test_pausing_in_the_form_is_the_verb(admin: Client, shop: Service) -> None:
    page = f"{SERVICES}{shop.pk}/change/"
    admin.post(page, service_form(paused="on"))
    shop.refresh_from_db()
    assert (shop.paused, shop.status) == (True, "paused")
    admin.post(page, service_form())
    shop.refresh_from_db()
    assert (shop.paused, shop.status) == (False, "unknown")


def test_a_circle_is_refused_with_a_clear_sentence(admin: Client, shop: Service) -> None:
    database = Service.objects.create(name="database")
    Dependency.objects.create(child=shop, parent=database)
    form = service_form(
        name="database", **{"needs-TOTAL_FORMS": 1, "needs-0-parent": shop.pk, "needs-0-child": database.pk}
    )
    page = text(admin.post(f"{SERVICES}{database.pk}/change/", form))
    assert "Services would need each other in a circle: " in page
    assert Dependency.objects.count() == 1
    itself = {**form, "needs-0-parent": database.pk}
    assert "need itself" in text(admin.post(f"{SERVICES}{database.pk}/change/", itself))


def test_a_dependency_is_saved_and_the_child_judged_at_once(admin: Client, shop: Service, check: Check) -> None:
    database = Service.objects.create(name="database", status="down")
    Check.objects.update(outcome=Outcome.FAILING, last_at=clock.now(), outcome_since=clock.now())
    form = service_form(**{"needs-TOTAL_FORMS": 1, "needs-0-parent": database.pk, "needs-0-child": shop.pk})
    assert admin.post(f"{SERVICES}{shop.pk}/change/", form).status_code == 302
    shop.refresh_from_db()
    assert shop.reason.startswith("database, which it needs, is down")


def test_the_list_is_filtered_and_searched_with_a_constant_number_of_queries(
    admin: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        service = Service.objects.create(name=f"service {number}", status="down" if number % 2 else "healthy")
        Check.objects.create(service=service, target=f"https://host{number}.example.org/")
    admin.get(SERVICES)
    with django_assert_max_num_queries(20):
        assert "state-red" in text(admin.get(SERVICES))
    assert "state-red" not in text(admin.get(f"{SERVICES}?status__exact=healthy"))
    assert "service 7<" in text(admin.get(f"{SERVICES}?q=host7.example"))
    with django_assert_max_num_queries(20):
        admin.get(CHECKS)


def test_bulk_actions_pause_resume_and_ask(admin: Client, shop: Service, check: Check) -> None:
    other = Service.objects.create(name="other")

    def act(name: str) -> str:
        rows = {"action": name, "_selected_action": [shop.pk, other.pk]}
        return text(admin.post(SERVICES, rows, follow=True))

    assert "Paused: 2." in act("pause")
    assert set(Service.objects.values_list("status", flat=True)) == {"paused"}
    assert "Paused: 0." in act("pause")
    assert "due now: 0" in act("check_now")
    assert "due now: 2" in act("resume")
    Check.objects.update(due_at=10**18, claim="somebody")
    assert "due now: 1" in act("check_now")
    check.refresh_from_db()
    assert check.due_at <= clock.now()
    assert check.claim == ""


def test_a_deleted_service_takes_its_checks_along(admin: Client, check: Check) -> None:
    admin.post(f"{SERVICES}{check.service_id}/delete/", {"post": "yes"})
    assert not Service.objects.exists()
    assert not Check.objects.exists()


# --- Checks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("http", ["option_method", "option_keyword", "secret_password"]),
        ("tcp", ["option_send", "option_tls"]),
        ("postgres", ["option_query", "secret_dsn"]),
        ("dns", ["option_record"]),
    ],
)
def test_the_form_has_the_fields_of_its_kind(admin: Client, kind: str, fields: list[str]) -> None:
    page = text(admin.get(f"{CHECKS}add/?kind={kind}"))
    assert all(f'name="{field}"' in page for field in fields)
    assert ('name="option_method"' in page) == (kind == "http")
    assert "kind-fields" in page


def test_a_new_check_is_due_at_once(admin: Client, shop: Service) -> None:
    form = check_form(
        shop, option_headers="Accept: text/html\nX-A: b", option_keyword="Welcome", secret_password=SECRET
    )
    answer = admin.post(f"{CHECKS}add/", form)
    assert answer.status_code == 302, text(answer)
    check = Check.objects.get()
    assert check.due_at <= clock.now()
    # What is the default anyway is not stored.
    assert check.options == {"headers": {"Accept": "text/html", "X-A": "b"}, "keyword": "Welcome"}
    assert check.secrets == {"password": SECRET}
    shop.refresh_from_db()
    assert shop.reason == "no recent result of page"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"target": "ftp://x"}, "Expected a URL that begins with http"),
        ({"target": "https://u:p@x/"}, "Put it into the secrets"),
        ({"option_method": "FETCH"}, "not one of the available choices"),
        ({"option_headers": "nonsense"}, "Expected Name: text"),
        ({"option_expected": "7xx"}, "expected statuses like"),
        ({"option_json": "{"}, "valid JSON"),
        ({"interval": 0}, "greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_refused_when_saved(
    admin: Client, shop: Service, fields: dict[str, Any], sentence: str
) -> None:
    assert sentence.lower() in text(admin.post(f"{CHECKS}add/", check_form(shop, **fields))).lower()
    assert not Check.objects.exists()


def test_secrets_are_never_shown_kept_when_empty_replaced_and_removed(admin: Client, check: Check) -> None:
    page = f"{CHECKS}{check.pk}/change/"
    assert SECRET not in text(admin.get(page))
    assert "remove_password" in text(admin.get(page))
    form = check_form(check.service)
    assert admin.post(page, form).status_code == 302
    check.refresh_from_db()
    assert check.secrets["password"] == SECRET
    # Not even what was sent just now comes back with another error.
    wrong = admin.post(
        page, {**form, "secret_password": "fresh" + SECRET, "secret_headers": f"A: {SECRET}", "interval": 0}
    )
    assert SECRET not in text(wrong)
    admin.post(page, {**form, "secret_password": "another", "remove_headers": "on"})
    check.refresh_from_db()
    assert check.secrets == {"password": "another"}


def test_a_kept_secret_is_not_sent_to_another_server(admin: Client, check: Check) -> None:
    page = f"{CHECKS}{check.pk}/change/"
    form = check_form(check.service, target="https://evil.example.org/")
    assert "is another server now" in text(admin.post(page, form))
    assert "is another server now" in text(admin.post(f"{CHECKS}try/?row={check.pk}", form))
    check.refresh_from_db()
    assert check.target == "https://shop.example.org/"
    moved = {**form, "remove_password": "on", "remove_headers": "on"}
    assert admin.post(page, moved).status_code == 302
    check.refresh_from_db()
    assert check.secrets == {}


def test_another_kind_has_no_secrets_of_the_old_one(admin: Client, check: Check) -> None:
    form = check_form(check.service, kind="tcp", target="shop.example.org:443")
    assert admin.post(f"{CHECKS}{check.pk}/change/", form).status_code == 302
    check.refresh_from_db()
    assert (check.kind, check.secrets, check.options) == ("tcp", {}, {})


def test_a_change_is_asked_at_once_and_old_answers_do_not_count(admin: Client, check: Check) -> None:
    admin.post(f"{CHECKS}{check.pk}/change/", check_form(check.service, interval=60))
    check.refresh_from_db()
    assert (check.interval, check.claim) == (60, "")
    assert check.due_at <= clock.now()


def test_checks_are_switched_and_asked_in_bulk(admin: Client, check: Check) -> None:
    for name in ("switch_off", "switch_on", "check_now"):
        admin.post(CHECKS, {"action": name, "_selected_action": [check.pk]})
        check.refresh_from_db()
        assert check.enabled == (name != "switch_off")
    assert check.due_at <= clock.now()


# --- Asking ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is asked, instead of the network."""
    asked: list[Any] = []

    async def ask(question: Any) -> Measurement:
        asked.append(question)
        return Measurement(Outcome.DEGRADED, "slow", 12.5, raw="<script>alert(1)</script>")

    monkeypatch.setattr("services.probes.ask", ask)
    return asked


def test_a_try_asks_what_is_in_the_form_and_saves_nothing(admin: Client, shop: Service, answers: list[Any]) -> None:
    answer = text(admin.post(f"{CHECKS}try/?row=", check_form(shop, secret_password=SECRET)))
    assert "&lt;script&gt;" in answer
    assert "<script>" not in answer
    assert "slow" in answer
    assert "12.5 ms" in answer
    assert "Nothing was stored" in answer
    assert SECRET not in answer
    assert answers[0].secrets == {"password": SECRET}
    assert not Check.objects.exists()


def test_a_try_of_a_form_that_does_not_fit_says_why(admin: Client, shop: Service, answers: list[Any]) -> None:
    assert "It can’t be asked yet" in text(admin.post(f"{CHECKS}try/?row=", check_form(shop, target="x")))
    assert answers == []


def test_check_now_is_a_result(admin: Client, check: Check, answers: list[Any]) -> None:
    assert "This result is stored" in text(admin.post(f"{CHECKS}{check.pk}/check-now/"))
    assert check.results.count() == 1
    admin.post(f"{CHECKS}{check.pk}/check-now/")
    assert check.results.count() == 2


def test_asking_takes_post_a_login_and_a_permission(client: Client, check: Check, answers: list[Any]) -> None:
    places = [f"{CHECKS}try/?row={check.pk}", f"{CHECKS}{check.pk}/check-now/"]
    for place in places:
        assert client.post(place).status_code == 302
    staff(client, "view_check", "view_service")
    for place in places:
        assert client.get(place).status_code == 405
        assert client.post(place).status_code == 403
    assert client.post(f"{CHECKS}999/check-now/").status_code == 403
    assert answers == []


def test_no_secret_reaches_a_log_line(
    admin: Client, check: Check, answers: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    admin.post(f"{CHECKS}{check.pk}/change/", check_form(check.service, interval=0, secret_password=SECRET))
    admin.post(f"{CHECKS}try/?row={check.pk}", check_form(check.service))
    admin.post(f"{CHECKS}{check.pk}/check-now/")
    assert SECRET not in caplog.text


# --- Who may what ----------------------------------------------------------------------------------------------------

MATRIX = [
    # permissions                                   list add  change pause import export address
    ((), (403, 403, 403, False, 403, 403, 403)),
    (("view_service",), (200, 403, 403, False, 403, 403, 403)),
    (("view_service", "view_check"), (200, 403, 403, False, 403, 200, 403)),
    (("view_service", "check_service"), (200, 403, 403, True, 403, 403, 403)),
    (("view_service", "change_service"), (200, 403, 302, False, 403, 403, 403)),
    (("view_service", "add_service", "add_check"), (200, 200, 403, False, 403, 403, 200)),
    (
        ("view_service", "add_service", "add_check", "change_service", "change_check", "view_check", "check_service"),
        (200, 200, 302, True, 200, 200, 200),
    ),
]


@pytest.mark.parametrize(("permissions", "expected"), MATRIX)
def test_each_permission_opens_what_it_says(
    client: Client, shop: Service, permissions: tuple[str, ...], expected: tuple[Any, ...]
) -> None:
    staff(client, *permissions)
    found = (
        client.get(SERVICES).status_code,
        client.get(f"{SERVICES}add/").status_code,
        client.post(f"{SERVICES}{shop.pk}/change/", service_form(paused="on")).status_code,
    )
    # Who may change, but not pause, has not paused.
    paused_by_form = Service.objects.get().paused
    client.post(SERVICES, {"action": "pause", "_selected_action": [shop.pk]})
    paused = Service.objects.get().paused
    rest = tuple(client.get(f"{SERVICES}{page}/").status_code for page in ("import", "export", "by-url"))
    assert (*found, paused, *rest) == expected
    assert not paused_by_form or "check_service" in permissions


def test_strangers_and_users_without_the_admin_see_nothing(client: Client, check: Check) -> None:
    places = [SERVICES, CHECKS, f"{SERVICES}import/", f"{SERVICES}export/", f"{SERVICES}by-url/"]
    assert {client.get(place).status_code for place in places} == {302}
    client.force_login(User.objects.create_user("eve"))
    assert {client.get(place).status_code for place in places} == {403}


# --- The rest --------------------------------------------------------------------------------------------------------


def test_the_history_is_read_only(admin: Client, shop: Service) -> None:
    change = StatusChange.objects.create(service=shop, at=shop.created_at, old="unknown", new="down", reason="<b>")
    place = "/admin/services/statuschange/"
    assert "state-red" in text(admin.get(place))
    assert "&lt;b&gt;" in text(admin.get(f"{place}{change.pk}/change/"))
    assert admin.get(f"{place}add/").status_code == 403
    assert admin.post(f"{place}{change.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_window_turns_its_services_blue_at_once(admin: Client, shop: Service) -> None:
    form = {
        "name": "move", "services": [shop.pk], "starts_at_0": "2020-01-01", "starts_at_1": "00:00:00", "minutes": 60,
        "zone": "UTC", "ends_at_0": "2099-01-01", "ends_at_1": "00:00:00",
    }  # fmt: skip
    assert admin.post("/admin/services/maintenancewindow/add/", form).status_code == 302
    shop.refresh_from_db()
    assert shop.status == "maintenance"
    window = MaintenanceWindow.objects.get()
    admin.post(f"/admin/services/maintenancewindow/{window.pk}/change/", {**form, "services": []})
    shop.refresh_from_db()
    assert shop.status == "unknown"


def test_an_empty_list_leads_to_the_first(admin: Client) -> None:
    link = "Add the first by its address"
    assert link in text(admin.get(SERVICES))
    Service.objects.create(name="shop")
    assert link not in text(admin.get(SERVICES))


@pytest.mark.parametrize("kind", [kind for kind, _ in probes.choices()])
def test_each_field_of_each_kind_is_explained(kind: str) -> None:
    probe = probes.probe(kind)
    fields = {
        **kind_fields.option_fields(kind, probe.Options, {}, help_for),
        **kind_fields.secret_fields(kind, probe.Secrets, {}, help_for),
    }
    assert [name for name, field in fields.items() if not field.help_text] == []


def test_the_sidebar_leads_to_them(admin: Client) -> None:
    page = text(admin.get("/admin/"))
    assert all(f'href="/admin/services/{name}/"' in page for name in ("service", "check", "maintenancewindow"))


@pytest.fixture
def job(shop: Service) -> Check:
    return Check.objects.create(service=shop, name="backup", kind="heartbeat", options={"every": 3_600})


def heartbeat_form(job: Check, **fields: Any) -> dict[str, Any]:
    counts = {"TOTAL_FORMS": 1, "INITIAL_FORMS": 1, "MIN_NUM_FORMS": 0, "MAX_NUM_FORMS": 1}
    return check_form(job.service, name="backup", kind="heartbeat", target="", option_every=3_600) | {
        **{f"heartbeat-{name}": number for name, number in counts.items()},
        "heartbeat-0-service_check": job.pk, **{f"heartbeat-0-{name}": value for name, value in fields.items()},
    }  # fmt: skip


def test_a_job_keeps_the_address_that_its_crontab_has(admin: Client, job: Check) -> None:
    moved = "0FE6A1C8-8C0B-4B4A-9D3F-9E6F5B8A7C11"
    answer = admin.post(f"{CHECKS}{job.pk}/change/", heartbeat_form(job, token=moved, ping_key="key", slug="backup"))
    assert answer.status_code == 302, text(answer)
    job.heartbeat.refresh_from_db()
    assert (job.heartbeat.token, job.heartbeat.slug) == (moved.lower(), "backup")
    assert admin.get(f"/ping/{moved}").status_code == 200


def test_two_jobs_cannot_share_an_address(admin: Client, shop: Service, job: Check) -> None:
    other = Check.objects.create(service=shop, name="report", kind="heartbeat", options={"every": 3_600})
    answer = admin.post(f"{CHECKS}{job.pk}/change/", heartbeat_form(job, token=other.heartbeat.token))
    assert answer.status_code == 200
    assert "already exists" in text(answer)


def test_only_who_may_change_a_check_sees_its_address(client: Client, job: Check) -> None:
    reader = staff(client, "view_check")
    assert job.heartbeat.token not in text(reader.get(f"{CHECKS}{job.pk}/change/"))
