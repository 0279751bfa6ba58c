"""The commands, a module each.

Each module is named as its command and holds HELP (a line without a full stop), EXAMPLE, LOG
(whether progress is told on stderr), `add_arguments` (its words) and `run` (what it does, to its
exit status); DESCRIPTION is there where HELP isn't enough. What a command needs is imported when it
runs, so that help is immediate, and `recipe` and `score` do without torch.
"""
