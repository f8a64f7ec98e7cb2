"""``streaming-wavlm superb``: S3PRL's SUPERB tasks on our upstreams."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import superb_report
from .options import new_parser

_CLASSES_SHOWN = 12

_EPILOG = """\
examples:
  streaming-wavlm superb prepare sid --from embedded      a small corpus to try it on, in data/voxceleb1
  streaming-wavlm superb prepare asr --from /corpora/LibriSpeech
  streaming-wavlm superb run -m train -u streaming_wavlm_400ms -k mini -d voxceleb1 -n exp
  streaming-wavlm superb run -m evaluate -e result/downstream/exp
  streaming-wavlm superb head result/downstream/exp --out head    for `serve --head head`, anywhere
  streaming-wavlm superb enable                                 plain `import s3prl.hub` has our upstreams
"""
_PREPARE_EPILOG = """\
TASK is S3PRL's name or SUPERB's: asr, phone_linear (pr), voxceleb1 (sid), sv_voxceleb1 (asv),
diarization (sd), emotion (er), fluent_commands (ic), speech_commands (ks, sf), enhancement_stft (se),
separation_stft (ss).
SOURCE is one of
  embedded        the speech in this package, to try a task out; the default
  bench:DIR       DIR/bench/SET/manifest.tsv, small sets of real speech; bench+extra:DIR: more to train asr on
  FILE.tsv        your own: a tab-separated table with the columns id, path, split and, as the task needs,
                  speaker, text, phones, label, fold, kind
  DIR             the corpus that SUPERB uses for the task, where it is: LibriSpeech, VoxCeleb1, IEMOCAP,
                  Fluent Speech Commands, Speech Commands v1, Libri2Mix, VoiceBank-DEMAND
What cannot be used is left out and counted. The folder appears whole or not at all.

examples:
  streaming-wavlm superb prepare voxceleb1 --from embedded --out data/voxceleb1
  streaming-wavlm superb prepare asr --from mine.tsv
  streaming-wavlm superb prepare ss --from /corpora/Libri2Mix
"""
_HEAD_EPILOG = """\
Writes head.json and model.safetensors: the head's layers, the names of its classes and the learned weights of
the encoder's layers; no pickle, and S3PRL is not needed to run it. Takes heads of voxceleb1, speech_commands,
emotion and fluent_commands, which pool over a running window, and of phone_linear and diarization.

examples:
  streaming-wavlm superb head result/downstream/exp --out head -k mini
  streaming-wavlm serve -k mini --head head
"""
_RUN_EPILOG = """\
Takes the options of S3PRL's run_downstream.py (-h shows them), and --debug. The upstreams of this package:
  streaming_wavlm              chunks as the checkpoint says, else 400 ms
  streaming_wavlm_200ms _400ms _800ms _1000ms
  streaming_wavlm_offline      chunks of 10 s
Without -c the task's config is the one that `superb prepare` wrote, if there is one, else SUPERB's own.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand and its own."""
    parser = new_parser(subparsers, "superb", "run S3PRL's SUPERB tasks on streaming features", _EPILOG)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    # Everything after "run" is S3PRL's: with another prefix, nothing looks like an option of ours.
    run_ = actions.add_parser(
        "run",
        help="train, evaluate or go on with a task",
        prefix_chars="\0",
        add_help=False,
    )
    run_.add_argument("arguments", nargs=argparse.REMAINDER)
    prepare = new_parser(actions, "prepare", "lay out a corpus the way a task wants it", _PREPARE_EPILOG)
    prepare.add_argument("task", metavar="TASK", help="the name of the task")
    prepare.add_argument(
        "--from", dest="source", metavar="SOURCE", default="embedded", help="see below (default: embedded)"
    )
    prepare.add_argument("--out", type=Path, metavar="DIR", help="the folder to make (default: data/TASK)")
    prepare.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of splits and mixtures (default: 0)"
    )
    superb_report.add_parser(actions)
    head = new_parser(
        actions, "head", "take a trained head out of its experiment, for live streams", _HEAD_EPILOG
    )
    head.add_argument("experiment", type=Path, metavar="EXPERIMENT", help="its folder, or a checkpoint in it")
    head.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    head.add_argument(
        "--name", metavar="NAME", help="by which clients ask for it (default: the experiment's)"
    )
    head.add_argument(
        "-k", "--checkpoint", metavar="CHECKPOINT", help="it was trained on: others are warned of"
    )
    for name, summary in (
        ("enable", "let plain `import s3prl.hub` in this environment know our upstreams"),
        ("disable", "undo enable"),
    ):
        action = new_parser(actions, name, summary, "")
        action.add_argument(
            "--site-dir",
            type=Path,
            metavar="DIR",
            help="site-packages to change (default: this Python's)",
        )


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    if arguments.action == "run":
        from ..superb.launcher import launch

        return launch(_passed_on(arguments.arguments), debug=arguments.debug)
    if arguments.action == "prepare":
        return _prepare(arguments)
    if arguments.action == "head":
        return _head(arguments)
    if arguments.action == "report":
        return superb_report.run(arguments)
    return _enable(arguments) if arguments.action == "enable" else _disable(arguments)


def _passed_on(arguments: list[str]) -> list[str]:
    if {"-h", "--help"} & set(arguments):
        print(_RUN_EPILOG)
    return arguments


def _head(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from ..heads import save_head
    from ..heads.fit import require_fit
    from ..loading import load
    from ..superb.trained_head import trained_head

    head = trained_head(arguments.experiment, arguments.name)
    if arguments.checkpoint is not None:
        model = load(arguments.checkpoint)
        require_fit(head, model)
        head.config = replace(head.config, weights=model.mark())
    save_head(head, arguments.out)
    asked = "; ".join(f"{slot.name}: {len(slot.labels)} classes" for slot in head.config.slots)
    print(f"{arguments.out}: {head.config.name}, {head.config.task}, {asked}")
    print(f"next: streaming-wavlm serve -k {arguments.checkpoint or 'CHECKPOINT'} --head {arguments.out}")
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    from ..superb.corpora import prepare
    from ..superb.tasks import find_task

    task = find_task(arguments.task)
    made = prepare(task.name, arguments.source, arguments.out or task.prepared, seed=arguments.seed)
    print(f"{made.folder}: " + ", ".join(f"{count} {what}" for what, count in made.counts.items()))
    if made.skipped:
        print("left out: " + ", ".join(f"{count} {reason}" for reason, count in made.skipped.items()))
    for name, meaning in list(made.classes.items())[:_CLASSES_SHOWN]:
        print(f"{name} is {meaning}")
    if len(made.classes) > _CLASSES_SHOWN:
        print(f"and {len(made.classes) - _CLASSES_SHOWN} more, in {made.folder / 'prepared.json'}")
    for note in made.notes:
        print(f"note: {note}")
    if made.chance is not None:
        print(f"chance is {made.chance:.1%}")
    option = "" if made.folder == task.prepared else f" -c {made.config}"
    print(
        "train on it with\n  streaming-wavlm superb run -m train -u streaming_wavlm_400ms -k mini "
        f"-d {task.name} -n exp{option}"
    )
    return 0


def _enable(arguments: argparse.Namespace) -> int:
    from ..superb.enable import enable

    done = enable(arguments.site_dir)
    print("wrote " + " and ".join(map(str, done.files)))
    print(f"every start of Python there now takes {done.milliseconds:.2f} ms longer (measured now)")
    print("`streaming-wavlm superb disable` takes it back")
    return 0


def _disable(arguments: argparse.Namespace) -> int:
    from ..superb.enable import disable

    removed = disable(arguments.site_dir)
    print("removed " + ", ".join(map(str, removed)) if removed else "it was not enabled; nothing to remove")
    return 0
