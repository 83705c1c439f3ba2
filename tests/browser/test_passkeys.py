"""A passkey, in Chromium with an authenticator of its own."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from tests.product import PASSWORD, Product

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def say_who(page: Page) -> None:
    page.fill("input[name=password]", PASSWORD)
    page.click("text=Go on")


def test_it_is_added_asked_for_after_the_password_enough_alone_and_removed(browser: Browser, product: Product) -> None:
    # A passkey belongs to a host name; an address has none.
    home = product.url.replace("127.0.0.1", "localhost")
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})

    def sign_in() -> None:
        context.clear_cookies()
        page.goto(f"{home}/login/?next=/account/")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", PASSWORD)
        page.click("#login-form button[type=submit]")

    sign_in()
    page.click("text=Add a passkey")
    say_who(page)
    page.click("text=Add it")
    expect(page.locator("#codes")).to_be_visible()

    sign_in()
    page.wait_for_url("**/login/code/")
    page.click("text=Use a passkey")
    page.wait_for_url(f"{home}/account/")

    context.clear_cookies()
    page.goto(f"{home}/login/?next=/account/")
    page.click("text=Log in with a passkey")
    page.wait_for_url(f"{home}/account/")

    # The other tests sign in with the password alone.
    page.get_by_role("link", name="Remove").click()
    say_who(page)
    page.click("text=Remove it")
    expect(page.locator("text=None. A passkey is a key")).to_be_visible()
    context.close()
