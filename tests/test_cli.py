"""The command line: wrong use is one line with its remedy and exit code 2; help and reports import no torch."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import command, environment

import smoothvote
from db.migrations import upgrade
from db.session import open_engine
from db.settings import Settings

Said = tuple[int, str, str]
Call = Callable[..., Said]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command in this process and an empty folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object, **env: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["smoothvote", *map(str, words)])
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            smoothvote.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "n01440764_tench.JPEG").write_bytes(b"not read by producers")
    return folder


REDIS_DOWN = "redis://:hunter2@127.0.0.1:1/0"
POSTGRES_DOWN = "postgresql://somebody:hunter2@127.0.0.1:1/nowhere"


@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        (["run", "nowhere"], {}, "nowhere: no such folder; name a folder of images"),
        (["run", "empty"], {}, "empty: no images in it"),
        (["run", "images", "--levels", "0,x"], {}, "'0,x' is not numbers between commas"),
        (["run", "images", "--levels", "0,-1"], {}, "--levels: input should be greater than or equal to 0"),
        (["run", "images", "--levels", "0,0"], {}, "--levels: the same level is given twice"),
        (["run", "images", "--kernel-size", "4"], {}, "--kernel-size: 4 is even"),
        (["run", "images", "--model", "resnet50"], {}, "unknown model 'resnet50': did you mean torchvision/resnet50 or timm/resnet50? use "),
        (["run", "images", "--model", "nowhere.pth"], {}, "name its architecture with --arch"),
        (["run", "images", "--model", "no.pth", "--arch", "timm/resnet18"], {}, "name a .safetensors, .pth or .pt file"),
        (["run", "images", "--plot", "a.jpg"], {}, "--plot a.jpg: end the name in .png, .svg, .pdf"),
        (["run", "wrong"], {}, "wrong: folder 'zoo' is no class of the model"),
        (["run", "wrong.csv"], {}, "wrong.csv line 2: label 'zoo' is no class of the model"),
        (["run", "http://localhost/images"], {}, "http URLs are not allowed here"),
        (["run"], {}, "Missing argument 'IMAGES' (see `smoothvote run --help`)"),
        (["run", "images", "--wrokers", "2"], {}, "No such option '--wrokers'"),
        (["wrok"], {}, "No such command 'wrok'"),
        (["submit", "images"], {}, "no queue is set: export SMOOTHVOTE_BROKER_URL=redis://HOST:6379/0"),
        (["certify", "images", "--submit"], {}, "use a command that starts its own: `smoothvote run`, or `certify` or `sweep` without --submit"),
        (["worker"], {}, "no queue is set"),
        (["run", "images", "--workers", "0"], {}, "set SMOOTHVOTE_BROKER_URL"),
        (["submit", "images"], {"SMOOTHVOTE_BROKER_URL": "amqp://localhost"}, "SMOOTHVOTE_BROKER_URL: must be redis://HOST"),
        (["submit", "images"], {"SMOOTHVOTE_BROKER_URL": "redis://localhost:port"}, "SMOOTHVOTE_BROKER_URL: "),
        (["run", "images", "--model", "timm/resnet18", "--weights", "X"], {}, "--weights: only torchvision/ models"),
        (["report"], {}, "no runs are recorded here"),
        (["report", "latest", "--format", "word"], {}, "'word' is not one of "),
        (["report"], {"SMOOTHVOTE_DATABASE_URL": POSTGRES_DOWN}, "cannot reach the database at postgresql nowhere on 127.0.0.1"),
        (["report"], {"SMOOTHVOTE_DATABASE_URL": "mysql://x/y"}, "mysql is not supported"),
        (["report"], {"SMOOTHVOTE_DATABASE_URL": "sqlite:///fresh.db"}, "is not set up: run `smoothvote db upgrade`"),
        (["report"], {"SMOOTHVOTE_WINDOW": "many"}, "SMOOTHVOTE_WINDOW: input should be a valid integer"),
        (["report"], {"SMOOTHVOTE_DEVICE": "gpu"}, "SMOOTHVOTE_DEVICE: must be auto, cpu or cuda:N (it is 'gpu')"),
        (["classify", "a.jpg", "--device", "tpu"], {}, "SMOOTHVOTE_DEVICE: must be auto, cpu or cuda:N"),
        (["report", "no-such-run"], {"SMOOTHVOTE_DATABASE_URL": "sqlite:///record.db"}, "`smoothvote runs` lists them"),
        (["cancel", "no-such-run"], {"SMOOTHVOTE_DATABASE_URL": "sqlite:///record.db"}, "`smoothvote runs` lists them"),
        (
            ["submit", "images"],
            {"SMOOTHVOTE_DATABASE_URL": "sqlite:///record.db", "SMOOTHVOTE_BROKER_URL": REDIS_DOWN},
            "cannot reach the queue at redis://***@127.0.0.1:1/0",
        ),
        (
            ["worker"],
            {"SMOOTHVOTE_DATABASE_URL": "sqlite:///record.db", "SMOOTHVOTE_BROKER_URL": REDIS_DOWN},
            "cannot reach the queue at redis://",
        ),
        (["worker"], {"SMOOTHVOTE_BROKER_URL": "redis://:hunter2@h/0?foo=1"}, "Redis's client cannot read redis://***@h/0?foo=1"),
        (["run", "images"], {"SMOOTHVOTE_BROKER_URL": "redis://:hunter2@h/0?foo=1"}, "Redis's client cannot read redis://"),
        (
            ["run", "images"],
            {"SMOOTHVOTE_BROKER_URL": REDIS_DOWN},
            "cannot reach the queue at redis://***@127.0.0.1:1/0",
        ),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line_with_its_remedy(
    call: Call, images: Path, words: list[str], env: dict[str, str], said: str
) -> None:
    (images.parent / "empty").mkdir()
    (images.parent / "wrong" / "zoo").mkdir(parents=True)
    (images.parent / "wrong" / "zoo" / "a.jpg").touch()
    (images.parent / "wrong.csv").write_text("file_name,label\na.jpg,zoo\n")
    engine = open_engine(Settings(database_url=f"sqlite:///{images.parent / 'record.db'}"))
    upgrade(engine)
    engine.dispose()
    code, out, err = call(*words, **env)
    assert code == 2, err
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1, err
    assert err.startswith("smoothvote: ")
    assert "hunter2" not in err


def test_help_names_every_verb(call: Call) -> None:
    code, out, _ = call("--help")
    assert code == 0
    for verb in smoothvote.front_door.commands:
        assert f"  {verb} " in out


def test_the_list_of_commands_has_a_line_for_each_on_80_columns(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = call("--help")[1]
    listed = [line.split()[0] for line in out.partition("\nMeasure:")[2].splitlines() if line.startswith("  ")]
    assert set(smoothvote.front_door.commands) == set(listed) - {"Begin"}
    assert "..." not in out.partition("\nMeasure:")[2]


@pytest.mark.parametrize("verb", sorted(smoothvote.front_door.commands))
def test_every_verb_and_flag_has_help(call: Call, verb: str) -> None:
    code, out, _ = call(verb, "--help")
    assert code == 0
    found = smoothvote.front_door.commands[verb]
    assert found.help
    for parameter in found.params:
        assert parameter.param_type_name == "argument" or getattr(parameter, "help", None), parameter.name
        assert parameter.param_type_name == "argument" or parameter.opts[0] in out


def test_a_dry_run_says_what_would_be_submitted_and_does_nothing(call: Call, images: Path) -> None:
    import json

    code, out, _ = call("submit", "images", "--preset", "article", "--dry-run")
    plan = json.loads(out)
    assert code == 0
    assert (plan["images"], plan["labelled"], plan["jobs"], plan["views"]) == (1, 1, 1, 12)
    assert plan["recipe"]["antialias"] is False
    assert not (images.parent / ".smoothvote").exists()


def test_without_a_verb_the_help_is_shown(call: Call) -> None:
    code, _, err = call()
    assert code == 2
    assert "smoothvote demo" in err


def test_help_and_report_import_no_torch_and_no_queue(tmp_path: Path) -> None:
    engine = open_engine(Settings(database_url=f"sqlite:///{tmp_path / 'record.db'}"))
    upgrade(engine)
    engine.dispose()
    env = environment({"SMOOTHVOTE_DATABASE_URL": f"sqlite:///{tmp_path / 'record.db'}"})
    for words in (["--help"], ["report", "latest"]):
        said = subprocess.run(
            [sys.executable, "-X", "importtime", *command(*words)[1:]],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        ).stderr
        imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in said.splitlines() if "|" in line}
        assert not imported & {"torch", "celery", "PIL", "matplotlib", "alembic"}, words


def test_a_pipe_that_is_closed_early_is_no_error(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("--help"), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=30)
    assert b"Traceback" not in err


def test_python_m_smoothvote_is_the_same_command(tmp_path: Path) -> None:
    said = subprocess.run(command("--version"), cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True)
    assert said.stdout.startswith("smoothvote, version ")
