# SPDX-License-Identifier: MIT
"""Where our console means to differ from the original, and why.

Each rule turns the original's reply into ours. A reply that differs in any other way fails the
comparison, and so does a rule that changes nothing any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

# The commands ours adds. They stand at the end of `help`, behind everything the original knows.
ADDED_COMMANDS = (
    "lanyard",
    "port/drops",
    "port/balance",
    "port/passtags",
    "port/setlink",
    "port/setqueue",
    "port/plug",
    "switch/explain",
    "lanyard/upgrade",
    "backend/list",
    "port/guard",
    "port/setguard",
    "guard/bindings",
    "guard/setbinding",
    "guard/bandwidth",
    "guard/setbandwidth",
    "fstp/setpriority",
    "fstp/bpduguard",
    "fstp/rootguard",
)

EMPTY_DATA = "0000 DATA END WITH '.'\n.\n"
NO_SUCH = "1006 No such device or address"
IN_USE = "1098 Address already in use"


@dataclass(frozen=True)
class Difference:
    reason: str
    step: str  # regular expression for the whole step
    change: Callable[[str], str]  # the original's reply -> ours
    scenario: str = ".*"

    def applies(self, scenario: str, step: str) -> bool:
        return bool(re.fullmatch(self.scenario, scenario) and re.fullmatch(self.step, step))


def instead(reply: str) -> Callable[[str], str]:
    return lambda _: reply


def one_port_less(reply: str) -> str:
    return re.sub(r"(?<=to port: )\d{3}", lambda match: f"{int(match[0]) - 1:03d}", reply)


def known_user_of_port_3(reply: str) -> str:
    return re.sub(r"(Port 0003 \S+ ACTIVE .*\n Current User: )NONE", r"\1root", reply)


DIFFERENCES = (
    Difference(
        "the original's text says `add` for the command that deletes",
        r"help( vlan)?",
        lambda reply: reply.replace(
            "vlan/delport       N PORT          add port to the vlan N (tagged)",
            "vlan/delport       N PORT          delete port from the vlan N",
        ),
    ),
    Difference("the original prints the port plus one", r"hash/find .*", one_port_less),
    Difference(
        "-n N gives the ports 1 to N and 0, not 1 to N-1",
        r"port/showinfo",
        lambda reply: reply.replace("Numports=5", "Numports=4"),
        scenario="full",
    ),
    Difference(
        "a client with an abstract address is who the kernel says it is, not nobody",
        r"port/(all)?print.*",
        known_user_of_port_3,
        scenario="endpoints",
    ),
    Difference(
        "vlan/allprint takes VLAN 0, as vlan/print does",
        r"vlan/allprint 0",
        instead("0000 DATA END WITH '.'\nVLAN 0000\n.\n1000 Success"),
    ),
    Difference(
        "VID 4094 is a VLAN like others", r"vlan/(all)?print 4094", instead(EMPTY_DATA + NO_SUCH)
    ),
    Difference(
        "the original does not know the role of tagged ports",
        r"fstp/print.*",
        lambda reply: reply.replace("role=Unknown", "role=Designated"),
    ),
    Difference("a directory is no script", r"load \{dir\}", instead("1022 Invalid argument")),
    Difference(
        "VLAN 0 cannot be removed, even while no port is in it",
        r"vlan/remove( 0)?",
        instead(IN_USE),
    ),
)


@dataclass(frozen=True)
class OptionDifference:
    reason: str
    lines: tuple[str, ...]  # command lines that show it


OPTION_DIFFERENCES = (
    OptionDifference(
        "with a spanning tree a port forwards once it is known where it leads, not at once, and BPDUs are padded",
        tuple(
            f"{line} --macaddr 00:ff:01:02:03:04"
            for line in ("-F", "--fstp", "-F --priority 0x1000", "-F --priority 70000")
        ),
    ),
    OptionDifference("a mode that is not octal is passed over, all of it", ("-m 0x1ff",)),
    OptionDifference(
        "what is wrong with a command line is said on standard error, not with the help on standard output",
        ("--macaddr nonsense", "--macaddr 00:ff:01:02:03", "word", "-x word"),
    ),
)


def expected(scenario: str, step: str, reply: str) -> str:
    """What ours must answer where the original answers `reply`."""
    for difference in DIFFERENCES:
        if difference.applies(scenario, step):
            reply = difference.change(reply)
    return reply
