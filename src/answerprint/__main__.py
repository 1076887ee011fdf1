"""`python -m answerprint` is the command `answerprint`."""

from answerprint.cli import main

if __name__ == "__main__":
    main()
