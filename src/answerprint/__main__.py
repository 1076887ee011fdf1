"""The command `answerprint`, also as `python -m answerprint`."""

import sys

from answerprint import interrupt


def main() -> None:
    """Runs the command line; Ctrl-C is answered with one line from the first moment."""
    try:
        interrupt.guard()
        from answerprint import cli
    except KeyboardInterrupt:
        print("answerprint: stopped before anything was done", file=sys.stderr)
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
