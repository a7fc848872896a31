"""Runs a program for yapapi on golem-tasks, unchanged: ``python -m golem_tasks.yapapi [--devnet] program.py [arguments]``."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from typing import List, Optional

from golem_tasks.yapapi import _alias, _mode
from golem_tasks.yapapi.utils import windows_event_loop_fix


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m golem_tasks.yapapi",
        description="Run a program for yapapi 0.5 or 0.13 on golem-tasks, without any change to it.",
    )
    parser.add_argument(
        "--devnet",
        action="store_true",
        help="run on an emulated network inside this process: it needs no daemon and costs nothing",
    )
    parser.add_argument("--devnet-providers", type=_count, metavar="NUMBER", default=3, help="the providers of that network [default: 3]")
    parser.add_argument(
        "--devnet-image",
        type=_folder,
        metavar="FOLDER",
        help="a folder with what the image would have, as that network's machines have none: FOLDER/golem/run.sh becomes /golem/run.sh",
    )
    parser.add_argument("-m", dest="module", action="store_true", help="the program is a module, such as `package.program`")
    parser.add_argument("program", help="the program, a Python file")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the program")
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not a number of providers. Give a whole number above zero.")
    return int(text)


def _folder(text: str) -> str:
    if not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"`{text}` is not a folder. Name a folder that exists.")
    return text


def main(argv: Optional[List[str]] = None) -> None:
    """Run the program that the command line names."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.devnet_image and not args.devnet:
        parser.error("`--devnet-image` is for the emulated network. Add `--devnet`.")
    if args.devnet:
        _mode.turn_devnet_on(_mode.DevnetMode(providers=args.devnet_providers, image=args.devnet_image))
    _alias.install()
    windows_event_loop_fix()
    sys.argv = [args.program, *args.arguments]
    if args.module:
        sys.path.insert(0, os.getcwd())
        runpy.run_module(args.program, run_name="__main__", alter_sys=True)
        return
    if not os.path.isfile(args.program):
        parser.error(f"there is no program `{args.program}`. Name a Python file, or a module with `-m`.")
    sys.path.insert(0, os.path.dirname(os.path.abspath(args.program)))
    runpy.run_path(args.program, run_name="__main__")


if __name__ == "__main__":
    main()
