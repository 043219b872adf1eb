"""Folders of SQL files, one layout a file; each runs its scripts as the tool that it stands for would."""
