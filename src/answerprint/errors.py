"""Everything that Answerprint can refuse, drawn as one tree.

    AnswerprintError
    ├── MediaError            a file or sequence that cannot be read or written as asked   (OSError)
    │   ├── NotMediaError     it is no footage at all
    │   └── DeliveryError     the output cannot be made
    ├── SettingsError         a parameter, chain or decision list that says the impossible (ValueError)
    ├── ColorError            a LUT, CDL or color space that cannot be used                 (ValueError)
    ├── ShotError             a shot list or timeline that does not fit the clip            (ValueError)
    ├── JobError              a job that cannot go on                                       (RuntimeError)
    ├── WeightsError          trained weights that cannot be loaded or trusted              (ValueError)
    └── TrainingError         a training run that cannot start or go on                     (RuntimeError)

A message is one line: what, where (file, frame, timecode), what to do. The command line prints it and exits with 2.
Anything else that escapes is a defect of Answerprint and shows its traceback.
"""


class AnswerprintError(Exception):
    """One clear line for a person: what is wrong, where, what to do."""


class MediaError(AnswerprintError, OSError):
    """A file or sequence cannot be read or written as asked."""

    # OSError would otherwise print its errno form.
    __str__ = AnswerprintError.__str__


class NotMediaError(MediaError):
    """The input is not footage: another kind of file, or empty."""


class DeliveryError(MediaError):
    """The output cannot be made: unknown preset, impossible format, unwritable place."""


class SettingsError(AnswerprintError, ValueError):
    """A parameter, chain or decision list has a wrong key or value."""


class ColorError(AnswerprintError, ValueError):
    """A LUT, CDL or color space cannot be used."""


class ShotError(AnswerprintError, ValueError):
    """A shot list or timeline does not fit the clip."""


class JobError(AnswerprintError, RuntimeError):
    """A job cannot go on."""


class WeightsError(AnswerprintError, ValueError):
    """Trained weights cannot be loaded or trusted."""


class TrainingError(AnswerprintError, RuntimeError):
    """A training run cannot start or go on."""
