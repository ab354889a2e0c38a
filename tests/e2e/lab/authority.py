# SPDX-License-Identifier: ISC
"""A certificate authority of a lab, by the openssl program."""

import os
import subprocess


def _openssl(*words):
    return subprocess.run(["openssl", *words], check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout


class Authority:
    def __init__(self, directory):
        self.certificate, self.key = f"{directory}/authority.pem", f"{directory}/authority.key"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
                 "-subj", "/CN=Lab authority", "-days", "30", "-keyout", self.key,
                 "-out", self.certificate)

    def issue(self, path, names, addresses):
        """Writes PATH.pem and PATH.key, each replaced at once; returns the serial number."""
        subjects = ",".join([f"DNS:{n}" for n in names] + [f"IP:{a}" for a in addresses])
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
                 "-CA", self.certificate, "-CAkey", self.key, "-subj", f"/CN={names[0]}",
                 "-days", "20", "-addext", f"subjectAltName={subjects}",
                 "-addext", "basicConstraints=critical,CA:FALSE",
                 "-keyout", f"{path}.key.new", "-out", f"{path}.pem.new")
        for kind in ("key", "pem"):
            os.rename(f"{path}.{kind}.new", f"{path}.{kind}")
        return _openssl("x509", "-in", f"{path}.pem", "-noout", "-serial").strip().split("=")[1]
