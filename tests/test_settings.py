"""What a user has set is read in one place."""

import re
from pathlib import Path

import pytest

import openlumiere
from openlumiere.settings import Policy, Settings, SignerFiles

SOURCE = Path(openlumiere.__file__).parent


def test_an_empty_environment_is_the_default(tmp_path):
    settings = Settings.load({"XDG_CONFIG_HOME": str(tmp_path)})
    own = tmp_path / "openlumiere" / "signer.pem"
    assert settings.signer == SignerFiles(chain=own, key=own, own=True)
    assert settings.policy == Policy(path=tmp_path / "openlumiere" / "policy.json")
    assert (settings.trust, settings.mark_key, settings.tell_prompt) == (None, None, False)
    assert list(tmp_path.iterdir()) == []


def test_every_variable_is_heard(tmp_path):
    (tmp_path / "policy").write_text('{"mode": "report", "without": ["harm"], "frames": true}')
    settings = Settings.load(
        {
            "OPENLUMIERE_POLICY": str(tmp_path / "policy"),
            "OPENLUMIERE_SIGNER": "mine.pem",
            "OPENLUMIERE_TRUST": "roots.pem",
            "OPENLUMIERE_MARK_KEY": "secret",
            "OPENLUMIERE_TELL_PROMPT": "1",
        }
    )
    assert settings == Settings(
        policy=Policy(mode="report", without=("harm",), frames=True, path=tmp_path / "policy"),
        signer=SignerFiles(chain=Path("mine.pem"), key=Path("mine.pem")),
        trust=Path("roots.pem"),
        mark_key=Path("secret"),
        tell_prompt=True,
    )


def test_a_signer_is_two_files():
    settings = Settings.load({"OPENLUMIERE_SIGNER": "mine.pem"}, certificate="a.crt", key="a.key")
    assert settings.signer == SignerFiles(chain=Path("a.crt"), key=Path("a.key"))
    with pytest.raises(ValueError, match="expected a certificate and its key, got the key alone"):
        Settings.load({}, key="a.key")


def test_only_the_settings_read_our_variables():
    reading = re.compile(r"OPENLUMIERE_(POLICY|SIGNER|TRUST|MARK_KEY|TELL_PROMPT)")
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if reading.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"settings.py"}


@pytest.mark.parametrize("room", ["safety", "provenance"])
def test_the_library_does_not_print(room):
    assert not [path for path in (SOURCE / room).rglob("*.py") if "print(" in path.read_text()]
