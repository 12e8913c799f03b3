"""``rnnserve models``: what it prints, what it leaves behind, and its exit status."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from pathlib import Path

import pytest

from app.cli import main
from tests.e2e.server import ServerProcess
from tests.models_lifecycle.shelf import Shelf, states, text_of, until


def rnnserve(*arguments: object) -> tuple[int, str]:
    """Exit status and output of ``rnnserve models ...``."""
    return command("models", *arguments)


def command(*arguments: object) -> tuple[int, str]:
    """Exit status and output of ``rnnserve ...``, run in this process by its own entry point."""
    said = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        patch.setattr("sys.argv", ["rnnserve", *map(str, arguments)])
        for name in [name for name in os.environ if name.startswith("RNNSERVE_")]:
            patch.delenv(name)
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0), said.getvalue()


def test_verify_reports_each_check_of_a_folder_and_of_a_name(shelf: Shelf, models: Path) -> None:
    """With what was found and what is allowed."""
    shelf.put(models, "text", "2")
    for target in (models / "text" / "1", "text@1"):
        status, said = rnnserve("verify", target, "--models", models)
        assert status == 0, said
        for subject in ("manifest", "files", "task", "graph", "golden", "step by step", "one by one", "bits"):
            assert f"  ok   {subject}" in said
        assert said.rstrip().endswith("good")
        assert "text/2" not in said
    assert rnnserve("verify", "text", "--models", models)[1].count("  ok   golden") == 2


def test_verify_fails_with_the_first_thing_that_is_wrong(models: Path) -> None:
    """And exit status 1; what is not there is 2."""
    (models / "text" / "1" / "tokenizer.json").write_text("{}")
    status, said = rnnserve("verify", "text", "--models", models)
    assert status == 1
    assert "BAD  bundle       tokenizer.json does not have the sha256" in said
    status, said = rnnserve("verify", "nobody", "--models", models)
    assert status == 2
    assert "neither a folder nor a NAME" in said


def test_add_label_and_list_reach_a_running_server(shelf: Shelf, models: Path, tmp_path: Path) -> None:
    """From a folder and from an archive; the server follows by itself."""
    packed = shutil.make_archive(str(tmp_path / "three"), "gztar", shelf.path("text", "3"))
    with ServerProcess(models, models_poll_s=0.2) as server, server.client() as client:
        assert rnnserve("label", "text", 1, "stable", "--models", models)[0] == 0
        assert rnnserve("add", shelf.path("text", "2"), "--models", models)[0] == 0
        status, said = rnnserve("add", packed, "--models", models)
        assert (status, said.split(":")[0]) == (0, "text@3 added")
        until(lambda: states(client).get("text@3") == "ready", "the new versions", server=server)
        assert text_of(client)[0] == "text@1"
        status, said = rnnserve("label", "text", 3, "canary", "--share", "100%", "--models", models)
        assert (status, said) == (0, "text@canary is text@3, share 100%\n")
        until(lambda: text_of(client)[0] == "text@3", "the canary", server=server)
        assert rnnserve("unlabel", "text", "canary", "--models", models)[0] == 0
        until(lambda: text_of(client)[0] == "text@1", "the end of the canary", server=server)
    status, said = rnnserve("list", "--models", models)
    assert status == 0
    assert [line.split() for line in said.splitlines()] == [
        ["mood@1", "sentiment", "gru"],
        ["text@1", "generate", "lstm", "stable"],
        ["text@2", "generate", "lstm"],
        ["text@3", "generate", "lstm"],
    ]
    listed = json.loads(rnnserve("list", "--json", "--models", models)[1])
    assert [one["labels"] for one in listed] == [{}, {"stable": 0.0}, {}, {}]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["label", "text", "9", "canary"], "has no version '9'; it has 1"),
        (["label", "nobody", "1", "canary"], "there is no model 'nobody'"),
        (["label", "text", "1", "canary", "--share", "half"], "'half' is not a share"),
        (["label", "text", "1", "canary", "--share", "101%"], "'101%' is not a share"),
        (["label", "text", "1", "stable", "--share", "5%"], "has no share of its own"),
        (["label", "text", "1", "Canary"], "Canary"),
        (["label", "text", "1", "1"], "is a version of text"),
        (["unlabel", "text", "canary"], "has no label 'canary'; it has none"),
        (["add", "/nowhere"], "there is no '/nowhere'"),
        (["add", "ftp://host/x"], "ftp://"),
        (["pull"], "names no place on the network"),
    ],
)
def test_mistakes_are_named(models: Path, arguments: list[str], words: str) -> None:
    """Exit status 2, one line, and nothing has changed."""
    status, said = rnnserve(*arguments, "--models", models)
    assert status == 2, said
    assert words in said
    assert "Traceback" not in said
    assert not (models / "text" / "labels.json").exists()


def test_a_bundle_whose_manifest_is_another_is_not_added(shelf: Shelf, models: Path) -> None:
    """``--sha256`` pins it, and through it every file."""
    source = shelf.path("text", "2")
    status, said = rnnserve("add", source, "--sha256", "0" * 64, "--models", models)
    assert status == 2
    found = said.split("has the sha256 ")[1][:64]
    assert rnnserve("add", source, "--sha256", found, "--models", models)[0] == 0


def test_places_are_given_several_times_or_by_commas(tmp_path: Path) -> None:
    """As flags, in the variable, and as a list in the settings file; those that cannot be are named."""
    places = ["folder", "s3://bucket/prefix", "hf://owner/repository@main"]
    expected = 'models = "folder,s3://bucket/prefix,hf://owner/repository@main"'
    file = tmp_path / "settings.toml"
    file.write_text(f"models = {json.dumps(places)}")
    repeated = [part for place in places for part in ("--models", place)]
    for arguments in (repeated, ["--models", ",".join(places)], ["--config", str(file)]):
        status, said = command("config", *arguments)
        assert (status, expected in said) == (0, True), said
    for wrong, words in (
        ("gopher://host/x", "gopher:// is not read here"),
        ("https://user:secret@host/x", "an address holds no password"),
        ("s3://", "needs a host, a bucket or an owner"),
        (",", "name at least one place"),
    ):
        status, said = command("config", "--models", wrong)
        assert (status, words in said) == (2, True), said
        assert "secret" not in said


def test_several_folders_are_listed_and_the_first_that_has_a_version_counts(
    shelf: Shelf, models: Path, tmp_path: Path
) -> None:
    """For the commands as for the server."""
    second = tmp_path / "second"
    shelf.put(second, "text", "2")
    shelf.put(second, "series", "1")
    other = shutil.copytree(shelf.path("text", "3"), second / "text" / "1")
    manifest = json.loads((other / "manifest.json").read_text()) | {"version": "1"}
    (other / "manifest.json").write_text(json.dumps(manifest))
    status, said = rnnserve("--models", models, "--models", second)
    assert status == 0
    assert "5 bundles" in said
    with ServerProcess(models) as alone, alone.client() as client:
        expected = text_of(client, "text@1")
    with ServerProcess(f"{models},{second}") as server, server.client() as client:
        assert text_of(client, "text@1") == expected
        assert text_of(client)[0] == "text@2"
        assert client.post("/forecast", json={"values": [1, 2, 3], "horizon": 2}).status_code == 200


def test_places_before_the_command_hold_for_it(shelf: Shelf, models: Path, tmp_path: Path) -> None:
    """And those behind it win."""
    for words in (
        ["list"],
        ["verify", "text"],
        ["label", "text", "1", "stable"],
        ["unlabel", "text", "stable"],
    ):
        status, said = rnnserve("--models", models, *words)
        assert status == 0, said
    shelf.put(tmp_path / "other", "series", "1")
    status, said = rnnserve("--models", models, "list", "--models", tmp_path / "other")
    assert status == 0, said
    assert "series@1" in said
    assert "text@1" not in said


def test_keys_are_listed_and_revoked(tmp_path: Path) -> None:
    """Without a key or a hash in what is printed."""
    file = tmp_path / "keys.toml"
    key = command("keys", "new", "alice", "--append", file)[1].strip()
    command("keys", "new", "ops", "--role", "admin", "--append", file)
    file.write_text(f"{file.read_text()}expires = 2020-01-01T00:00:00Z\n")
    status, said = command("keys", "list", "--keys", file)
    assert status == 0
    assert said == (
        "alice                    user   1 key    expires never\n"
        "ops                      admin  1 key    expires 2020-01-01T00:00Z (expired)\n"
    )
    assert command("keys", "revoke", "alice", "--keys", file) == (0, f"alice is no longer in {file}\n")
    assert command("keys", "list", "--keys", file)[1].startswith("ops ")
    assert key not in said
    status, said = command("keys", "revoke", "alice", "--keys", file)
    assert (status, said) == (2, f"rnnserve: {str(file)!r} has no 'alice'; it has ops\n")
    assert command("keys", "list")[0] == 2
