"""Find the best classifier of handwritten digits, one Ray task per fit.

The idea: a search over hyper-parameters is many independent fits and a few steps that depend on
all of them. Each fit is a task of its own, so each result is checkpointed the moment it is there:
whatever dies in the middle of a search, only the fits under way are done again.

    load_data ─┬─ fit_fold (sets x seeds x folds) ── tabulate ── pick_best ─┐
               └──────────────────────────────────────────────── refit ─────┴─ evaluate ── report

The data is scikit-learn's bundled digits: 1,797 images of 8 x 8 pixels. Nothing is downloaded.
"""

# Ray's own types leave the result of .bind() open.
# mypy: disable-error-code="var-annotated"

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
from pydantic import Field
from ray.dag import DAGNode

from rayflow import workflow

if TYPE_CHECKING:
    # Loading scikit-learn takes seconds. Only the tasks need it, so it is imported where it is used,
    # and whoever merely reads the definition (the launch form, the start of an instance) does not wait.
    from sklearn.base import ClassifierMixin

Settings = dict[str, Any]
Data = dict[str, np.ndarray]

PositiveFloats = Annotated[list[Annotated[float, Field(gt=0)]], Field(max_length=20)]
PositiveInts = Annotated[list[Annotated[int, Field(ge=1, le=2000)]], Field(max_length=20)]


@workflow.definition(tags={"example": "machine-learning"})
def digits_training(
    svc_c: Annotated[
        PositiveFloats, Field(title="SVC: C", description="Costs of a misclassified image.")
    ] = [0.5, 1.0, 5.0, 20.0],  # noqa: B006
    svc_gamma: Annotated[
        PositiveFloats, Field(title="SVC: gamma", description="Widths of the RBF kernel.")
    ] = [0.0003, 0.001, 0.003],  # noqa: B006
    forest_trees: Annotated[
        PositiveInts, Field(title="Forest: trees", description="Sizes of the random forest.")
    ] = [150, 400],  # noqa: B006
    forest_depth: Annotated[
        PositiveInts, Field(title="Forest: depth", description="Greatest depths of its trees.")
    ] = [8, 16],  # noqa: B006
    folds: Annotated[
        int, Field(ge=2, le=20, description="Parts of the training data in cross-validation.")
    ] = 5,
    seeds: Annotated[
        list[Annotated[int, Field(ge=0, le=1_000_000)]],
        Field(min_length=1, max_length=20, description="The folds are drawn once per seed."),
    ] = [0, 1],  # noqa: B006
    test_size: Annotated[
        float, Field(ge=0.05, le=0.8, description="Share of the images kept for the final test.")
    ] = 0.25,
) -> DAGNode:
    """Search the best classifier of handwritten digits: every combination of the settings below
    is cross-validated, the best one is trained on all training data and tested.
    """
    grid = settings_grid(svc_c, svc_gamma, forest_trees, forest_depth)
    if not grid:
        raise ValueError("The grid is empty: give at least one C and gamma, or trees and depth.")
    seeds = list(dict.fromkeys(seeds))
    data = load_data.bind(test_size, seeds[0])
    fits = [
        # What the console shows beside each of the many fits.
        fit_fold.options(
            **workflow.options(metadata={**settings, "seed": seed, "fold": fold})
        ).bind(data, settings, seed, fold, folds)
        for settings, seed, fold in itertools.product(grid, seeds, range(folds))
    ]
    metrics = tabulate.bind(grid, fits)
    best = pick_best.bind(grid, metrics)
    model = refit.bind(data, best)
    result: DAGNode = report.bind(best, evaluate.bind(data, model), metrics, model)
    return result


def settings_grid(
    costs: list[float], gammas: list[float], trees: list[int], depths: list[int]
) -> list[Settings]:
    """Every combination to try, in a fixed order and without repetitions."""
    svc = [{"estimator": "svc", "C": c, "gamma": g} for c, g in itertools.product(costs, gammas)]
    forest = [
        {"estimator": "forest", "n_estimators": n, "max_depth": depth}
        for n, depth in itertools.product(trees, depths)
    ]
    grid: list[Settings] = [*svc, *forest]
    return list({label(settings): settings for settings in grid}.values())


def label(settings: Settings) -> str:
    """A short name of one combination, such as ``svc_C5.0_gamma0.001``."""
    values = [f"{key}{value}" for key, value in settings.items() if key != "estimator"]
    return "_".join([settings["estimator"], *values])


def make_classifier(settings: Settings, seed: int) -> ClassifierMixin:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.svm import SVC

    arguments = {key: value for key, value in settings.items() if key != "estimator"}
    if settings["estimator"] == "svc":
        return SVC(**arguments)
    # One thread: Ray already runs as many fits at a time as there are CPUs.
    return RandomForestClassifier(**arguments, random_state=seed, n_jobs=1)


@workflow.options(task_id="load_data")
@ray.remote
def load_data(test_size: float, seed: int) -> Data:
    """Load the images once; every fit reads them from Ray's object store."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, digits = load_digits(return_X_y=True)
    parts = train_test_split(
        pixels, digits, test_size=test_size, random_state=seed, stratify=digits
    )
    return dict(zip(("x_train", "x_test", "y_train", "y_test"), parts, strict=True))


@workflow.options(task_id="fit_fold")
@ray.remote
def fit_fold(data: Data, settings: Settings, seed: int, fold: int, folds: int) -> dict[str, Any]:
    """Fit one combination on all folds but one and score it on that one."""
    from sklearn.model_selection import StratifiedKFold

    x, y = data["x_train"], data["y_train"]
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed).split(x, y)
    train, held_out = next(itertools.islice(splits, fold, None))
    started = time.perf_counter()
    classifier = make_classifier(settings, seed).fit(x[train], y[train])
    return {
        "settings": label(settings),
        "seed": seed,
        "fold": fold,
        "accuracy": float(classifier.score(x[held_out], y[held_out])),
        "seconds": time.perf_counter() - started,
    }


@workflow.options(task_id="tabulate")
@ray.remote
def tabulate(grid: list[Settings], fits: list[ray.ObjectRef[dict[str, Any]]]) -> pa.Table:
    """One row per combination, best first: mean and spread of its folds."""
    scores = pa.Table.from_pylist(ray.get(fits))
    spread = pc.VarianceOptions(ddof=0)
    table = scores.group_by("settings").aggregate(
        [
            ("accuracy", "mean"),
            ("accuracy", "stddev", spread),
            ("accuracy", "min"),
            ("accuracy", "count"),
            ("seconds", "sum"),
        ]
    )
    table = table.rename_columns(
        ["settings", "accuracy", "deviation", "worst_fold", "fits", "fit_seconds"]
    )
    estimators = {label(settings): settings["estimator"] for settings in grid}
    column = pa.array([estimators[name] for name in table["settings"].to_pylist()])
    return table.add_column(1, "estimator", column).sort_by(
        [("accuracy", "descending"), ("settings", "ascending")]
    )


@workflow.options(task_id="pick_best")
@ray.remote
def pick_best(grid: list[Settings], metrics: pa.Table) -> Settings:
    """The settings with the highest mean accuracy."""
    winner = metrics["settings"][0].as_py()
    return next(settings for settings in grid if label(settings) == winner)


@workflow.options(task_id="refit")
@ray.remote
def refit(data: Data, best: Settings) -> ClassifierMixin:
    """Train the winner on all training data."""
    return make_classifier(best, seed=0).fit(data["x_train"], data["y_train"])


@workflow.options(task_id="evaluate")
@ray.remote
def evaluate(data: Data, model: ClassifierMixin) -> dict[str, Any]:
    """Test the model on the images no fit has seen."""
    truth, guess = data["y_test"], model.predict(data["x_test"])
    confused = [f"{a} read as {b}" for a, b in zip(truth, guess, strict=True) if a != b]
    return {
        "accuracy": float((truth == guess).mean()),
        "images": len(truth),
        "mistakes": sorted(confused),
    }


@workflow.options(task_id="report")
@ray.remote
def report(
    best: Settings, test: dict[str, Any], metrics: pa.Table, model: ClassifierMixin
) -> dict[str, Any]:
    """Everything worth keeping, as the result of the workflow."""
    return {"best": best, **test, "metrics": metrics, "model": model}
