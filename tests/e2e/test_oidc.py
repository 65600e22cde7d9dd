"""People log in at a real OpenID provider with the real command line; the test is their browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import KUBENTLY, ApiProcess, Cli, Result, finish, run, started
from tests.testbed.oidc import CLIENT, ROLES, RealProvider

USAGE, UNAVAILABLE, REFUSED = 64, 69, 77
_FILE_BACKEND = """\
import json, pathlib
import keyring.backend

class Kept(keyring.backend.KeyringBackend):
    priority = 5
    path = pathlib.Path(__file__).with_name("kept.json")

    def _all(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, username):
        return self._all().get(f"{service} {username}")

    def set_password(self, service, username, password):
        self.path.write_text(json.dumps({**self._all(), f"{service} {username}": password}))

    def delete_password(self, service, username):
        self.path.write_text(json.dumps({k: v for k, v in self._all().items() if k != f"{service} {username}"}))
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealProvider]:
    running = RealProvider(tmp_path_factory.mktemp("oidc"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, provider: RealProvider) -> Iterator[ApiProcess]:
    folder = tmp_path_factory.mktemp("oidc-api")
    roles = folder / "roles.yaml"
    roles.write_text(ROLES)
    extra = {
        "KUBENTLY_OIDC_ISSUER": provider.issuer,
        "KUBENTLY_OIDC_CLIENT_ID": CLIENT,
        "KUBENTLY_OIDC_ROLES_FILE": str(roles),
        "KUBENTLY_LOGIN_TTL": "3600",
    }
    running = ApiProcess(folder / "api", extra=extra)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def person(api: ApiProcess, tmp_path: Path) -> Cli:
    """A command line that holds nothing yet, and no keyring."""
    values = {"HOME": str(tmp_path), "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    return Cli(values | {"KUBENTLY_CA_CERT": str(api.ca)})


def read_line(process: subprocess.Popen[bytes], pattern: str) -> str:
    """What *pattern* finds in what the process says on standard error."""
    assert process.stderr is not None
    said = ""
    while line := process.stderr.readline().decode():
        said += line
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError(said)


def log_in(person: Cli, api: ApiProcess, provider: RealProvider, user: str, *more: str) -> Result:
    with started([KUBENTLY, "login", "--url", api.url, "--no-browser", *more], person.environ) as process:
        page = provider.browse(read_line(process, r"(http://\S+)"), user)
        assert "You are logged in" in page.text
        return finish(process, 30)


def session_file(person: Cli) -> Path:
    return Path(person.environ["HOME"], ".config/kubently/sessions/localhost.json")


def test_by_browser(person: Cli, api: ApiProcess, provider: RealProvider) -> None:
    done = log_in(person, api, provider, "alice")

    assert (done.code, "logged in as alice@example.org until" in done.err) == (0, True), done
    who = json.loads(person("whoami", "-o", "json").out)
    assert (who["name"], who["role"]) == ("user:alice@example.org", "admin")
    assert "session" in person("whoami").out
    assert person("clusters").code == 0
    assert session_file(person).stat().st_mode & 0o777 == 0o600
    record = next(r for r in api.audit() if r["action"] == "login" and r["event"] == "ended")
    assert (record["principal"], record["outcome"].startswith("session ")) == ("user:alice@example.org", True)


def test_by_device(person: Cli, api: ApiProcess, provider: RealProvider) -> None:
    """There is no display here, so nobody has to ask for it."""
    with started([KUBENTLY, "login", "--url", api.url], person.environ) as process:
        provider.approve(read_line(process, r"enter the code (\S+)"), "bob")
        done = finish(process, 60)

    assert done.code == 0, done
    who = json.loads(person("whoami", "-o", "json").out)
    assert (who["name"], who["role"], who["clusters"]) == ("user:bob@example.org", "operator", ["alpha"])


def test_by_device_denied(person: Cli, api: ApiProcess, provider: RealProvider) -> None:
    with started([KUBENTLY, "login", "--url", api.url, "--device"], person.environ) as process:
        provider.approve(read_line(process, r"enter the code (\S+)"), "bob", action="denied")
        done = finish(process, 60)

    assert (done.code, "[login-refused]" in done.err) == (REFUSED, True), done
    assert not session_file(person).exists()


def test_who_has_no_group_is_told_which_were_seen(person: Cli, api: ApiProcess, provider: RealProvider) -> None:
    done = log_in(person, api, provider, "mallory")

    assert (done.code, "[no-role]" in done.err, "groups seen: none" in done.err) == (REFUSED, True, True), done


def test_logout_ends_the_session_at_the_api(person: Cli, api: ApiProcess, provider: RealProvider) -> None:
    log_in(person, api, provider, "alice")
    token = json.loads(session_file(person).read_text())["token"]
    thief = Cli({**person.environ, "KUBENTLY_URL": api.url, "KUBENTLY_API_KEY": token})
    assert thief("whoami").code == 0

    assert person("logout").code == 0

    stolen, own = thief("whoami"), person("whoami")
    assert (stolen.code, "[session-expired]" in stolen.err, "kubently login" in stolen.err) == (REFUSED, True, True)
    assert own.code == REFUSED
    assert not session_file(person).exists()


def test_an_administrator_revokes(person: Cli, api: ApiProcess, provider: RealProvider, tmp_path: Path) -> None:
    log_in(person, api, provider, "bob")
    admin = Cli.of(api, tmp_path / "admin")
    session = json.loads(person("session", "list", "-o", "json").out)[0]["id"]

    assert admin("session", "revoke", session).code == 0

    assert "[session-expired]" in person("whoami").err


def test_an_expired_session_is_renewed_without_a_person(person: Cli, api: ApiProcess, provider: RealProvider) -> None:
    log_in(person, api, provider, "alice")
    path = session_file(person)
    before = json.loads(path.read_text())
    path.write_text(json.dumps({**before, "expires_at": 0}))

    done = person("whoami", "-o", "json")

    after = json.loads(path.read_text())
    assert json.loads(done.out)["session"] == after["id"] != before["id"]
    path.write_text(json.dumps({**after, "expires_at": 0, "refresh_token": ""}))
    over = person("whoami")
    assert (over.code, "[session-expired]" in over.err) == (REFUSED, True)


def test_a_session_goes_to_its_own_api_only(person: Cli, api: ApiProcess, provider: RealProvider) -> None:
    log_in(person, api, provider, "alice")
    path = session_file(person)
    path.write_text(json.dumps({**json.loads(path.read_text()), "url": "https://elsewhere.example"}))

    assert "[unauthenticated]" in person("whoami").err


def test_keys_rotate_under_a_running_api(person: Cli, api: ApiProcess, provider: RealProvider) -> None:
    assert log_in(person, api, provider, "alice").code == 0
    provider.control("rotate")

    assert log_in(person, api, provider, "alice").code == 0


def test_the_keyring_keeps_the_secrets(person: Cli, api: ApiProcess, provider: RealProvider, tmp_path: Path) -> None:
    (tmp_path / "file_backend.py").write_text(_FILE_BACKEND)
    more = {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "file_backend.Kept"}
    with_keyring = Cli({**person.environ, **more})

    done = log_in(with_keyring, api, provider, "alice")

    kept = json.loads(session_file(person).read_text())
    assert ("keyring" in done.err, "token" in kept, "refresh_token" in kept) == (True, False, False)
    assert with_keyring("whoami").code == 0
    assert with_keyring("logout").code == 0
    assert json.loads((tmp_path / "kept.json").read_text()) == {}


def test_without_the_provider_sessions_go_on(person: Cli, api: ApiProcess, provider: RealProvider) -> None:
    log_in(person, api, provider, "alice")
    provider.stop()
    try:
        assert person("whoami").code == 0
        again = person("login", "--url", api.url, "--no-browser")
        assert (again.code, "[oidc-unavailable]" in again.err) == (UNAVAILABLE, True)
    finally:
        provider.start()


def test_help_imports_nothing_of_logins() -> None:
    code = "import sys; from kubently.main import main; sys.argv = ['kubently', '--help']\ntry: main()\n"
    code += "finally: print(*sys.modules)"
    done = run([sys.executable, "-c", code], {"PATH": ""})

    loaded = done.out.split()
    assert "kubently.cli.app" in loaded
    assert not {"jwt", "keyring", "http.server", "webbrowser", "kubently.cli.oidc_flows"} & set(loaded)
