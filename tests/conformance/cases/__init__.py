# SPDX-License-Identifier: ISC
"""All cases: importing this fills suite.CASES, in the order of the documents."""

import importlib

for name in ("messages", "attributes", "authentication", "algorithms", "allocate", "reservation",
             "refresh", "permissions", "data", "icmp", "channels", "families", "streams", "tcp",
             "mobility", "compatibility", "care", "slow"):
    importlib.import_module(f"cases.{name}")
