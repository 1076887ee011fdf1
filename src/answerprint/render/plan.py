"""The plan of a job: its chunks in the order of the clip, and how they are encoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from answerprint.assets import Assets, names_in
from answerprint.errors import SettingsError
from answerprint.frame import Frame
from answerprint.inference import weights
from answerprint.media import presets
from answerprint.media.info import ClipInfo
from answerprint.media.layout import parse_layout
from answerprint.media.pictures.encoding import color_losses
from answerprint.media.pictures.passes import pass_losses
from answerprint.media.presets import Delivery
from answerprint.media.reader import Clip
from answerprint.media.writer.checks import check_not_source, check_picture_count, check_size
from answerprint.metrics import page
from answerprint.render import machine, paths
from answerprint.render.executor import Chunk, ChunkTask, Opening
from answerprint.render.folder import chunk_path
from answerprint.render.options import Options
from answerprint.render.pipeline import Step, chain_cost, chain_of, chain_rate
from answerprint.render.progress import Watcher
from answerprint.render.source import SourceRange, open_clip
from answerprint.render.watch import Watch
from answerprint.settings import Settings
from answerprint.shots.boundary import ShotRange
from answerprint.shots.decisions.model import DecisionList, ShotDecision, fingerprint

_SECONDS = 20.0  # of work in a chunk: what is lost at most when a job is killed
_LEAST, _MOST = 8, 96  # frames: with fewer, closed GOPs cost much; more lose four seconds of film


@dataclass(frozen=True, eq=False)
class JobPlan:
    """What a job will do.

    Attributes:
        source: the clip and its range.
        delivery: how the output is encoded.
        losses: what of the frames it does not carry, in words.
        tasks: the chunks, in the order of the clip.
        opening: the frames of the first task, begun.
        watch: the files that its frames depend on beside the source.
    """

    source: SourceRange
    delivery: Delivery
    losses: tuple[str, ...]
    tasks: tuple[ChunkTask, ...]
    opening: Opening
    watch: Watch

    @property
    def times(self) -> tuple[Fraction, Fraction]:
        """When the output begins and ends, in seconds of the source."""
        clip, stop = self.source.clip, self.tasks[-1].chunk.stop
        end = clip.times[stop] if stop < len(clip) else clip.info.duration
        return clip.times[self.tasks[0].chunk.start], end


def make(
    decisions: DecisionList, output: Path, options: Options, watcher: Watcher, clip: Clip | None = None
) -> JobPlan:
    """Plans a job before its folder is made.

    Args:
        decisions: what is done to each shot.
        output: file or sequence to write.
        options: preset, range, device, chunk.
        watcher: hears what is special.
        clip: the source, where it is open already as the list says.

    Raises:
        MediaError: the source is not the clip that was analyzed.
        DeliveryError: the output cannot be made.
        SettingsError: no shot is in the range, shots differ in rate, or an asset is missing.
    """
    decisions.source.verify()
    source = SourceRange.of(clip or open_clip(decisions.source.path, decisions.source.overrides), options)
    preset = options.preset_for(decisions.delivery)
    draft = choose_delivery(source, output, preset)
    length = options.chunk or decisions.chunk
    device = str(machine.device(options.device))
    shots = _shots(decisions, source, watcher)
    chunks = [chunk for shot in shots for chunk in _chunks(shot, decisions.assets, source, length, device)]
    rate = _rate(chunks, source)
    opening = Opening(chunks[0].until(min(chunks[0].shot.stop, source.stop)))
    try:
        delivery = _adapt(draft, source, rate, opening.first, by_ending=preset is None)
        watch = Watch()
        tasks = _tasks(chunks, delivery, paths.job_folder(output), watch)
    except BaseException:
        opening.close()
        raise
    losses = tuple(_losses(delivery, source.clip.info, opening.first))
    return JobPlan(source, delivery, losses, tasks, opening, watch)


def choose_delivery(source: SourceRange, output: Path, preset: str | None) -> Delivery:
    """The delivery by preset or file ending; what cannot be delivered is refused before hours of work.

    Args:
        source: the clip and its range.
        output: file or sequence to write.
        preset: its name; None goes by the ending.

    Raises:
        DeliveryError: the output is the source, its ending or the preset is none that there is, the two do not go
            together, it names one picture where there are several, or it takes no pictures of this size.
    """
    info = source.clip.info
    check_not_source(output, Path(source.clip.path))
    delivery = presets.choose(output, preset, info)
    if delivery.format.pictures:
        check_picture_count(output, source.stop - source.start)
    # Where a chain gives pictures alpha, another of the container's presets carries it, and takes other sizes.
    largest = delivery if preset is not None else presets.choose(output, presets.preset_with_alpha(delivery), info)
    check_size(largest, *info.display_size)
    return delivery


def _adapt(delivery: Delivery, source: SourceRange, rate: Fraction, frame: Frame | None, by_ending: bool) -> Delivery:
    """The delivery after what the chain does to rate, size, fields and alpha.

    Args:
        delivery: as chosen for the source.
        source: the clip and its range.
        rate: frames out of the chain per frame in.
        frame: the first frame that the chain gives; None where it gives none.
        by_ending: whether the preset goes by the file ending, so that one with alpha may take its place.

    Raises:
        DeliveryError: it takes no pictures of the size that the chain makes.
    """
    if frame is None:
        return delivery
    if frame.alpha is not None and by_ending:
        delivery = presets.choose(Path(f"x{delivery.ending}"), presets.preset_with_alpha(delivery), source.clip.info)
    delivery = presets.adapt(delivery, source.clip.info.rate * rate, frame, source.clip.info)
    shown = frame.displayed()
    check_size(delivery, shown.width, shown.height)
    return delivery


def _losses(delivery: Delivery, info: ClipInfo, frame: Frame | None) -> list[str]:
    """What of the frames the delivery does not carry, in words."""
    if frame is None:
        return []
    losses = []
    if frame.alpha is not None and not parse_layout(delivery.layout).alpha:
        carried = ", ".join(name for name, preset in presets.PRESETS.items() if preset.alpha is not None)
        losses.append(f"alpha is not carried: preset {delivery.preset} has none; these have: {carried}")
    if delivery.format.pictures:
        losses += color_losses(delivery.format.codec, delivery.color, delivery.film)
    if info.framing is not None and frame.framing is None:
        losses.append("display and data window are not carried: the chain changes the size of the pictures")
    elif info.framing is not None and info.framing.data != info.framing.display and not _takes_layers(delivery):
        losses.append(f"what lies outside the display window is not carried: {delivery.preset} holds what is shown")
    if info.passes and (frame.passes is None or not _takes_layers(delivery)):
        why = "the chain makes other pictures" if _takes_layers(delivery) else "an .exr of the same picture holds them"
        losses.append(f"layers are not carried: {', '.join(info.passes)}; {why}")
    elif frame.passes is not None:
        losses += pass_losses(frame.passes)
    return losses


def _takes_layers(delivery: Delivery) -> bool:
    """Whether it holds windows and channels beside the picture."""
    return delivery.format.codec == "openexr" and delivery.alpha != "matte"


def _shots(decisions: DecisionList, source: SourceRange, watcher: Watcher) -> list[ShotDecision]:
    """The shots in the range, with frames that are in none passed through unchanged."""
    shots: list[ShotDecision] = []
    for shot in decisions.shots:
        if shots and shots[-1].range.stop < shot.range.start:
            first, last = shots[-1].range.stop, shot.range.start
            watcher.note(f"frames {first} to {last - 1} are in no shot of the decision list; they pass unchanged")
            shots.append(ShotDecision(ShotRange(f"after {shots[-1].range.name}", first, last)))
        shots.append(shot)
    rendered = [shot for shot in shots if source.overlaps(shot.range)]
    if not rendered:
        raise SettingsError("no shot to render: the decision list has none in this range")
    return rendered


def chunk_length(steps: Sequence[Step], width: int, height: int) -> int:
    """Frames in a chunk: about 20 s of work on the reference machine, between 8 and 96 frames.

    It follows the chain and the size alone: the same job has the same chunks, and so the same bytes, everywhere.
    """
    seconds = chain_cost(steps) * width * height / 1e6
    return min(max(int(_SECONDS / seconds), _LEAST), _MOST)


def _chunks(
    shot: ShotDecision, assets: Assets, source: SourceRange, length: int | None, device: str
) -> Iterator[Chunk]:
    """The chunks of a shot; they begin at the shot's first frame, whatever the range."""
    steps = chain_of(shot, assets)
    length = length or chunk_length(steps, source.clip.info.width, source.clip.info.height)
    for name in names_in([step.findings.model_dump() for step in steps if step.findings is not None]):
        assets.verify(name)  # a missing or damaged one is told before any work
    for begin in range(shot.range.start, shot.range.stop, length):
        start, stop = max(begin, source.start), min(begin + length, shot.range.stop, source.stop)
        if start < stop:
            yield Chunk(source.clip, shot.range, steps, start, stop, device)


def _rate(chunks: Sequence[Chunk], source: SourceRange) -> Fraction:
    """Frames out per frame in, of all chains alike."""
    rates = {chain_rate(chunk.steps): chunk.shot.name for chunk in chunks}
    if len(rates) > 1:
        differing = ", ".join(f"{source.clip.info.rate * rate} in shot {name}" for rate, name in rates.items())
        raise SettingsError(f"shots of one output must have one frame rate, these differ: {differing}")
    return next(iter(rates))


def _tasks(chunks: Sequence[Chunk], delivery: Delivery, folder: Path, watch: Watch) -> tuple[ChunkTask, ...]:
    """The chunks with their keys: a hash of all that their frames and their encoding depend on besides the source."""
    clip = chunks[0].clip
    # Not where the clip stands: a project that was moved or copied goes on with its chunks.
    facts = [Path(clip.path).name, dict(clip.overrides), fingerprint(Path(clip.path))]
    encoding = [delivery.model_dump(mode="json"), page.versions()]
    tasks = []
    for chunk in chunks:
        chain = [
            [step.operation.name, _contents(step.params, watch), _contents(step.findings, watch), _networks(step)]
            for step in chunk.steps
        ]
        place = [chunk.shot.start, chunk.shot.stop, chunk.start, chunk.stop, chunk.device.partition(":")[0]]
        text = json.dumps([facts, place, chain, encoding], sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()[:24]
        tasks.append(ChunkTask(key, chunk, chunk_path(folder, key), delivery, chunk.stamp()))
    return tuple(tasks)


def _networks(step: Step) -> dict[str, str | None]:
    """The networks that a step takes by name, by their contents: a user may add better ones between two renders."""
    return {name: weights.digest(name) for name in step.operation.networks(step.params)}


def _contents(table: Settings | None, watch: Watch) -> Any:
    """The values of a table, files by their contents: a LUT that was saved again is another LUT."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return [value.name, watch.digest(value)]
        if isinstance(value, Mapping):
            return {key: plain(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(part) for part in value]
        return value

    return None if table is None else plain(table.model_dump())
