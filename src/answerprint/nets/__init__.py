"""Networks, tensors in, tensors out: one file or folder each, named as the operation or recipe that it serves.

A network is a module with

    class Config(Settings): ...       # everything needed to build it again, stored with its weights
    def load(path=None) -> nn.Module  # with trained weights: those at `path`, else a user's own, else those that ship

This folder is the list; what several networks share lies in `_blocks.py`.
"""

from answerprint.errors import WeightsError
from answerprint.folder import Folder

_FOLDER = Folder("answerprint.nets", "network", WeightsError)
names, summary, load = _FOLDER.names, _FOLDER.summary, _FOLDER.load
