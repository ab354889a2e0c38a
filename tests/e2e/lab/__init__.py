# SPDX-License-Identifier: ISC
"""The lab: a small internet of network namespaces, with NATs, an XMPP server, the daemon and real clients."""
