"""The command line: ``python -m tlcore …``.

Errors go to stderr in one line that says what to do, with exit code 2.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tlcore.cli_beyond import beyond
from tlcore.cli_export import export
from tlcore.cli_own import own
from tlcore.cli_pairs import similarity
from tlcore.cli_predict import predict
from tlcore.console import Runner, err, out, show_comparison, table, write_text
from tlcore.data import DATASETS
from tlcore.errors import Stopped, UserError
from tlcore.experiment import QUERY_KEYS, Experiment
from tlcore.models import BACKBONES, get_backbone
from tlcore.presets import PRESETS, RECORDS, Preset
from tlcore.results import Comparison
from tlcore.scenario import FAR, FEW, MANY, NEAR, TARGET
from tlcore.strategies import STRATEGIES
from tlcore.sweep import FACTORS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; None for the process's own.

    Returns:
        Exit code: 0 when done, 2 for an error that the person can mend, 130 when interrupted.
    """
    try:
        result = commands.main(
            args=list(arguments) if arguments is not None else None, prog_name="tlcore", standalone_mode=False
        )
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        return _fail(f"{error.format_message().rstrip('.')}: see `{_path_of(error)} --help`")
    except UserError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, click.Abort, Stopped):
        err.print("stopped: nothing was written; arms that had finished are kept and found again")
        return 130
    return result if isinstance(result, int) else 0


def _fail(message: str) -> int:
    # Not through rich, which would wrap the line at the width of the terminal.
    sys.stderr.write(f"tlcore: {message}\n")
    return 2


def _path_of(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx is not None else "tlcore"


@click.group(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def commands() -> None:
    """Learn transfer learning by measuring it: train several strategies on the same data, steps and seeds."""


def _experiment_options(*without: str, **defaults: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an option for every field of `Experiment`, so that a new field needs no second list.

    Args:
        *without: Fields that the command sets itself.
        **defaults: Defaults that the command shows in place of the experiment's.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for field in reversed(QUERY_KEYS.values()):
            if field in without:
                continue
            info = Experiment.model_fields[field]
            default: Any = info.default
            shown = (
                "auto"
                if default is None
                else ",".join(map(str, default))
                if isinstance(default, tuple)
                else str(default)
            )
            function = click.option(
                f"--{field.replace('_', '-')}",
                field,
                metavar=_metavar(field),
                help=f"{info.description}  [default: {defaults.get(field, shown)}]",
            )(function)
        return function

    return decorate


def _running_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that trains."""
    for option in (
        click.option("--quiet", is_flag=True, help="No progress display and no table."),
        click.option("--again", is_flag=True, help="Train arms that were trained before, too."),
        click.option(
            "--processes", type=click.IntRange(1, 64), help="Processes to share the arms.  [default: one a core]"
        ),
        _json_option,
    ):
        function = option(function)
    return function


_json_option = click.option(
    "--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the result, all records, here."
)


def _metavar(field: str) -> str:
    names = {"source": "DATASET", "target": "DATASET", "backbone": "BACKBONE", "strategies": "NAME,NAME,…"}
    return names.get(field, "RATE,RATE,…" if field == "learning_rates" else "VALUE")


def _fields(given: dict[str, str | None]) -> dict[str, Any]:
    """Options as fields of an experiment; what was not given is left out."""
    values: dict[str, Any] = {}
    for field, text in given.items():
        if text is None:
            continue
        if field in ("strategies", "learning_rates"):
            values[field] = _names(text)
        elif text == "auto" and Experiment.model_fields[field].default is None:
            values[field] = None
        else:
            values[field] = text
    return values


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


@commands.command()
@_experiment_options()
@_running_options
def compare(json_path: Path | None, processes: int | None, again: bool, quiet: bool, **given: str | None) -> None:
    """Run a comparison: every strategy with every seed, on the same images, steps and seeds.

    \b
    Example:
      python -m tlcore compare --source mnist --target fashion_mnist \\
        --strategies scratch,feature_extraction,fine_tune_last,fine_tune_all \\
        --labels-per-class 20 --seeds 3 --json out.json
    """
    experiment = Experiment.of(**_fields(given))
    _check_writable(json_path)
    comparison = Runner(processes, quiet, again)(experiment)
    _finish(comparison, json_path, None if quiet else show_comparison)


@commands.command()
@click.option(
    "--vary",
    required=True,
    metavar="FACTOR=VALUE,VALUE,…",
    help="What to vary and its values: " + ", ".join(FACTORS) + " (source_size and depth are other words for two).",
)
@_experiment_options(strategies="the factor's own")
@_running_options
def sweep(
    vary: str, json_path: Path | None, processes: int | None, again: bool, quiet: bool, **given: str | None
) -> None:
    """Run a comparison at several values of one factor, everything else held.

    \b
    Examples:
      python -m tlcore sweep --vary labels_per_class=5,10,20,50,100,500
      python -m tlcore sweep --vary cut=1,2,3 --source mnist --target fashion_mnist
      python -m tlcore sweep --vary source=mnist,drawn_garments,noise_grey --target fashion_mnist
    """
    from tlcore.console import show_sweep
    from tlcore.sweep import plan_sweep
    from tlcore.sweep import sweep as run_sweep

    plan = plan_sweep(vary, _fields(given))
    _check_writable(json_path)
    runner = Runner(processes, quiet, again, total=len(plan.experiments), varied=plan.factor)
    runner.check(plan.experiments)
    _finish(run_sweep(plan, runner), json_path, None if quiet else show_sweep)


@commands.command()
@click.option("--near", metavar="DATASET", help=f"Source that is similar to the target.  [default: {NEAR}]")
@click.option("--far", metavar="DATASET", help=f"Source that is different.  [default: {FAR}]")
@click.option("--few", metavar="VALUE", help=f"Labels a class where they are few.  [default: {FEW}]")
@click.option("--many", metavar="VALUE", help=f"Labels a class where they are many.  [default: {MANY}]")
@_experiment_options(
    "source", "labels_per_class", target=TARGET, strategies="what textbooks advise, with scratch and two controls"
)
@_running_options
def scenario(
    near: str | None,
    far: str | None,
    few: str | None,
    many: str | None,
    json_path: Path | None,
    processes: int | None,
    again: bool,
    quiet: bool,
    **given: str | None,
) -> None:
    """Fill the 2 × 2 map: similar or different source, few or many labels; check the textbook's advice.

    Which source is the similar one is measured first (proxy A-distance of the source's features).
    """
    from tlcore.console import show_scenario
    from tlcore.scenario import plan_scenario
    from tlcore.scenario import scenario as run_scenario

    plan = plan_scenario(near or NEAR, far or FAR, few or FEW, many or MANY, _fields(given))
    _check_writable(json_path)
    runner = Runner(processes, quiet, again, total=len(plan.experiments))
    runner.check(plan.experiments)
    _finish(run_scenario(plan, runner), json_path, None if quiet else show_scenario)


@commands.command()
@_experiment_options("strategies")
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Files with measured records (any --json output) to hold the estimates against; may be repeated.",
)
@click.option("--measure", is_flag=True, help="Measure the gains now, to hold the estimates against.")
@_running_options
def estimate(
    against: tuple[Path, ...],
    measure: bool,
    json_path: Path | None,
    processes: int | None,
    again: bool,
    quiet: bool,
    **given: str | None,
) -> None:
    """Say how well sources may transfer before anything is trained on the target: LEEP, LogME, CKA and others.

    --source may name several, separated by commas. Judging the scores' order needs three or more.

    \b
    Example:
      python -m tlcore estimate --source mnist,uci_digits,drawn_garments --target fashion_mnist --measure
    """
    from tlcore.console import show_estimate
    from tlcore.estimate import FEWEST, plan_estimate
    from tlcore.estimate import estimate as run_estimate
    from tlcore.saved import records_in, run_each

    values = _fields(given)
    sources = _names(values.pop("source", Experiment.model_fields["source"].default))
    experiments = plan_estimate(sources, values)
    if (against or measure) and len(sources) < FEWEST:
        raise UserError(f"judging the order of sources needs {FEWEST} or more of them: name more than {len(sources)}")
    _check_writable(json_path)
    measured = [record for path in against for record in records_in(path)]
    runner = Runner(processes, quiet, again, total=len(experiments), varied="source")
    runner.check(experiments)
    with err.status("looking at the sources", spinner="line") as status:
        status.stop() if quiet else None
        found = run_estimate(experiments, lambda name: status.update(f"looking at {name}"))
    if measure:
        measured += [record for item in run_each(experiments, runner) for record in item.records]
    if measured:
        found = found.against(measured)
    _finish(found, json_path, None if quiet else show_estimate)


@commands.command()
@_experiment_options("strategies")
@click.option("--report", is_flag=True, help="Say how often the advice was the measured best, and what it lost.")
@click.option(
    "--atlas",
    "atlas_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Measured cells.  [default: recorded]",
)
@_json_option
def advise(report: bool, atlas_path: Path | None, json_path: Path | None, **given: str | None) -> None:
    """Name a strategy for a task, from its label budget and measured similarity, and the measured cells it rests on.

    \b
    Examples:
      python -m tlcore advise --source mnist --target uci_digits --labels-per-class 10
      python -m tlcore advise --report
    """
    from tlcore.advise import ATLAS, Atlas
    from tlcore.advise import advise as name_strategy
    from tlcore.console import show_advice, show_policies

    experiment = Experiment.of(**_fields(given))
    _check_writable(json_path)
    atlas = Atlas.read(atlas_path or ATLAS)
    if report:
        show_policies(atlas.report())
        if json_path is not None:
            write_text(json_path, json.dumps([asdict(policy) for policy in atlas.report()], indent=1))
        return
    from tlcore.estimate import scores_of

    advice = name_strategy(experiment, scores_of(experiment), atlas)
    _finish(advice, json_path, lambda advice: show_advice(advice, atlas.report()))


@commands.command()
@click.option("--file", "path", type=click.Path(path_type=Path), help="Where to write.  [default: the recorded one]")
@click.option("--processes", type=click.IntRange(1, 64), help="Processes to share the arms.  [default: one a core]")
@click.option("--again", is_flag=True, help="Train arms that were trained before, too.")
def atlas(path: Path | None, processes: int | None, again: bool) -> None:
    """Measure the cells that `advise` rests on, on the real data, and write them to data/records/atlas/."""
    from tlcore.advise import ATLAS, measure_atlas, plan_atlas
    from tlcore.console import show_policies

    path = path or ATLAS
    _check_writable(path)
    experiments = plan_atlas()
    measured = measure_atlas(Runner(processes, again=again, total=len(experiments)), experiments=experiments)
    write_text(path, measured.to_json())
    show_policies(measured.report())
    out.print(f"written to {path}")


@commands.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@_json_option
def summary(files: tuple[Path, ...], json_path: Path | None) -> None:
    """Sum up several tasks: interquartile mean and probability of improvement over scratch, by stratified bootstrap.

    FILE is anything that a command wrote with --json; a task is a pair, a network and a label budget.
    """
    from tlcore.console import show_summary
    from tlcore.saved import records_in
    from tlcore.summary import summarise

    _check_writable(json_path)
    records = [record for path in files for record in records_in(path)]
    _finish(summarise(records), json_path, show_summary)


@commands.command()
@click.argument("names", nargs=-1, metavar="[PRESET]…")
@click.option("--processes", type=click.IntRange(1, 64), help="Processes to share the arms.  [default: one a core]")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=RECORDS, help="Where to write.  [default: data/records]"
)
def record(names: tuple[str, ...], processes: int | None, folder: Path) -> None:
    """Measure the recorded results again, on the real data, and write them to data/records/.

    Without names, all of them. Each preset in data/presets/ gives one file of the same name.
    """
    from tlcore.errors import unknown_name

    for name in names:
        if name not in PRESETS:
            raise UserError(unknown_name("preset", name, PRESETS))
    for name in names or tuple(PRESETS):
        preset: Preset = PRESETS[name]
        path = folder / preset.record_path.name
        _check_writable(path)
        out.print(f"[bold]{preset.title}[/bold]")
        experiments = preset.experiments
        measured = preset.measure(Runner(processes, again=True, total=len(experiments)))
        write_text(path, measured.to_json())
        if isinstance(measured, Comparison):
            show_comparison(measured)
        out.print(f"written to {path}\n")


@commands.command()
@click.option("--source", metavar="DATASET", help="Only this source.  [default: all that ship]")
@click.option("--backbone", metavar="BACKBONE", help="Only this backbone.  [default: all that ship]")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write.  [default: data/checkpoints]")
def pretrain(source: str | None, backbone: str | None, folder: Path | None) -> None:
    """Train the source checkpoints that ship with the project, from the real data."""
    from tlcore.data import get_dataset
    from tlcore.pretrain import SHIPPED, SHIPPED_PAIRS, train_checkpoint

    if source is not None:
        get_dataset(source)
    if backbone is not None:
        get_backbone(backbone)
    if source is not None and backbone is not None:
        pairs = ((source, backbone),)
    else:
        pairs = tuple(pair for pair in SHIPPED_PAIRS if source in (None, pair[0]) and backbone in (None, pair[1]))
        if not pairs:
            raise UserError("none of the shipped checkpoints is for that: name both --source and --backbone")
    for name, network in pairs:
        with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=err) as bars:
            bar = bars.add_task(f"{network} on {name}", total=1.0)
            checkpoint = train_checkpoint(
                name,
                network,
                "float32",  # so that the same weights come out on every host
                lambda event, bars=bars, bar=bar: bars.update(bar, completed=event.fraction),
                lambda: False,
                folder or SHIPPED,
            )
        out.print(f"{name}/{network}: test accuracy {checkpoint.info.test_accuracy:.4f}")


@commands.command()
def datasets() -> None:
    """List the datasets, and where each is found on this machine."""
    shown = table("name", "what", "shape", "classes", "labels a class", "found")
    for spec in DATASETS.values():
        height, width, channels = spec.shape
        shown.add_row(
            spec.name,
            spec.sentence,
            f"{height}×{width}×{channels}",
            str(len(spec.classes)),
            "source only" if spec.source_only else f"2–{spec.labels_per_class_limit}",
            spec.looks() or "not here: downloaded at first use",
        )
    out.print(shown)


@commands.command()
def strategies() -> None:
    """List the strategies, a sentence and the paper for each."""
    shown = table("name", "kind", "what it does", "paper")
    for strategy in STRATEGIES.values():
        shown.add_row(strategy.name, strategy.kind, strategy.sentence, strategy.paper)
    out.print(shown)


@commands.command()
def backbones() -> None:
    """List the backbones and their stages."""
    shown = table("name", "what", "stages")
    for backbone in BACKBONES.values():
        stages = " → ".join(f"{stage.name} ({stage.kind} {stage.width})" for stage in backbone.stages)
        shown.add_row(backbone.name, backbone.sentence, stages)
    out.print(shown)


@commands.command()
@click.argument("names", nargs=-1, metavar="[BACKBONE]…")
@_json_option
def costs(names: tuple[str, ...], json_path: Path | None) -> None:
    """Measure what networks cost here: parameters, weights file, images a second and memory in inference.

    Without names, all of them (minutes). data/records/costs.json is what pages show.

    \b
    Example:
      python -m tlcore costs mobilenet_v2_035 resnet50 --json costs.json
    """
    from tlcore.console import show_costs
    from tlcore.costs import measure_costs

    _check_writable(json_path)
    with err.status("measuring", spinner="line") as status:
        found = measure_costs(names or tuple(BACKBONES), lambda name: status.update(f"measuring {name}"))
    _finish(found, json_path, show_costs)


@commands.command()
@click.option("--backbone", metavar="BACKBONE", help="A network with ImageNet weights.")
@click.option("--target", metavar="DATASET", help="Dataset of the new task.")
@click.option("--labels-per-class", metavar="VALUE", help="Labelled target images a class.")
@click.option("--seeds", metavar="VALUE", help="Number of repetitions.")
@click.option("--image-size", metavar="VALUE", help="Side of the network's input in pixels.")
@click.option("--weights", metavar="VALUE", help="Name of a weights file in a folder of TLCORE_DATA_DIR.")
@_json_option
def recipe(json_path: Path | None, **given: str | None) -> None:
    """Measure the recipe for real models as it is usually written, then improved step by step, each against the last.

    Without options, what data/records/recipe.json holds: MobileNetV2 0.35 on CIFAR-10's vehicles.

    \b
    Example:
      python -m tlcore recipe --backbone resnet50 --target cifar10 --labels-per-class 20 --json recipe.json
    """
    from tlcore.console import show_recipe
    from tlcore.recipe import STEPS, measure_recipe, plan_recipe

    experiment = plan_recipe(_fields(given))
    _check_writable(json_path)
    from tlcore import backend

    backend.configure(threads=os.cpu_count() or 1, family=get_backbone(experiment.backbone).family)
    with err.status("measuring", spinner="line") as status:
        found = measure_recipe(experiment, lambda step, seed: status.update(f"{STEPS[step].title}, seed {seed}"))
    _finish(found, json_path, show_recipe)


@commands.command()
@click.argument("names", nargs=-1, metavar="[BACKBONE]…")
@click.option("--download", is_flag=True, help="Download the weights of the networks named.")
def weights(names: tuple[str, ...], download: bool) -> None:
    """List published weights: which are on this host and where, or where they come from and belong.

    \b
    Example:
      python -m tlcore weights resnet50 --download
    """
    from tlcore.models.download import address_of
    from tlcore.models.download import download as fetch
    from tlcore.models.weights import find_weights, own_folder

    if download and not names:
        raise UserError("name the networks whose weights to download, for they are gigabytes together")
    networks = [get_backbone(name) for name in names] or [one for one in BACKBONES.values() if one.application]
    if download:
        for network in networks:
            with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=err) as bars:
                bar = bars.add_task(network.title, total=None)
                path = fetch(
                    network, lambda at, bars=bars, bar=bar: bars.update(bar, completed=at.done, total=at.total)
                )
            out.print(f"{network.name}: {path}", highlight=False, soft_wrap=True)
        return
    shown = table("name", "licence", "top-1", "here", caption=f"missing files belong into {own_folder()}")
    for network in networks:
        found, application = find_weights(network), network.application
        assert application is not None  # or `find_weights` would have said so
        where = str(found) if found else f"not here: {address_of(network)}"
        shown.add_row(network.name, application.licence, f"{application.top1:.1%}", where)
    out.print(shown)


@commands.command()
def models() -> None:
    """Look into the models that this host's list names, so that they can be compared like any other network.

    The list is models.yaml in TLCORE_HOME, or the file that TLCORE_MODELS names: entries with name, path (a .keras
    file, the folder of a Keras Hub preset or of a SavedModel) or preset (a name of Keras Hub's, hf://… or kaggle://…,
    which is downloaded here and now), title, licence and scaling (unit, tf, caffe, torch, bytes); input_size and
    trained_on where they are known.
    """
    from tlcore.models.named import description_file, list_file, named_models

    entries = named_models()
    if not entries:
        raise UserError(f"this host names no models: write a list of them into {list_file()}")
    from tlcore.models.named_loading import describe, fetch_preset

    shown = table("name", "title", "licence", "stages", "pictures")
    for name, entry in entries.items():
        if name in BACKBONES and BACKBONES[name].host is None:
            raise UserError(f"{name} is the name of a network that is always here: give the host's model another")
        fetch_preset(entry)
        found = describe(entry)
        path = description_file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, found.model_dump_json(indent=1))
        stages = " → ".join(f"{stage} ({width})" for stage, width in found.stages)
        shown.add_row(name, entry.title, entry.licence, stages, f"{found.side}×{found.side}, {entry.scaling}")
    out.print(shown)
    out.print("compare with: --source host_model --backbone NAME")


@commands.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(as_json: bool) -> None:
    """Say what this host is: device, number formats measured, datasets, where files are kept."""
    from tlcore import backend
    from tlcore.home import home
    from tlcore.pretrain import find_checkpoint

    backend.configure(threads=1)
    speeds = backend.precision_speeds()
    chosen = backend.resolve_precision("auto")
    environment = backend.environment(chosen)
    found = {name: spec.looks() for name, spec in DATASETS.items()}
    checkpoints = {
        f"{source}/{backbone}": kept.info.provenance
        for source in DATASETS
        for backbone in BACKBONES
        if (kept := find_checkpoint(source, backbone)) is not None
    }
    if as_json:
        out.print_json(
            json.dumps(
                {
                    "environment": environment.model_dump(mode="json"),
                    "images_per_second": speeds,
                    "home": str(home()),
                    "datasets": found,
                    "source_models": checkpoints,
                }
            )
        )
        return
    shown = Table(show_header=False, box=None)
    shown.add_row("device", f"{environment.device} ({environment.machine})")
    shown.add_row(
        "backend",
        f"{environment.backend} {environment.packages[environment.backend]}, Keras {environment.packages['keras']}",
    )
    for name, speed in speeds.items():
        mark = "  ← used" if name == chosen else ""
        shown.add_row(name, f"{speed:,.0f} training images a second on one thread{mark}")
    shown.add_row("files kept in", str(home()))
    shown.add_row("", "")
    for name, where in found.items():
        shown.add_row(name, where or "not here: downloaded at first use")
    shown.add_row("", "")
    for name, where in checkpoints.items():
        shown.add_row(name, f"source model {where}")
    out.print(shown)


@commands.command()
@click.option("--slots", type=click.IntRange(1, 64), help="Arms to train at once.  [default: one a core]")
def worker(slots: int | None) -> int:
    """Train what the app's learners ask for; the app starts this by itself."""
    from tlcore.jobs.worker import main as work

    return work(slots)


commands.add_command(export)
commands.add_command(own)
commands.add_command(similarity)
commands.add_command(beyond)
commands.add_command(predict)


# --- results --------------------------------------------------------------------------------------------------------


class _Result(Protocol):
    """What a command has measured."""

    def to_json(self) -> str:
        """The result as JSON text."""
        ...


T = TypeVar("T", bound=_Result)


def _finish(result: T, json_path: Path | None, show: Callable[[T], None] | None) -> None:
    """Write a result, then show it."""
    if json_path is not None:
        write_text(json_path, result.to_json())
    if show is not None:
        show(result)
        if json_path is not None:
            out.print(f"written to {json_path}")


def _check_writable(path: Path | None) -> None:
    """Find out before minutes of training that the result cannot be written."""
    if path is None:
        return
    folder = path.resolve().parent
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file in it")
    if not folder.is_dir():
        raise UserError(f"the folder {folder} does not exist: create it or name another file")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UserError(f"cannot write {path}: choose a folder that can be written")
