"A browser, and a server for the pages that `make site` built"

import functools
import http.server
import shutil
import threading

import pytest
from playwright.sync_api import sync_playwright

from stal.core.paths import project_root

BUILT = project_root() / "runs" / "site"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def built():
    "Folder of the pages"
    assert (BUILT / "index.html").exists(), "the site is not built: make site"
    return BUILT


@pytest.fixture(scope="session")
def address(built):
    "Where the pages are served, on this machine only"
    handler = functools.partial(Quiet, directory=str(built))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    assert program, "Chromium is needed; on Debian and Ubuntu: apt-get install chromium"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, address):
    "A function that opens a page of the site; whatever goes wrong on it fails the test"
    contexts = []
    wrong = []

    def opened(name, width=1280, scheme="light", expected="nothing"):
        def complain(message):
            if expected not in message:
                wrong.append(message)

        size = {"width": width, "height": 800}
        context = browser.new_context(viewport=size, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complain(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complain(str(error)))
        page.on("requestfailed", lambda request: complain(f"failed: {request.url}"))
        page.on("request", lambda request: from_here(request.url))
        page.goto(f"{address}/{name}", wait_until="load")
        return page

    def from_here(url):
        if not url.startswith((address, "data:", "blob:")):
            wrong.append(f"from elsewhere: {url}")

    yield opened
    for context in contexts:
        context.close()
    assert not wrong, wrong
