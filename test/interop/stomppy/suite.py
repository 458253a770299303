"""Runs every test and prints one JSON object a line: {name, ok, skip, ms, why}."""

import json
import logging
import sys
import time
import traceback
import unittest

import stomp


class Result(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()
        self.told = False

    def tell(self, test, ok, why="", skip=""):
        self.told = True
        ms = round((time.monotonic() - getattr(self, "began", time.monotonic())) * 1000)
        print(json.dumps({"name": test.id(), "ok": ok, "skip": skip, "ms": ms, "why": why}), flush=True)

    def addSuccess(self, test):
        self.tell(test, True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell(test, True, skip=reason)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.tell(test, False, "".join(traceback.format_exception(*error)[-4:]))

    addError = addFailure


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # stomp.py logs what the tests provoke on purpose
    version = ".".join(map(str, stomp.__version__)) if isinstance(stomp.__version__, tuple) else stomp.__version__
    print(json.dumps({"output": f"stomp.py {version}, Python {sys.version.split()[0]}"}), flush=True)
    result = Result()
    unittest.defaultTestLoader.discover(".", pattern="test_*.py").run(result)
    sys.exit(not result.wasSuccessful())
