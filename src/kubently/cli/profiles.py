"""Named API endpoints in ``~/.config/kubently/config.json`` (mode 0600)."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from kubently.cli import sessions
from kubently.errors import ConfigError, NotFoundError
from kubently.settings import TrustSettings


@dataclass(frozen=True, slots=True)
class Profile:
    """One endpoint."""

    url: str
    key: str = field(default="", repr=False)
    ca: str = ""
    """Path of a CA file or folder, or PEM text; empty for the system's roots alone."""


@dataclass(frozen=True, slots=True)
class Profiles:
    """All endpoints, and which one is used."""

    current: str = ""
    profiles: Mapping[str, Profile] = field(default_factory=dict)


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the profiles stand."""
    if environ.get("KUBENTLY_CONFIG"):
        return Path(environ["KUBENTLY_CONFIG"])
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config"
    return Path(base) / "kubently" / "config.json"


def load(path: Path) -> Profiles:
    """Read the file; without one there are no profiles. Raises ConfigError."""
    try:
        document = json.loads(path.read_text())
        profiles = {str(name): Profile(**values) for name, values in document["profiles"].items()}
        return Profiles(str(document.get("current", "")), profiles)
    except FileNotFoundError:
        return Profiles()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint="mend it or remove it") from error


def save(path: Path, profiles: Profiles) -> None:
    """Replace the file in one step, so that another reader never sees half of it."""
    document = {"current": profiles.current, "profiles": {n: asdict(p) for n, p in sorted(profiles.profiles.items())}}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".config-")
    with open(handle, "w") as file:
        json.dump(document, file, indent=2)
    os.replace(name, path)


def add(path: Path, name: str, profile: Profile, *, use: bool) -> None:
    """Set a profile; it becomes the current one with *use*, or when there is none."""
    known = load(path)
    current = name if use or not known.current else known.current
    save(path, Profiles(current, {**known.profiles, name: profile}))


def chosen_name(environ: Mapping[str, str], *, name: str = "") -> str:
    """The name of the profile that `choose` reads; empty when the environment alone says it all."""
    if chosen := name or environ.get("KUBENTLY_PROFILE", ""):
        return chosen
    return "" if environ.get("KUBENTLY_URL") else load(config_path(environ)).current


def choose(environ: Mapping[str, str], *, name: str = "", offline: bool = False) -> Profile:
    """The endpoint to use: the environment's, else the named, else the current profile.

    ``KUBENTLY_URL``, ``KUBENTLY_API_KEY`` and ``KUBENTLY_CA_CERT`` win over a profile's values. Without a key it is the
    token of the session that `kubently login` keeps, renewed where it must be; with *offline* it is not looked for.
    Raises ConfigError, SessionExpiredError.
    """
    known = load(config_path(environ))
    name = chosen_name(environ, name=name)
    if name and name not in known.profiles:
        raise NotFoundError(f"there is no profile {name!r}", hint="kubently profile list shows them")
    profile = known.profiles.get(name, Profile(""))
    url = environ.get("KUBENTLY_URL") or profile.url
    if not url:
        raise ConfigError(
            "no API is configured",
            hint="kubently up starts one here; kubently login --url URL, or profile add, names one elsewhere",
        )
    key = environ.get("KUBENTLY_API_KEY") or profile.key
    chosen = Profile(url, key, environ.get("KUBENTLY_CA_CERT") or profile.ca)
    if key or offline:
        return chosen
    path = sessions.path_of(config_path(environ), name)
    return replace(chosen, key=sessions.current(path, url, trusting(environ, chosen)))


UNVERIFIED = "warning: KUBENTLY_SSL_VERIFY=false: whoever answers gets the API key, its certificate is not verified"


def trusting(environ: Mapping[str, str], chosen: Profile) -> TrustSettings:
    """Whom to trust: the environment's word, with the CA of *chosen*. Raises ConfigError."""
    return replace(TrustSettings.from_env(environ), ca_cert=chosen.ca)
