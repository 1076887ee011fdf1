"""How each network is trained: one file or folder each, named as the network; this folder is the list."""

from answerprint.errors import TrainingError
from answerprint.folder import Folder

_FOLDER = Folder("answerprint.recipes", "recipe", TrainingError)
names, summary, load = _FOLDER.names, _FOLDER.summary, _FOLDER.load
docstring, table = _FOLDER.docstring, _FOLDER.table
