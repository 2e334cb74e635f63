"""A Next.js application, built with npm, served as it is, and seen in a real browser."""

import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import pytest

import aside
import npm
from harness import NODE, ROOT, wait_until

EXAMPLE = ROOT / "examples/nextjs-app"
# Programs that show pages; xtask installs the first.
BROWSERS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
PATIENCE_S = 60


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The example, built in a copy of its own by the commands of its README."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("next") / "nextjs-app"
    built = shutil.ignore_patterns("node_modules", ".next")
    shutil.copytree(EXAMPLE, folder, ignore=built)
    wanted = json.loads((EXAMPLE / "package.json").read_text())["dependencies"]
    npm.install(folder, *wanted)
    assert {name: npm.manifest_of(name)["version"] for name in wanted} == wanted, "the tests build what the example names"
    commands = folder / "node_modules/.bin"
    commands.mkdir()
    (commands / "next").symlink_to("../next/dist/bin/next")
    build = subprocess.run(
        ["npm", "run", "build"], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
        env=os.environ | {"NPM_CONFIG_UPDATE_NOTIFIER": "false", "CI": "true"},
    )
    assert build.returncode == 0, build.stdout + build.stderr
    yield folder
    # It is large, and pytest would keep it.
    shutil.rmtree(folder)


class Site:
    """The application at a host of its own, whatever DNS says."""

    def __init__(self, node, host):
        self.address = urllib.parse.urlsplit(node.endpoint)
        self.host = host
        self.url = f"http://{host}:{self.address.port}"

    @contextlib.contextmanager
    def begin(self, path, method="GET", headers=None):
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, path, headers={"Host": f"{self.host}:{self.address.port}", **(headers or {})})
            yield connection.getresponse()

    def ask(self, path, method="GET", headers=None):
        with self.begin(path, method, headers) as response:
            return response.status, response.headers, response.read().decode()

    def signal(self, name):
        """Lets the pages go on that wait for the signal, once there is one; gives how many there were."""

        def woken():
            status, _, body = self.ask(f"/api/signals/{name}", "POST")
            assert status == 200, body
            return json.loads(body)["woken"]

        return wait_until(woken, f"a page that waits for {name}")


@pytest.fixture(scope="module")
def sites(node, project):
    """The same function at its URL and through a route."""
    answer = node.hearth("deploy", str(project), "--web", "--public", "--json", "--runtime", NODE, "--memory", "512", "--timeout", "60")
    url = urllib.parse.urlsplit(json.loads(answer.stdout)["FunctionUrl"])
    node.hearth("route", "add", "nextjs", "--host", "shop.localhost", "--path", "/{*rest}", "--function", "nextjs-app")
    yield {"url": Site(node, url.hostname), "route": Site(node, "shop.localhost")}
    node.hearth("route", "rm", "nextjs")


@pytest.fixture(params=["url", "route"])
def site(request, sites):
    return sites[request.param]


@pytest.fixture(scope="module")
def chromium(node, tmp_path_factory):
    """A headless browser that can speak to the node only."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}")
    nowhere_else = ["--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost"]
    port = urllib.parse.urlsplit(node.endpoint).port
    with aside.program(program, port, tmp_path_factory.mktemp("browser")) as quiet, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=quiet, args=nowhere_else)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens pages, each as a visitor of its own, and checks that none had an error or asked anybody else."""
    visitors, troubles = [], []

    def open_page(site, path, **options):
        visitor = chromium.new_context()
        visitors.append(visitor)
        page = visitor.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on("pageerror", lambda error: troubles.append(f"{path}: {error}"))
        page.on("console", lambda message: message.type == "error" and troubles.append(f"{path}: {message.text}"))
        page.on("request", lambda request: request.url.startswith((site.url, "data:")) or troubles.append(request.url))
        page.goto(site.url + path, **options)
        return page

    yield open_page
    for visitor in visitors:
        visitor.close()
    assert not troubles


def said(node, name="nextjs-app"):
    """What the application wrote to its log, without its banner and the platform's own lines."""
    lines = [line.split(" ", 1)[-1] for line in node.hearth("logs", name).stdout.splitlines()]
    platform = r"(INIT_START|INIT_REPORT|START|END|REPORT) |RequestId: .* Error: The caller went away|Runtime\.Abandoned"
    banner = r"\s*(▲ Next\.js|- (Local|Network):|✓ )"
    return [line for line in lines if line.strip() and not re.match(f"{platform}|{banner}", line)]


def test_a_page_is_rendered_for_its_request(site):
    status, headers, body = site.ask("/?name=%C3%A9%20%3Cb%3E")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "é &lt;b&gt;" in body
    assert "Hello" in body and "world" not in body
    assert site.ask("/nowhere")[0] == 404


def test_the_shell_comes_before_the_slow_part(site):
    with site.begin("/stream?wait=curl") as response:
        seen = b""
        while b'id="fallback"' not in seen:
            piece = response.read1()
            assert piece, seen
            seen += piece
        assert b"The shell" in seen
        # Nothing more comes before the signal is there.
        assert b'id="slow"' not in seen
        assert site.signal("curl") == 1
        assert b'id="slow"' in response.read()


def test_assets_are_kept_by_browsers(site):
    page = site.ask("/")[2]
    assets = set(re.findall(r'"(/_next/static/[^"\\]+)"', page))
    assert {asset.rsplit(".", 1)[1] for asset in assets} >= {"js", "svg"}
    for asset in assets:
        status, headers, _ = site.ask(asset)
        assert (status, headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable"), asset
    status, headers, body = site.ask("/robots.txt")
    assert (status, body) == (200, (EXAMPLE / "public/robots.txt").read_text())
    assert headers["Cache-Control"] == "public, max-age=0"
    assert site.ask("/robots.txt", headers={"If-None-Match": headers["ETag"]})[0] == 304


def test_a_cached_page_is_made_anew_and_the_log_is_clean(node, sites):
    def made():
        return re.search(r"<time>([^<]+)", sites["url"].ask("/cached")[2]).group(1)

    first = made()
    wait_until(lambda: made() != first, "a page that is made anew")
    # The code is read-only, and nothing tries to write there.
    assert said(node) == []


def test_a_browser_takes_the_page_over(site, visit):
    page = visit(site, "/?name=Ada")
    assert page.inner_text("h1") == "Hello, Ada!"
    button = page.get_by_role("button")
    assert button.inner_text() == "Clicked: 0"
    # Waits until it is enabled, which is what the browser does when it has taken the page over.
    button.click()
    page.get_by_text("Clicked: 1").wait_for()
    assert page.evaluate("document.images[0].naturalWidth > 0"), "the image is shown"


def test_a_browser_shows_the_shell_before_the_slow_part(site, visit):
    page = visit(site, "/stream?wait=browser", wait_until="commit")
    page.locator("#fallback").wait_for()
    assert page.inner_text("h1") == "The shell"
    assert page.locator("#slow").count() == 0
    assert site.signal("browser") == 1
    page.locator("#slow").wait_for()
    page.locator("#fallback").wait_for(state="detached")


def test_browsers_wait_side_by_side(site, visit):
    pages = {name: visit(site, f"/stream?wait={name}", wait_until="commit") for name in ("first", "second")}
    for page in pages.values():
        page.locator("#fallback").wait_for()
    # The one that came last goes on first.
    assert site.signal("second") == 1
    pages["second"].locator("#slow").wait_for()
    assert pages["first"].locator("#fallback").count() == 1
    assert site.signal("first") == 1
    pages["first"].locator("#slow").wait_for()


def test_a_visitor_who_leaves_takes_nobody_along(node, site):
    with site.begin("/stream?wait=stays") as stays:
        assert stays.read1()
        with site.begin("/stream?wait=leaves") as leaves:
            assert leaves.read1()
        assert site.signal("leaves") == 1
        assert site.signal("stays") == 1
        assert b'id="slow"' in stays.read()
    assert said(node) == []


def test_the_build_deploys_as_the_manual_of_nextjs_has_it(node, project, tmp_path):
    folder = tmp_path / "standalone"
    shutil.copytree(project / ".next/standalone", folder, symlinks=True)
    shutil.copytree(project / "public", folder / "public")
    shutil.copytree(project / ".next/static", folder / ".next/static")
    assert not list(folder.glob("node_modules/**/sharp*")), "what would scale images stays out of the package"
    answer = node.hearth("deploy", str(folder), "--name", "nextjs-by-hand", "--web", "--public", "--json", "--runtime", NODE, "--memory", "512")
    assert json.loads(answer.stdout)["Handler"] == "server.js"
    url = urllib.parse.urlsplit(json.loads(answer.stdout)["FunctionUrl"])
    site = Site(node, url.hostname)
    status, _, page = site.ask("/?name=Ada")
    assert status == 200 and "Ada" in page
    for asset in re.findall(r'"(/_next/static/[^"\\]+)"', page):
        assert site.ask(asset)[0] == 200, asset
    assert said(node, "nextjs-by-hand") == []


def test_a_project_without_a_standalone_build_is_refused(node, tmp_path):
    (tmp_path / "package.json").write_text(json.dumps({"scripts": {"start": "next start"}}))
    answer = node.hearth("deploy", str(tmp_path), "--name", "nextjs-unbuilt", "--web", check=False)
    assert answer.returncode == 1
    assert "set output: 'standalone' in next.config" in answer.stderr
