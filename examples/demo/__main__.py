"""What one types.

python -m examples.demo break redis|latency|crash|errors
python -m examples.demo heal
python -m examples.demo run api|worker|ocr|ml|notification     (one service, for `make demo`)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from examples.demo import breaking, fleet


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m examples.demo", description="Breaks the demo fleet, and heals it.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("break", help="break something").add_argument("what", choices=breaking.BREAKS)
    verbs.add_parser("heal", help="put everything right")
    verbs.add_parser("run", help="run one service").add_argument("name", choices=fleet.NAMES)
    given = parser.parse_args(arguments)
    if given.verb == "break":
        breaking.break_down(given.what)
        say(f"{given.what} is broken: {breaking.BREAKS[given.what]}. `python -m examples.demo heal` puts it right.")
    elif given.verb == "heal":
        breaking.heal()
        say("Everything is whole again.")
    else:
        sys.path.insert(0, str(fleet.ROOT / "clients" / "python"))
        import_module(f"examples.demo.{given.name}").main()


def say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")


if __name__ == "__main__":
    main()
