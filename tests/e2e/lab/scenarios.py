# SPDX-License-Identifier: ISC
"""The scenarios of a module: functions of a lab that return figures, by name."""

from lab.call import require


class Skipped(Exception):
    """This machine cannot run the scenario."""


class Scenarios(dict):
    """{name: (function, options of its lab)}. 'lab' is called with the daemon's program, 'logs' and
    those options, and gives a context; the daemon in it must end well when the function is through."""

    def __init__(self, lab):
        super().__init__()
        self.lab = lab

    def add(self, **options):
        """A decorator: registers a function as a scenario; options are those of the lab."""
        def register(function):
            self[function.__name__.replace("_", "-")] = (function, options)
            return function
        return register

    def run(self, name, daemon, logs=None):
        function, options = self[name]
        with self.lab(daemon, logs=logs, **options) as lab:
            figures = function(lab)
            status = lab.daemon.stop()
            require(status == 0, f"the daemon ended with status {status}")
            return figures or {}
