"""All errors of Answerprint, as one tree.

    AnswerprintError
    ├── MediaError            a file or sequence cannot be read or written              (OSError)
    │   ├── NotMediaError     the input is not footage
    │   └── DeliveryError     the output cannot be made
    ├── SettingsError         a wrong key or value in parameters, chain or decision list  (ValueError)
    ├── ColorError            a LUT, CDL or color space cannot be used                    (ValueError)
    ├── ShotError             a shot list or timeline does not fit the clip               (ValueError)
    ├── JobError              a job cannot continue                                       (RuntimeError)
    ├── WeightsError          trained weights cannot be loaded or trusted                 (ValueError)
    └── TrainingError         a training run cannot start or continue                     (RuntimeError)

A message is one line: what is wrong, where (file, frame, timecode), what to do. The command line prints it and exits
with status 2. Any other exception is a defect of Answerprint and shows its traceback. `Stopped` is a KeyboardInterrupt
that says what is kept.
"""


class AnswerprintError(Exception):
    """Base of all errors; its message is one line: what is wrong, where, what to do."""


class MediaError(AnswerprintError, OSError):
    """A file or sequence cannot be read or written."""

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
    """A job cannot continue."""


class WeightsError(AnswerprintError, ValueError):
    """Trained weights cannot be loaded or trusted."""


class TrainingError(AnswerprintError, RuntimeError):
    """A training run cannot start or continue."""


class Stopped(KeyboardInterrupt):
    """A person stopped a job; its message is one line: what is kept and how to go on."""
