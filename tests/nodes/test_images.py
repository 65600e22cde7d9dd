"""The images that `deployment/docker/Dockerfile` makes, executed as it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.testbed.images import archive as oci
from tests.testbed.images import nodes, steps
from tests.testbed.images.builder import Builder, Image

# Whom Kubernetes runs it as; somebody of OpenShift's choice.
USERS = ("1000:1000", "1000720000:0")
_MEGABYTE = 1_000_000


@dataclass
class Made:
    """A finished image."""

    image: Image
    builder: Builder

    def look(self, command: str, user: str = USERS[0]) -> str:
        """What a shell command prints in it."""
        layers = [self.builder.changes(layer) for layer in self.image.layers]
        return steps.look(layers, command, environment=dict(self.image.environment), user=user)

    def size(self) -> int:
        """Bytes when unpacked."""
        return sum(oci.layer(self.builder, layer).plain_size for layer in self.image.layers)


@pytest.fixture(scope="module")
def made(archive: Path) -> Iterator[dict[str, Made]]:
    """Both images by name; the archive was written of the same."""
    with Builder(nodes.cache()).locked() as builder:
        images = nodes.ours(builder)
        yield {"api": Made(images[nodes.API], builder), "executor": Made(images[nodes.EXECUTOR], builder)}


@pytest.fixture(params=["api", "executor"])
def one(made: dict[str, Made], request: pytest.FixtureRequest) -> Made:
    """Each of them."""
    return made[request.param]


@pytest.mark.parametrize("user", USERS)
def test_program_runs_as_anybody_on_a_read_only_root(one: Made, user: str) -> None:
    assert one.look("kubently --version", user) == f"kubently, version {version('kubently')}\n"
    assert one.look("kubently api --help && kubently executor --help && touch $HOME/written", user)


def test_user_is_a_number_other_than_root(one: Made) -> None:
    assert one.image.user == "1000:1000"
    assert one.image.entrypoint == ("kubently",)


def test_no_file_makes_anybody_root(one: Made) -> None:
    assert one.look("find / -xdev -type f -perm /6000", user="0:0") == ""


def test_nothing_can_be_written_but_tmp(one: Made) -> None:
    places = one.look("find / -xdev -type d -perm -o=w -not -path '/proc/*'", user="0:0").split()

    assert set(places) <= {"/tmp", "/var/tmp", "/run/lock"}


def test_no_tools_of_the_build_are_left(one: Made) -> None:
    assert one.look("command -v pip pip3 gcc cc make; ls /opt/kubently/bin | grep -i pip; true") == ""
    left = "find /root/.cache /tmp /mnt /wheels /build /var/cache/apt -type f -size +0 2>/dev/null; true"
    assert one.look(left, user="0:0") == ""
    assert one.look("ls /var/lib/apt/lists") == ""


def test_nothing_of_the_building_machine_is_left(one: Made) -> None:
    assert one.look("ls -A /mnt; cat /etc/apt/sources.list; ls /etc/pip.conf; true", user="0:0") == ""
    assert one.look("wc -c < /etc/apt/apt.conf.d/../../hostname").strip() == "0"


def test_code_is_compiled(one: Made) -> None:
    package = "/opt/kubently/lib/python3*/site-packages/kubently"

    sources = one.look(f"find {package} -name '*.py' | wc -l")
    compiled = one.look(f"find {package} -name '*.pyc' | wc -l")

    assert sources == compiled != "0\n"


def test_groups_of_the_key_exchange_are_ours(one: Made) -> None:
    written = Path(__file__).parents[2] / "deployment" / "docker" / "openssl.cnf"

    assert one.look("cat $OPENSSL_CONF") == written.read_text()


def test_executor_has_kubectl_and_what_one_looks_for_trouble_with(made: dict[str, Made]) -> None:
    executor = made["executor"]

    assert "Client Version" in executor.look("kubectl version --client")
    assert executor.look("curl --version").startswith("curl ")
    assert executor.look("openssl version").startswith("OpenSSL ")
    assert "127.0.0.1" in executor.look("nslookup localhost 127.0.0.1 2>&1; true")


def test_api_has_no_kubectl(made: dict[str, Made]) -> None:
    assert made["api"].look("command -v kubectl curl openssl nslookup; true") == ""


def test_images_are_small(made: dict[str, Made], say: Callable[[str], None]) -> None:
    sizes = {name: one.size() / _MEGABYTE for name, one in made.items()}

    say("images, unpacked: " + ", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items()))

    assert sizes["api"] < 300
    assert sizes["executor"] < 360


def test_layers_below_are_shared(made: dict[str, Made]) -> None:
    assert made["api"].image.layers[:3] == made["executor"].image.layers[:3]
