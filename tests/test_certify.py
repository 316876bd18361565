"""The command `certify` and what the other commands say of its runs: flags, refusals, plans, result files."""

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from certificates import TRUE, by_hand, certified_run, certifying, example
from commands import call, servers
from rows import finish_all, jobs, record
from sqlalchemy import Engine, select

from cli.certify import LEFT_OUT, certificate_from, certify
from cli.flags import OPTION_FLAGS, OPTIONS
from db.errors import WRONG_USE, SmoothvoteError
from db.recipe import Recipe
from db.session import reading
from db.tables import Dataset
from smoothvote import front_door

one_kind = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

TSV = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.6\t1\t0:00:01\n1\t2\t-1\t0.0\t0\t0:00:01\n"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Files by whose names three photographs have labels; nobody opens them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("n01440764_a", "n01440764_b", "n01443537_c"):
        (folder / f"{name}.JPEG").write_bytes(name.encode())
    return folder


def recipe(**given: Any) -> Recipe:
    flags: dict[str, Any] = {"sigma": (0.25,), "n0": 100, "denoiser": None, "smoother": None, "classes": None}
    return certificate_from(**flags | given)


# -- flags -------------------------------------------------------------------------------------------------------


def test_the_flags_make_the_recipe_of_a_certificate() -> None:
    found = recipe(sigma=(1.0, 0.25), n0=50, seed=3)
    assert (found.certifies, found.selection, found.levels) == (True, 50, (0.25, 1.0))
    assert (found.perturbation, found.smoother, found.seed) == ("gaussian", "none", 3)


def test_a_denoiser_is_the_smoother_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "d.safetensors").write_bytes(b"weights")
    file = str(tmp_path / "d.safetensors")
    assert recipe(denoiser=file) == recipe(smoother=f"denoiser:{file}")


def test_every_option_of_other_perturbations_is_left_out() -> None:
    assert len(OPTION_FLAGS) == len(OPTIONS) + 1
    assert set(LEFT_OUT) == {"perturbation", "levels", "preset", "option", *OPTIONS}
    assert not {param.name for param in certify.params} & set(LEFT_OUT)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--sigma", "0"), "--sigma 0: each noise level must be above 0, and at most 10"),
        (("--sigma", "0.5,11"), "--sigma 0.5,11: each noise level must be above 0, and at most 10"),
        (("--sigma", "nan"), "--sigma nan: each noise level must be above 0, and at most 10"),
        (("--sigma", "0.5,0.50"), "--sigma: the same noise level is given twice"),
        (("--n", "9"), "--n 9: so few copies certify nothing at α = 0.001, even if all have one label; give --n 10 or more, or a larger --alpha"),
        (("--n", "9", "--alpha", "1"), "--alpha 1: give a probability above 0 and below 0.5, such as 0.001"),
        (("--denoiser", "d", "--smoother", "box"), "--denoiser d: --smoother box is given, too; leave one of them out"),
        (("--beside", "x"), "--beside goes with --from-tsv; to set two runs side by side use `smoothvote compare RUN RUN`"),
        (("--from-tsv", "0.25=x"), "give IMAGES to certify, or --from-tsv to report result files, not both"),
    ],
)  # fmt: skip
def test_what_can_never_certify_is_refused_before_anything_is_recorded(
    tmp_path: Path, photos: Path, given: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert one_line("certify", photos, *given) == said
    assert not (tmp_path / ".smoothvote").exists()


def test_without_images_or_files_the_line_says_what_to_give() -> None:
    assert one_line("certify").startswith("name the IMAGES to certify; or with --from-tsv")


def one_line(*words: str | Path) -> str:
    """What a command says that is refused."""
    with pytest.raises(SmoothvoteError) as error:
        front_door.main([*map(str, words)], standalone_mode=False)
    assert error.value.exit_code == WRONG_USE
    return str(error.value)


def test_a_dry_run_says_how_many_copies_views_and_jobs_there_would_be(tmp_path: Path, photos: Path) -> None:
    sigmas = ("--sigma", "0.25,0.5", "--model", "efficientnet_lite0")
    plan = json.loads(call("certify", photos, *sigmas, "--n", "900", "--dry-run", cwd=tmp_path).stdout)
    assert plan["name"] == "photos-efficientnet_lite0-certificate"
    assert (plan["images"], plan["n0"], plan["n"], plan["copies"], plan["views"]) == (3, 100, 900, 1000, 3 * 1000 * 2)
    # A job has 1,000 views: at two σ, 500 copies of one image. 100 + 4 × 100, then 500.
    assert plan["jobs"] == 3 * 2
    assert (plan["recipe"]["selection"], plan["recipe"]["smoother"]) == (100, "none")
    assert not (tmp_path / ".smoothvote").exists()


def test_more_copies_than_any_run_can_have_are_refused_at_once(tmp_path: Path, photos: Path) -> None:
    for flag in ("--n", "--n0"):
        done = call("certify", photos, flag, "1000000000000", "--dry-run", cwd=tmp_path, code=WRONG_USE)
        assert "is not in the range 1<=x<=10000000" in done.stderr


@one_kind
def test_submit_records_the_copies_and_prints_the_id_alone(
    engine: Engine, tmp_path: Path, photos: Path, redis_url: str
) -> None:
    env = servers(engine, redis_url)
    words = ("certify", photos, "--model", "efficientnet_lite0", "--submit", "--n", "100")
    done = call(*words, cwd=tmp_path, env=env)
    assert done.stdout.strip() == recipe(model="efficientnet_lite0").run_id(fingerprint_of(engine))
    # 1,000 views at one σ: five images with 200 copies each; so all three are one job.
    assert "new run, 1 jobs sent; follow it with: smoothvote watch" in done.stderr
    more = call(*words[:-1], "300", cwd=tmp_path, env=env)
    assert more.stdout == done.stdout
    assert [(job.copies_first, job.copies_last) for job in jobs(engine, done.stdout.strip())] == [(0, 199), (200, 399)]


def fingerprint_of(engine: Engine) -> str:
    with reading(engine) as session:
        return session.scalars(select(Dataset.fingerprint)).one()


def test_without_labels_a_person_is_told_what_there_will_be(tmp_path: Path, photos: Path) -> None:
    done = call("certify", photos, "--labels", "none", "--dry-run", cwd=tmp_path)
    assert "no image has a label: there will be radii and abstentions, and no accuracies" in done.stderr


# -- what other commands say of such a run -----------------------------------------------------------------------


def say(engine: Engine, *words: str | Path, cwd: Path, code: int = 0) -> CompletedProcess[str]:
    url = engine.url.render_as_string(hide_password=False)
    return call(*words, cwd=cwd, env={"SMOOTHVOTE_DATABASE_URL": url}, code=code)


@one_kind
def test_report_answers_for_any_alpha_and_n(engine: Engine, tmp_path: Path) -> None:
    run = certified_run(engine, TRUE[:6], by_hand, n=200, recipe=certifying(levels=(0.5,)))
    found = json.loads(say(engine, "report", "--format", "json", cwd=tmp_path).stdout)
    assert (found["run"]["id"], found["alpha"], found["n"]) == (run.id, 0.001, 200)
    other = ("--alpha", "0.05", "--n", "100")
    found = json.loads(say(engine, "report", *other, "--format", "json", cwd=tmp_path).stdout)
    assert (found["alpha"], found["n"]) == (0.05, 100)
    assert found["levels"][0]["largest_radius"] == pytest.approx(0.944, abs=0.001)  # 0.5 · Φ⁻¹(0.05^(1/100))
    rows = say(engine, "export", *other, "--format", "jsonl", cwd=tmp_path).stdout.splitlines()
    assert {json.loads(row)["n"] for row in rows} == {100}


@one_kind
def test_the_plot_of_a_report_follows_the_kind_of_run(engine: Engine, tmp_path: Path) -> None:
    certified_run(engine, TRUE[:6], by_hand)
    say(engine, "report", "--plot", tmp_path / "certified.png", cwd=tmp_path)
    assert (tmp_path / "certified.png").stat().st_size > 10_000
    with pytest.raises(AssertionError, match="certificates have no such plot; they have --plot"):
        say(engine, "report", "--risk-coverage", tmp_path / "x.png", cwd=tmp_path)


@one_kind
@pytest.mark.parametrize("words", [("report",), ("export",), ("images",), ("compare", "latest", "latest")])
def test_alpha_and_n_are_refused_for_votes(engine: Engine, tmp_path: Path, words: tuple[str, ...]) -> None:
    run_id = record(engine, [1, 1])
    finish_all(engine, run_id)
    with pytest.raises(AssertionError, match=f"run {run_id} has votes of three views, and no certificates: leave out --alpha and --n"):  # fmt: skip
        say(engine, *words, "--alpha", "0.01", cwd=tmp_path)


@one_kind
def test_images_lists_certificates_by_outcome_class_and_number(engine: Engine, tmp_path: Path) -> None:
    run = example(engine)

    def listed(*flags: str) -> list[tuple[str, float | None]]:
        lines = say(engine, "images", run.id, "--format", "jsonl", *flags, cwd=tmp_path).stdout.splitlines()
        return [(row["path"], row["level"]) for row in map(json.loads, lines)]

    assert listed("--outcome", "right", "--level", "0.5") == [("0.jpg", 0.5), ("3.jpg", 0.5)]
    assert listed("--outcome", "abstained", "--level", "0.25") == [("2.jpg", 0.25), ("4.jpg", 0.25)]
    assert listed("--outcome", "failed") == [("6.jpg", None)]
    assert listed("--limit", "3") == [("0.jpg", 0.25), ("0.jpg", 0.5), ("1.jpg", 0.25)]
    # At α = 0.2 the 60 of 100 copies of the third image are enough: its bound is above 1/2.
    assert ("2.jpg", 0.25) in listed("--outcome", "right", "--alpha", "0.2")
    table = say(engine, "images", run.id, cwd=tmp_path).stdout
    assert "truncated: " in table
    assert "100 of 100" in table


@one_kind
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("images", "--outcome", "rejected"), "--outcome rejected: certificates have right, wrong, abstained, unlabelled, failed, skipped"),
        (("show", "0.jpg"), "has certificates, and no votes of three views: `smoothvote export"),
        (("report", "--n", "50"), "--n 50: the copies of run"),
        (("report", "--n", "5"), "--n 5: so few copies certify nothing"),
    ],
)  # fmt: skip
def test_what_a_certified_run_cannot_answer_is_one_line(
    engine: Engine, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    example(engine)
    with pytest.raises(AssertionError) as error:
        say(engine, *words, cwd=tmp_path)
    assert said in str(error.value)


@one_kind
def test_runs_and_status_name_a_certified_run(engine: Engine, tmp_path: Path) -> None:
    run = example(engine)
    assert "certificates" in say(engine, "runs", cwd=tmp_path).stdout
    said = say(engine, "status", run.id, cwd=tmp_path, code=3).stdout
    assert "open, 7 of 8 images done (1 failed, 0 skipped), 770 of 880 copies" in said


# -- result files of the reference implementation ----------------------------------------------------------------


@one_kind
def test_result_files_are_reported_alone_and_beside_a_run(engine: Engine, tmp_path: Path) -> None:
    run = certified_run(engine, TRUE[:6], by_hand)
    (tmp_path / "25.tsv").write_text(TSV)
    files = ("certify", "--from-tsv", f"0.25={tmp_path / '25.tsv'}", "--format", "json")
    alone = json.loads(say(engine, *files, cwd=tmp_path).stdout)
    # One of two images is right, with a radius of 0.6; the other one abstains.
    assert [at["value"] for at in alone["levels"][0]["certified_accuracy"][:4]] == [0.5, 0.5, 0.5, 0]
    assert alone["levels"][0]["abstention_rate"] == 0.5
    both = json.loads(say(engine, *files, "--beside", run.id, cwd=tmp_path).stdout)["certified"]
    assert [one["name"] for one in both] == ["certificates", "result files"]
    assert (both[0]["run"]["id"], both[1]["run"]) == (run.id, None)


@pytest.mark.parametrize(
    "flags",
    [("--sigma", "0.25"), ("--workers", "1"), ("--submit",), ("--model", "resnet50"), ("--limit", "3"), ("--dry-run",),
     ("--denoiser", "d"), ("--smoother", "none"), ("--stop-at-radius", "0.5"), ("--name", "mine"), ("--seed", "0")],
)  # fmt: skip
def test_flags_that_mean_nothing_for_result_files_are_refused(tmp_path: Path, flags: tuple[str, ...]) -> None:
    file = tmp_path / "25.tsv"
    file.write_text(TSV)
    said = one_line("certify", "--from-tsv", f"0.25={file}", *flags)
    assert said == f"{flags[0]} goes with IMAGES to certify, not with --from-tsv: leave it out"


def test_result_files_have_the_alpha_and_the_copies_that_a_person_knows(tmp_path: Path) -> None:
    (tmp_path / "25.tsv").write_text(TSV)
    files = ("certify", "--from-tsv", f"0.25={tmp_path / '25.tsv'}", "--format", "json")
    found = json.loads(call(*files, cwd=tmp_path).stdout)
    assert (found["alpha"], found["n0"], found["n"]) == (None, None, None)
    found = json.loads(call(*files, "--alpha", "0.01", "--n0", "100", "--n", "1000", cwd=tmp_path).stdout)
    assert (found["alpha"], found["n0"], found["n"]) == (0.01, 100, 1000)
    assert one_line(*files, "--alpha", "7").startswith("--alpha 7: give a probability")
    assert one_line(*files, "--alpha", "0.001", "--n", "5").startswith("--n 5: so few copies certify nothing")
