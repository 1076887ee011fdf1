"""The machinery of training; knows no network by name."""
