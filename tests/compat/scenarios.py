# SPDX-License-Identifier: MIT
"""What is played to the original and to ours. A step is a console command, or one of

    +NAME [port=N] [uid=N] [gid=N] [v1] [abstract] [zero]   plug a client with that description
    -NAME                                                   unplug it
    !NAME SOURCE [DESTINATION] [vid=N] [pcp=N]              it sends a frame; shows who got what

Source and destination are small numbers (a MAC is made of them) or * for broadcast. In a command
{id:NAME} is the endpoint's ID, {mac:N} a MAC, {dir} the directory of the switch.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scenario:
    name: str
    options: tuple[str, ...]
    steps: tuple[str, ...]
    ours: tuple[
        str, ...
    ] | None = None  # other options for ours: the original's -n N gives one port less
    files: dict[str, str] = field(default_factory=dict)  # written to the directory before the start
    tap: bool = False  # runs in a network namespace (for -t)
    root: bool = False  # shows user names, or plugs clients of several users
    needs: str = ""  # a file of another package


def script(text: str) -> tuple[str, ...]:
    """One step per line; `""` is the empty command."""
    lines = (line.strip() for line in text.strip().splitlines())
    return tuple("" if line == '""' else line for line in lines if line)


LOOK = """
    port/showinfo
    port/print
    port/allprint
    vlan/print
    vlan/allprint
    hash/print
"""

SCENARIOS = (
    Scenario(
        "empty",
        (),
        script(
            LOOK
            + """
        help
        help port
        help port/print
        help vlan
        help hash
        help debug
        help ds
        help sh
        help xyz
        showinfo
        ds/showinfo
        bogus
        ""
        # only a remark
        #
        port
        vlan
        ds
        hash
        debug
        port/
        port/pr
        SHOWINFO
        showinfoXYZ
        port/showinfo and more words
        port/print 0
        port/print 1
        port/print 2
        port/print 31
        port/print 99
        port/print -1
        port/print abc
        port/allprint 0
        port/allprint 1
        port/allprint 99
        port/allprint -1
        port/resetcounter
        port/resetcounter 1
        port/resetcounter 77
        port/resetcounter -1
        port/epclose
        port/epclose 1
        port/epclose 1 6
        port/epclose 99 6
        port/epclose x y
        port/remove
        port/remove 0
        port/remove 1
        port/remove 99
        port/remove -1
        port/setvlan
        port/setvlan 1
        port/setvlan 1 0
        port/setvlan 1 77
        port/setvlan 1 4094
        port/setvlan 1 4095
        port/setvlan 1 4096
        port/setvlan 1 -1
        port/setvlan 99 0
        port/setuser
        port/setuser 1
        port/setuser 1 root
        port/setuser 1 nosuchuser
        port/setuser 99 root
        port/setgroup
        port/setgroup 1 root
        port/setgroup 99 root
        port/allocatable
        port/allocatable 3
        port/allocatable 3 1
        port/allocatable 99 1
        vlan/print 0
        vlan/print 11
        vlan/print 4094
        vlan/print 4095
        vlan/print 4096
        vlan/print -1
        vlan/print abc
        vlan/allprint 0
        vlan/allprint 11
        vlan/allprint 4094
        vlan/addport
        vlan/addport 10
        vlan/addport 10 1
        vlan/addport 0 1
        vlan/addport 0 99
        vlan/addport 4096 1
        vlan/delport
        vlan/delport 10
        vlan/delport 10 1
        vlan/delport 0 1
        vlan/delport 0 99
        vlan/delport 4096 1
        vlan/remove
        vlan/remove 0
        vlan/remove 99
        vlan/remove 4094
        vlan/remove 9999
        vlan/remove -1
    """
        ),
    ),
    Scenario(
        "load",
        (),
        script(
            """
        load
        load /nonexistent
        load {dir}
        load {dir}/script
        vlan/print 7
        load {dir}/comments
        vlan/print 8
        load {dir}/outer
        vlan/allprint
    """
        ),
        files={
            "script": "showinfo\nvlan/create 7\nbogus\nlogout\nport/create 2\n",
            "comments": "# a remark\nvlan/create 8\n  vlan/create 9\nvlan/create 8\n",
            "outer": "vlan/create 20\nload {dir}/inner\nvlan/create 22\n",
            "inner": "vlan/create 21\n",
        },
    ),
    Scenario(
        "ports",
        (),
        script(
            """
        port/create 3
        port/create 3
        port/create 40
        port/create -1
        port/create
        port/create 0
        port/create x
        port/create 6 and words
        port/create 7x
        port/createauto
        port/createauto 5
        port/allprint
        port/print
        port/print 3
        port/allprint 3
        port/allocatable 3 1
        port/allocatable 3
        port/allocatable 3 0
        port/allocatable 3 1
        port/allocatable 9 1
        port/allocatable 99 1
        port/allocatable 3 5
        port/allprint 3
        port/allocatable 3 0
        port/setuser 3 root
        port/allprint 3
        port/setuser 3 nobody
        port/setuser 3 0
        port/setuser 3 65534
        port/setuser 3 nosuchuser
        port/setuser 3 99999
        port/allprint 3
        port/setuser 3
        port/setuser 3 NONE
        port/setuser 3 nobody
        port/setuser 3 ANY
        port/setuser 3 none
        port/setuser 9 root
        port/allprint 3
        port/setgroup 3 root
        port/setgroup 3 nogroup
        port/allprint 3
        port/setgroup 3 0
        port/setgroup 3 nosuchgroup
        port/setgroup 3 NONE
        port/setgroup 9 root
        port/allprint 3
        port/resetcounter
        port/resetcounter 3
        port/resetcounter 9
        port/remove 3
        port/remove 3
        port/allprint 3
        port/remove 99
        port/setnumports 0
        port/setnumports
        port/setnumports -4
        port/setnumports 64
        port/showinfo
        port/create 40
        port/setnumports 39
        port/showinfo
        port/setnumports 50
        port/remove 40
        port/setnumports 40
        port/showinfo
        port/create 45
        port/allprint 45
    """
        ),
    ),
    Scenario(
        "full",
        ("-n", "5"),
        ours=("-n", "4"),
        steps=script(
            """
        port/showinfo
        port/createauto
        port/createauto
        port/createauto
        port/createauto
        port/create 4
        port/create 6
        port/create 7
        port/remove 2
        port/createauto
        port/remove 3
        port/create
        port/allprint 3
    """
        ),
    ),
    Scenario(
        "endpoints",
        (),
        script(
            """
        +alice
        +bob port=5
        +carol v1
        +dave abstract
        +erin zero
        +second port=5
        port/print
        vlan/print
        hash/print
        !alice 1 *
        !bob 2 1
        !carol 3 *
        !alice 1 77
        !alice 1 1
        port/print
        port/print 5
        port/print 0
        hash/find {mac:1}
        hash/find {mac:3} 0
        hash/find {mac:3} 1
        hash/find {mac:77}
        hash/print
        port/resetcounter 5
        port/print 5
        port/resetcounter
        port/print
        port/create 5
        port/remove 5
        port/setnumports 4
        port/epclose 5 9999
        port/epclose 6 {id:bob}
        port/epclose 5 {id:bob}
        port/print 5
        port/epclose 5 {id:second}
        port/print 5
        port/allprint 5
        -second
        -bob
        -carol
        hash/find {mac:3}
        port/print
        port/allprint
        port/remove 5
        port/allprint
        port/allocatable 1 0
        -alice
        +frank
        +gina port=1
        port/print
        -erin
        port/print
    """
        ),
        root=True,
    ),
    Scenario(
        "pool",
        ("-n", "6"),
        ours=("-n", "5"),
        steps=script(
            """
        port/create 1
        port/create 2
        port/allocatable 2 1
        +alice
        +bob
        +carol port=1
        port/allprint
        +far port=60
        +dave
        +erin
        -bob
        +frank
        port/print
    """
        ),
        root=True,
    ),
    Scenario(
        "vlans",
        (),
        script(
            """
        vlan/create 10
        vlan/create 10
        vlan/create 0
        vlan/create 4093
        vlan/create 4095
        vlan/create 4096
        vlan/create -1
        vlan/create
        vlan/create ten
        vlan/print
        vlan/allprint
        port/create 1
        port/create 2
        port/create 3
        vlan/addport 10 3
        vlan/addport 10 9
        vlan/addport 11 1
        vlan/addport 10 99
        vlan/addport 10
        vlan/create 20
        vlan/addport 0x14 0x3
        vlan/addport 20 2
        port/setvlan 1 10
        port/setvlan 1 77
        port/setvlan 1 4094
        port/setvlan 1 4096
        port/setvlan 1
        port/setvlan 9 10
        port/setvlan 99 10
        port/setvlan 2 4095
        vlan/addport 20 2
        vlan/print
        vlan/allprint
        vlan/allprint 10
        vlan/print 10
        port/allprint
        +one port=1
        +two port=2
        +three port=3
        vlan/print
        vlan/allprint
        vlan/print 10
        vlan/addport 10 1
        vlan/print 10
        vlan/addport 0 1
        vlan/addport 0 3
        vlan/print 0
        vlan/delport 0 3
        vlan/delport 10 3
        vlan/delport 10 3
        vlan/delport 10 1
        vlan/delport 10 99
        vlan/delport 10 9
        vlan/delport 11 1
        vlan/print
        vlan/remove 10
        vlan/remove 4093
        vlan/remove 4093
        vlan/remove 0
        vlan/remove 99
        vlan/remove 9999
        vlan/remove
        port/setvlan 1 0
        vlan/print
        vlan/remove 10
        vlan/addport 20 1
        port/setvlan 1 20
        port/setvlan 1 0
        vlan/print 20
        -two
        vlan/print 20
        vlan/allprint 20
        port/remove 2
        vlan/allprint 20
        port/create 2
        port/allprint 2
    """
        ),
    ),
    Scenario(
        "tagged",
        (),
        script(
            """
        vlan/create 10
        vlan/create 20
        +p1 port=1
        +p2 port=2
        +p3 port=3
        +p4 port=4
        +p5 port=5
        +p6 port=6
        port/setvlan 1 10
        port/setvlan 2 10
        vlan/addport 10 3
        vlan/addport 20 3
        port/setvlan 4 20
        port/setvlan 5 4095
        vlan/addport 10 5
        vlan/print
        !p1 1 *
        !p3 3 * vid=10 pcp=5
        !p3 4 * vid=20
        !p3 5 *
        !p3 5 * vid=30
        !p1 1 * vid=20
        !p1 1 * vid=10
        !p5 6 *
        !p3 7 * vid=10
        !p1 1 7
        !p2 2 1
        hash/print
        hash/find {mac:7} 10
        hash/find {mac:7} 20
        hash/find {mac:7}
        port/print
        port/setvlan 2 0
        hash/find {mac:2} 10
        vlan/delport 10 3
        hash/find {mac:7} 10
        !p1 1 *
        -p1
        hash/find {mac:1} 10
        +again port=1
        !again 1 *
    """
        ),
        root=True,
    ),
    Scenario(
        "fstp",
        ("--macaddr", "00:ff:01:02:03:04", "--priority", "0x11000"),
        script(
            """
        fstp
        help fstp
        fstp/showinfo
        fstp/print
        fstp/setfstp
        fstp/setfstp x
        +one port=1
        fstp/print
        fstp/setfstp 1
        fstp/showinfo
        fstp/print
        fstp/print 0
        fstp/print x
        fstp/print 9
        fstp/print -1
        fstp/print 4095
        fstp/print 9999
        fstp/setedge
        fstp/setedge 0
        fstp/setedge 0 1
        fstp/setedge 0 1 1
        fstp/print
        fstp/setedge 0 1 0
        fstp/setedge 0 5 1
        fstp/setedge 0 99 1
        fstp/setedge 0 -1 1
        fstp/setedge 99 1 1
        fstp/setedge 4095 1 1
        fstp/bonus
        fstp/bonus 0 1
        fstp/bonus 0 1 1000
        fstp/bonus 0 5 100
        fstp/bonus 0 99 100
        fstp/bonus 9 1 100
        fstp/bonus 4095 1 100
        fstp/bonus 0 1 -5
        fstp/print
        fstp/bonus 0 1 1000
        vlan/create 7
        vlan/addport 7 1
        fstp/print 7
        fstp/print
        fstp/setedge 7 1 1
        -one
        fstp/print
        port/sethub 1
        fstp/showinfo
        fstp/print 0
        fstp/setfstp 1
        fstp/setfstp 0
        port/sethub 0
        fstp/showinfo
        fstp/setfstp 1
        fstp/setfstp 0
        fstp/showinfo
        """
        ),
    ),
    Scenario(
        "hub",
        ("--hub",),
        script(
            LOOK
            + """
        +alice
        +bob
        +carol
        !alice 1 *
        !bob 2 1
        !alice 1 2 vid=77 pcp=3
        hash/print
        port/showinfo
        port/sethub 0
        port/showinfo
        !bob 2 *
        !alice 1 2
        hash/print
        port/sethub 1
        port/showinfo
        !alice 1 2
        port/sethub
        port/sethub x
        port/showinfo
        port/print
    """
        ),
        root=True,
    ),
    Scenario(
        "hash",
        (),
        script(
            """
        hash/showinfo
        hash/print
        hash/find
        hash/find xx
        hash/find 52:54:00:00:00:02
        hash/find 52.54.00.00.00.02
        hash/find 52:54:00:00:00
        hash/find 52:54:00:00:00:02 10
        hash/find 52:54:00:00:00:02 5000
        hash/setsize 0
        hash/setsize -1
        hash/setsize
        hash/setsize 100
        hash/showinfo
        hash/setsize 1024
        hash/showinfo
        hash/setgcint 5
        hash/setexpire 60
        hash/setminper 1
        hash/showinfo
        +alice
        +bob
        !alice 1 *
        !alice 2 *
        !bob 3 *
        hash/find {mac:1}
        hash/print
        hash/setsize 64
        hash/print
        hash/showinfo
        !alice 1 *
        hash/print
    """
        ),
    ),
    Scenario(
        "owners",
        ("-m", "666"),
        script(
            """
        +alice uid=65534
        +root port=5
        +bob uid=65534 port=5
        port/print
        +carol uid=65534 port=1
        port/create 7
        port/setuser 7 nobody
        +dave port=7
        -dave
        +erin uid=65534 port=7
        port/print 7
        +frank uid=12345 port=8
        port/print 8
        +gina uid=12345 port=7
        -erin
        +hal uid=12345 port=7
        port/setuser 7 NONE
        port/setgroup 7 nogroup
        port/allprint 7
    """
        ),
        root=True,
    ),
    Scenario(
        "events",
        (),
        script(
            """
        debug/list
        debug/list hash
        debug/list port/ep
        debug/list nothing
        debug/add nothing
        debug/del nothing
        debug/del hash
        debug/add port
        debug/add port
        debug/list
        +alice
        +bob port=4
        +carol port=4
        -carol
        -bob
        port/create 9
        +nine port=9
        -nine
        port/remove 9
        debug/del port/ep
        debug/list
        +dora
        -dora
        debug/del port
        debug/del port
        debug/add hash
        debug/list hash
        !alice 1 *
        !alice 1 *
        !alice 2 *
        -alice
        debug/add
        debug/list
        debug/add
        debug/del
        debug/list
        debug/del
        debug/add port/+
        +zoe
        debug/add hash/+x
    """
        ),
    ),
    Scenario(
        "tap",
        ("-t", "lydtap0", "--tap", "lydtap1"),
        script(
            """
        port/print
        vlan/print
        +alice
        !alice 1 *
        port/print
        port/epclose 2 {id:lydtap1}
        port/print
        port/allprint
    """
        ),
        tap=True,
        root=True,
    ),
    Scenario(
        "plugins",
        (),
        script(
            """
        plugin/list
        plugin/list dump
        plugin/add
        plugin/add /nonexistent.so
        plugin/add /etc/passwd
        plugin/add /lib/x86_64-linux-gnu/libm.so.6
        plugin/del zz
        plugin/add dump
        plugin/add dump
        plugin/list
        plugin/list du
        plugin/list x
        debug/list dump
        help dump
        dump/active 0
        dump/active 1
        dump/active 1
        debug/add dump
        debug/add dump
        debug/list dump
        debug/del dump
        dump/active 0
        plugin/add /usr/lib/vde2/plugins/pdump
        help pdump
        pdump/filename
        pdump/active 0
        pdump/filename {dir}/no/such
        pdump/active 1
        pdump/filename
        plugin/add iplog
        plugin/list
        help iplog
        iplog/showinfo
        iplog/ipadd 10.0.0.0/8
        iplog/ipadd 10.0.0.0/8
        iplog/ipadd fd00::/8
        iplog/ipadd nonsense
        iplog/list
        iplog/ipdel 10.0.0.0/8
        iplog/ipdel 10.0.0.0/8
        iplog/setgcint 20
        iplog/setexpire 100
        iplog/showinfo
        iplog/iplist
        iplog/ipport 1
        iplog/ipuser root
        iplog/ipsearch 10.0.0.1
        plugin/del ip
        plugin/del dump
        plugin/list
        iplog/list
        """
        ),
        needs="/usr/lib/vde2/plugins/dump.so",
    ),
)
