"""Every page works under the content policy: the browser has nothing to refuse, and would refuse what is foreign."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page, expect

from tests.product import Product

PAGES = (
    "/", "/logs/", "/logs/usage/", "/logs/connect/", "/services/", "/services/sla/", "/containers/", "/incidents/",
    "/alerts/", "/silences/", "/silences/new/", "/alerts/routes/", "/reports/weekly/", "/trail/",
    "/admin/services/service/", "/admin/services/service/add/", "/admin/services/check/add/",
    "/admin/alerts/alertrule/", "/admin/alerts/alertrule/add/", "/admin/alerts/channel/add/",
    "/admin/logs/redactionrule/", "/admin/auth/user/1/change/",
)  # fmt: skip


def test_no_page_asks_for_what_the_policy_refuses(page: Page, product: Product) -> None:
    page.add_init_script(
        "window.refused = []; addEventListener('securitypolicyviolation',"
        " ({ violatedDirective, blockedURI, sourceFile }) => refused.push([violatedDirective, blockedURI, sourceFile]))"
    )
    found = {}
    for address in PAGES:
        answer = page.goto(product.url + address)
        assert answer is not None
        assert answer.status == 200, address
        page.wait_for_load_state("load")
        page.wait_for_function("window.Alpine !== undefined && window.htmx !== undefined")
        if refused := page.evaluate("refused"):
            found[address] = refused
    assert found == {}


def test_what_is_written_into_a_page_is_not_run(context: BrowserContext, product: Product) -> None:
    page = context.new_page()
    page.goto(product.url + "/")
    page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.ran = true';
            document.body.append(script);
            document.body.insertAdjacentHTML('beforeend', '<img src="data:," onerror="window.ran = true">');
        }"""
    )
    expect(page.locator("body")).to_be_visible()
    assert page.evaluate("window.ran") is None
