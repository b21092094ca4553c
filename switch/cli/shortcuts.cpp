// SPDX-License-Identifier: MIT
#include "switch/cli/shortcuts.h"

#include <algorithm>
#include <array>

namespace lanyard {
namespace {

constexpr std::array kShortcuts{
    Shortcut{"up", "[FILE]", "file", 1, "", "start the networks of a file, or the usual ones"},
    Shortcut{"down", "", "", 0, "", "take every network down and end the daemon"},
    Shortcut{"status", "", "", 0, "daemon.status", "the networks, and what is wrong with them"},
    Shortcut{"check", "[FILE]", "file", 1, "", "say what is wrong with a configuration file"},
    Shortcut{"diff", "[FILE]", "file", 1, "config.diff", "what a reload would change"},
    Shortcut{"reload", "[FILE]", "file", 1, "config.reload", "change to what the file says"},
    Shortcut{"upgrade", "", "", 0, "daemon.upgrade", "go on as the program that is now on disk"},
    Shortcut{"dump", "", "", 0, "config.dump", "what runs, as a configuration file"},
    Shortcut{"watch", "[KINDS]", "event", 1, "", "print what happens, as it happens"},
    Shortcut{"qemu", "NETWORK... [vm=NAME] [for=qemu|virtualbox|libvirt]", "network", 16, "",
             "print the lines that plug a VM in"},
    Shortcut{"plug", "[ADDRESS] [= COMMAND...]", "file", 64, "",
             "standard input and output, or a command's, as a cable"},
    Shortcut{"cable", "A B", "file", 2, "", "join two switches, and again when they come loose"},
    Shortcut{"console", "[SOCKET]", "file", 1, "", "talk to the console of a VDE switch"},
    Shortcut{"doctor", "[FILE]", "file", 1, "", "say what this host lacks, and the remedy"},
    Shortcut{"completion", "bash", "bash", 1, "", "print the completion script of a shell"},
    Shortcut{"help", "[OBJECT [VERB]]", "object", 2, "", "explain a command"},
};

}  // namespace

std::span<const Shortcut> shortcuts() {
  return kShortcuts;
}

const Shortcut* find_shortcut(std::string_view name) {
  const auto at = std::find_if(kShortcuts.begin(), kShortcuts.end(),
                               [&](const Shortcut& row) { return row.name == name; });
  return at == kShortcuts.end() ? nullptr : &*at;
}

}  // namespace lanyard
