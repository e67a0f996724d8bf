"""What README and docs/ say is true: commands exist, Python runs, JSON is JSON, links lead somewhere, targets are there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

import backtester
from backtester.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "queries" / "README.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(*languages: str) -> list[pytest.param]:
    """Every fenced block of these languages, named by page and line."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            if block[1] in languages:
                line = text.count("\n", 0, block.start()) + 1
                found.append(pytest.param(block[2], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


def bt_lines() -> Iterator[str]:
    """Every command line of the pages that begins with `bt `, in a shell block or between backticks."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            if block[1] in ("sh", "console", "bash"):
                yield from (line.removeprefix("$ ").strip() for line in block[2].splitlines() if line.removeprefix("$ ").startswith("bt "))
        yield from re.findall(r"`(bt [a-z][^`\n]*)`", FENCE.sub("", text))


def targets() -> dict[str, str]:
    """The Makefile's targets that a user calls, each with its sentence ('' where it has none)."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return {name: sentence.strip() for name, sentence in re.findall(r"^([a-z][a-z-]*):[^=\n#]*(?:## (.*))?$", text, re.MULTILINE)}


@pytest.mark.parametrize("text", blocks("bash"))
def test_shell_scripts_of_the_docs_are_scripts(text: str) -> None:
    done = subprocess.run(["/bin/bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text", blocks("yaml"))
def test_manifests_of_the_docs_are_yaml_with_pods_whose_volumes_are_there(text: str) -> None:
    manifest = yaml.safe_load(text)
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    cluster = manifest["spec"]["rayClusterSpec"]
    pods = [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    for pod in pods:
        known = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]} <= known
        assert all(container["image"] and container["resources"]["limits"] for container in pod["containers"])
    words = shlex.split(manifest["spec"]["entrypoint"])
    assert words[0] == "bt"
    command = main.get_command(click.Context(main), words[1])
    assert command is not None
    assert {word for word in words if word.startswith("--")} <= {option for found in command.params for option in found.opts}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a checkout after `make demo` and `make sweep`: the configs, a simulated lake, a finished run, a finished sweep."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "configs", folder / "configs")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in re.findall(r"\$\(BIN\)/bt (.*)", makefile):
            words = shlex.split(line.replace("$(DEMO)", "configs/quickstart.json").replace("$(SWEEP)", "configs/sweeps/sma_crossover.json"))
            words = [word.replace("$(WALK)", "configs/sweeps/walk_forward.json") for word in words]
            found = CliRunner().invoke(main, words, catch_exceptions=False)
            assert found.exit_code == 0, found.output
    return folder


@pytest.mark.parametrize("line", sorted(set(bt_lines())))
def test_a_bt_line_of_the_docs_names_a_command_and_its_options(line: str) -> None:
    words = [word for word in shlex.split(line, comments=True)[1:] if word not in ("|", "...")]
    command: click.Command = main
    context = click.Context(main, info_name="bt")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]!r}"
        command, context, words = found, click.Context(found, parent=context, info_name=words[0]), words[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help", "--debug"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("code", blocks("python"))
def test_a_python_block_of_the_docs_runs(code: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    exec(compile(code, "docs", "exec"), {"__name__": "docs"})


SQL_LINES = [line for line in (ROOT / "docs" / "sql.md").read_text(encoding="utf-8").splitlines() if line.startswith("bt ")]


@pytest.mark.parametrize("line", SQL_LINES)
def test_a_command_of_the_page_about_sql_answers(line: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    done = CliRunner().invoke(main, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) > 1 or "rows in" in done.stdout


def examples(command: click.Command = main) -> Iterator[str]:
    """Every command line of the helps that begins with `bt `."""
    yield from re.findall(r"^ +(bt .*)$", command.epilog or "", re.MULTILINE)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from examples(found)


@pytest.mark.slow
def test_every_example_of_a_help_works(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, in a folder with the configs and the lake of `make demo`; but for those that name files of one's own, and
    `bt regress check`, which starts many processes and has tests of its own.
    """
    own = ("bt regress check ", "bt data import ", "bt data actions add actions.csv", "bt data actions import-lean ")
    lines = [line for line in dict.fromkeys(examples()) if not line.startswith(own)]
    assert len(lines) > 30
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copytree(workspace / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for line in lines:
        done = CliRunner().invoke(main, shlex.split(line.removesuffix(" > config.schema.json"))[1:])
        assert done.exit_code == (9 if line.startswith("bt diff") else 0), f"{line}\n{done.output}"


STRATEGIES = [block for block in blocks("python") if re.search(r"^    def signals\(", block.values[0], re.MULTILINE)]


@pytest.mark.parametrize("code", STRATEGIES)
def test_a_strategy_of_the_docs_trades(code: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = re.search(r"^class (\w+)\(Strategy\)", code, re.MULTILINE)
    assert name is not None
    file = workspace / "configs" / f"{name[1].lower()}.py"
    file.write_text(code, encoding="utf-8")
    monkeypatch.chdir(workspace)
    config = json.loads((workspace / "configs" / "quickstart.json").read_text(encoding="utf-8"))
    config["strategies"] = [{"name": "of_the_docs", "use": f"{file.name}:{name[1]}"}]
    (workspace / "configs" / f"{file.stem}.json").write_text(json.dumps(config), encoding="utf-8")
    run = backtester.run(f"configs/{file.stem}.json")
    assert run.table("trades").height > 0


@pytest.mark.parametrize("text", blocks("console"))
def test_what_the_docs_show_of_a_command_is_what_it_prints(text: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line, _, output = text.partition("\n")
    monkeypatch.chdir(workspace)
    found = CliRunner().invoke(main, shlex.split(line.removeprefix("$ bt ")), catch_exceptions=False)
    assert found.stdout == output


@pytest.mark.parametrize("text", blocks("json"))
def test_a_json_block_of_the_docs_is_json(text: str) -> None:
    json.loads(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_lead_to_files_of_the_project(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_every_target_of_the_makefile_has_a_sentence() -> None:
    assert {name: sentence for name, sentence in targets().items() if not sentence} == {}
    assert {"help", "demo", "test", "lint", "types", "imports", "bench", "properties", "clean"} <= set(targets())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_commands_of_the_docs_are_targets(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.MULTILINE)
    assert set(named) <= set(targets())


def test_the_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_speaks_of_the_machine_it_was_written_on(page: Path) -> None:
    assert re.search(r"/(home|tmp|root|work)/", page.read_text(encoding="utf-8")) is None
