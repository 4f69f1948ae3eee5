"""Learning curves and settings as TensorBoard reads them, written without TensorFlow.

`tensorboard.summary.writer.event_file_writer` would load TensorFlow to look at a folder; the file format below it is a
few messages in a row, for which TensorBoard brings all that is needed.
"""

from __future__ import annotations

import io
import zipfile
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tlcore.views import title_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tlcore.experiment import RunRecord

TEST, TRAIN, OBSERVED, LOSS = "accuracy/test", "accuracy/train", "accuracy/observation", "loss/train"
ALONG = {"steps": "optimiser steps", "seconds": "seconds of training"}


def tensorboard_zip(records: Sequence[RunRecord]) -> bytes:
    """Write a comparison as TensorBoard's logs.

    Args:
        records: Records of one experiment; at least one.

    Returns:
        A zip archive with a folder an arm and seed, named ``<strategy>/seed_<seed>``: unpack it and run
        ``tensorboard --logdir`` on it. Curves are under Scalars and Time Series, settings and results under HParams.
    """
    packed = io.BytesIO()
    begun = min(record.created for record in records).timestamp() - max(record.seconds for record in records)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"events.out.tfevents.{int(begun)}.tlcore", _file([_overview(records)], begun))
        for record in records:
            end = record.created.timestamp()
            name = f"{record.strategy}/seed_{record.seed}/events.out.tfevents.{int(end)}.tlcore"
            archive.writestr(name, _file(_events(record), end - record.seconds))
        archive.writestr("README.txt", "Unpack this folder, then: tensorboard --logdir .\n")
    return packed.getvalue()


def settings_of(record: RunRecord) -> dict[str, str | float]:
    """What an arm was run with, as TensorBoard's hyperparameters."""
    asked = record.experiment
    return {
        "strategy": record.strategy,
        "seed": record.seed,
        "source": asked.source,
        "target": asked.target,
        "backbone": record.network or asked.backbone,
        "labels_per_class": asked.labels_per_class,
        "steps": record.steps,
        "batch_size": asked.batch_size,
        "learning_rate": record.learning_rate or 0.0,
        "augmentation": asked.augmentation,
    }


def _events(record: RunRecord) -> Iterable[Any]:
    from tensorboard.plugins.hparams import metadata

    api, data = _messages("plugins.hparams.api_pb2"), _messages("plugins.hparams.plugin_data_pb2")

    end = record.created.timestamp()
    begin = end - record.seconds
    start = data.SessionStartInfo(
        group_name=record.arm_hash, model_uri=title_of(record.strategy), start_time_secs=begin
    )
    for name, value in settings_of(record).items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    yield _settings(metadata.SESSION_START_INFO_TAG, data.HParamsPluginData(session_start_info=start), begin)
    for point in record.curve:
        values = {OBSERVED: point.validation_accuracy, TRAIN: point.train_accuracy}
        if point.train_loss is not None:
            values[LOSS] = point.train_loss
        yield _scalars(values, point.step, begin + point.seconds)
    yield _scalars({TEST: record.test_accuracy}, record.steps, end)
    if not record.curve:  # a level, for arms that have no steps
        yield _scalars({OBSERVED: record.validation_accuracy, TRAIN: record.train_accuracy}, 0, end)
    closed = data.SessionEndInfo(
        status=api.STATUS_SUCCESS if record.status == "finished" else api.STATUS_FAILURE, end_time_secs=end
    )
    yield _settings(metadata.SESSION_END_INFO_TAG, data.HParamsPluginData(session_end_info=closed), end)


def _overview(records: Sequence[RunRecord]) -> Any:
    """Which settings and results there are: what the HParams page makes its columns of."""
    from tensorboard.plugins.hparams import metadata

    api, data = _messages("plugins.hparams.api_pb2"), _messages("plugins.hparams.plugin_data_pb2")

    first = settings_of(records[0])
    every = [settings_of(record) for record in records]
    infos: list[Any] = []
    for name, value in first.items():
        text = isinstance(value, str)
        info = api.HParamInfo(name=name, type=api.DATA_TYPE_STRING if text else api.DATA_TYPE_FLOAT64)
        if text:
            for found in dict.fromkeys(str(settings[name]) for settings in every):
                info.domain_discrete.values.add(string_value=found)
        infos.append(info)
    metrics = [
        api.MetricInfo(name=api.MetricName(tag=tag), display_name=shown)
        for tag, shown in ((TEST, "test accuracy"), (TRAIN, "train accuracy"), (LOSS, "train loss"))
    ]
    created = min(record.created for record in records).timestamp()
    experiment = api.Experiment(hparam_infos=infos, metric_infos=metrics, time_created_secs=created)
    return _settings(metadata.EXPERIMENT_TAG, data.HParamsPluginData(experiment=experiment), created)


def _settings(tag: str, data: Any, seconds: float) -> Any:
    from tensorboard.plugins.hparams import metadata

    summary = _messages("compat.proto.summary_pb2").Summary
    value = summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
    return _messages("compat.proto.event_pb2").Event(wall_time=seconds, summary=summary(value=[value]))


def _scalars(values: Mapping[str, float], step: int, seconds: float) -> Any:
    summary = _messages("compat.proto.summary_pb2").Summary
    parts = [summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    return _messages("compat.proto.event_pb2").Event(wall_time=seconds, step=step, summary=summary(value=parts))


def _file(events: Iterable[Any], seconds: float) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    written = io.BytesIO()
    writer: Any = RecordWriter(written)
    made = _messages("compat.proto.event_pb2").Event
    for event in (made(wall_time=seconds, file_version="brain.Event:2"), *events):
        writer.write(event.SerializeToString())
    return written.getvalue()


def _messages(module: str) -> Any:
    """A module of TensorBoard's messages; their classes are made when it is imported, so nobody knows their types."""
    return import_module(f"tensorboard.{module}")
