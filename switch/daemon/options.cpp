// SPDX-License-Identifier: MIT
#include "switch/daemon/options.h"

#include <getopt.h>

#include <array>
#include <bit>
#include <cerrno>

#include "switch/base/text.h"
#include "switch/base/version.h"

namespace lanyard {
namespace {

enum Key : int {
  kHelp = 'h',
  kVersion = 'v',
  kPorts = 'n',
  kHub = 'x',
  kFstp = 'F',
  kSock = 's',
  kMode = 'm',
  kGroup = 'g',
  kDaemon = 'd',
  kPidFile = 'p',
  kRcFile = 'f',
  kMgmt = 'M',
  kDebugClients = 'D',
  kTap = 't',
  kMac = 256,
  kPriority,
  kHashSize,
  kDirMode,
  kMgmtMode,
  kMgmtGroup,
  kNoStdin,
  kPortGroup,
  kPassTags,
  kPlug,
  kSandbox,
  kBusyPoll,
  kKeeper,
};

constexpr std::array kRows{
    OptionRow{kHelp, 'h', "help", "", "", "show this help and exit"},
    OptionRow{kVersion, 'v', "version", "", "", "show the version and exit"},
    OptionRow{kPorts, 'n', "numports", "", "N", "number of ports (32)"},
    OptionRow{kHub, 'x', "hub", "", "", "be a hub: repeat every frame to every port"},
    OptionRow{kFstp, 'F', "fstp", "", "", "run a spanning tree in every VLAN (not in a hub)"},
    OptionRow{kMac, 0, "macaddr", "", "MAC", "the switch's own address (random, 00:ff:...)"},
    OptionRow{kPriority, 0, "priority", "", "N", "bridge priority of the spanning tree (0x8000)"},
    OptionRow{kHashSize, 0, "hashsize", "", "N", "hash size that the console shows (128)"},
    OptionRow{kPassTags, 0, "pass-tags", "", "",
              "carry guests' tags of VLANs that a port is not in as payload"},
    OptionRow{kSock, 's', "sock", "vdesock unix", "DIRECTORY",
              "serve VDE clients in DIRECTORY (/var/run/vde.ctl as root, else /tmp/vde.ctl)"},
    OptionRow{kMode, 'm', "mode", "mod", "MODE", "octal mode of the sockets (0600)"},
    OptionRow{kDirMode, 0, "dirmode", "", "MODE", "octal mode of the directory (02700)"},
    OptionRow{kGroup, 'g', "group", "", "GROUP", "group of the sockets and the directory"},
    OptionRow{kPortGroup, 0, "portgroup", "", "NAME=FIRST-LAST",
              "one more socket, NAME, whose clients get ports FIRST to LAST; repeatable"},
    OptionRow{kDaemon, 'd', "daemon", "", "",
              "run in the background; returns when everything is ready"},
    OptionRow{kKeeper, 0, "keeper", "", "",
              "hold clients in a process of its own: they survive a crash and an upgrade"},
    OptionRow{kPidFile, 'p', "pidfile", "", "FILE", "write the process number to FILE"},
    OptionRow{kRcFile, 'f', "rcfile", "", "FILE",
              "console commands to run at start (~/.vde2/vde_switch.rc, /etc/vde2/vde_switch.rc)"},
    OptionRow{kMgmt, 'M', "mgmt", "", "SOCKET", "serve the management console at SOCKET"},
    OptionRow{kMgmtMode, 0, "mgmtmode", "", "MODE", "octal mode of the console's socket (0600)"},
    OptionRow{kMgmtGroup, 0, "mgmtgroup", "", "GROUP", "group of the console's socket"},
    OptionRow{kDebugClients, 'D', "debugclients", "", "N", "accepted, without effect"},
    OptionRow{kNoStdin, 0, "nostdin", "", "", "no console on standard input"},
    OptionRow{kSandbox, 0, "sandbox", "", "MODE",
              "give up what carrying frames does not need: off, log, errno or kill (off)"},
    OptionRow{kTap, 't', "tap", "", "NAME", "plug in the TAP interface NAME; repeatable"},
    OptionRow{kPlug, 0, "plug", "", "KIND://TARGET",
              "plug in a backend, see lanyard-backends(7); repeatable"},
    OptionRow{kBusyPoll, 0, "busy-poll", "", "US",
              "look for the next frame so many microseconds before sleeping (50; 0: never)"},
};

struct GetoptTables {
  std::vector<std::string> names;  // what `longs` points into
  std::vector<option> longs;
  std::string shorts;
};

GetoptTables getopt_tables() {
  GetoptTables tables;
  std::vector<const OptionRow*> rows;
  for (const OptionRow& row : kRows) {
    tables.names.emplace_back(row.name);
    rows.push_back(&row);
    for (const std::string_view alias : split_words(row.aliases)) {
      tables.names.emplace_back(alias);
      rows.push_back(&row);
    }
    if (row.letter != 0) {
      tables.shorts += row.letter;
      if (!row.argument.empty()) tables.shorts += ':';
    }
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    tables.longs.push_back({tables.names[i].c_str(),
                            rows[i]->argument.empty() ? no_argument : required_argument, nullptr,
                            rows[i]->key});
  }
  tables.longs.push_back({nullptr, 0, nullptr, 0});
  return tables;
}

void fail(DaemonOptions& options, std::string why) {
  if (options.action != DaemonOptions::Action::run) return;
  options.action = DaemonOptions::Action::usage_error;
  options.complaint = std::move(why);
}

void read_ports(DaemonOptions& options, std::string_view text) {
  constexpr std::int64_t kPortsMax = 65534;
  const std::optional<std::int64_t> number = parse_integer(text);
  if (!number) return fail(options, fmt::format("-n: '{}' is not a number", printable(text)));
  if (*number < 1) return fail(options, "The switch must have at least 1 port");
  if (*number > kPortsMax) {
    return fail(options, fmt::format("The switch can have {} ports at most", kPortsMax));
  }
  options.ports = *number;
}

void read_hash_size(DaemonOptions& options, std::string_view text) {
  const std::optional<std::int64_t> number = parse_integer(text);
  if (!number || *number < 1 || *number > (std::int64_t{1} << 30)) {
    options.warnings.push_back(fmt::format("--hashsize {}: not a size; ignored", printable(text)));
    return;
  }
  options.hash_size = std::bit_ceil(static_cast<std::uint32_t>(*number));
  if (options.hash_size != *number) {
    options.warnings.push_back(fmt::format("Hash size must be a power of 2. {} rounded to {}",
                                           *number, options.hash_size));
  }
}

// As vde_switch does, a mode that is none is passed over, but not silently.
void read_mode(DaemonOptions& options, std::string_view text, std::optional<std::string>& into) {
  if (parse_mode(text)) {
    into = text;
  } else {
    options.warnings.push_back(fmt::format("'{}' is not an octal mode; ignored", printable(text)));
  }
}

void apply(DaemonOptions& options, int key, const char* argument) {
  const std::string text = argument != nullptr ? argument : "";
  switch (key) {
    case kHelp:
      if (options.action == DaemonOptions::Action::run) {
        options.action = DaemonOptions::Action::help;
      }
      break;
    case kVersion:
      if (options.action == DaemonOptions::Action::run) {
        options.action = DaemonOptions::Action::version;
      }
      break;
    case kPorts: read_ports(options, text); break;
    case kHub: options.hub = true; break;
    case kFstp: options.fstp = true; break;
    case kMac:
      options.mac = MacAddress::parse(text);
      if (!options.mac) fail(options, fmt::format("Invalid MAC Addr {}", printable(text)));
      break;
    case kPriority: options.priority = parse_integer(text).value_or(options.priority); break;
    case kHashSize: read_hash_size(options, text); break;
    case kPassTags: options.pass_tags = true; break;
    case kSock: options.directory = text; break;
    case kMode: read_mode(options, text, options.mode); break;
    case kDirMode: read_mode(options, text, options.directory_mode); break;
    case kGroup: options.group = text; break;
    case kPortGroup: options.port_groups.push_back(text); break;
    case kDaemon: options.daemon = true; break;
    case kKeeper: options.keeper = true; break;
    case kPidFile: options.pid_file = text; break;
    case kRcFile: options.rc_file = text; break;
    case kMgmt: options.console_path = text; break;
    case kMgmtMode: {
      std::optional<std::string> mode;
      read_mode(options, text, mode);
      if (mode) options.console_mode = *parse_mode(*mode);
      break;
    }
    case kMgmtGroup: options.console_group = text; break;
    case kDebugClients: break;
    case kNoStdin: options.no_stdin = true; break;
    case kSandbox: {
      const std::optional<SandboxMode> mode = parse_sandbox_mode(text);
      if (!mode) {
        fail(options, fmt::format("--sandbox: '{}' is not one of off, log, errno and kill",
                                  printable(text)));
      }
      options.sandbox = mode.value_or(SandboxMode::off);
      break;
    }
    case kTap: options.taps.push_back(text); break;
    case kPlug: options.plugs.push_back(text); break;
    case kBusyPoll: {
      const Result<std::uint32_t> us = parse_busy_poll(text);
      if (!us) fail(options, us.error().text);
      options.busy_poll_us = us.ok() ? us.value() : 0;
      break;
    }
    default: options.warnings.emplace_back("an unknown option was ignored"); break;
  }
}

}  // namespace

std::span<const OptionRow> option_rows() {
  return kRows;
}

DaemonOptions parse_options(int argc, char* const argv[]) {
  DaemonOptions options;
  const GetoptTables tables = getopt_tables();
  optind = 0;  // glibc: start over, also after an earlier call
  int key = 0;
  while ((key = ::getopt_long_only(argc, argv, tables.shorts.c_str(), tables.longs.data(),
                                   nullptr)) != -1) {
    apply(options, key, optarg);
  }
  if (optind < argc) {
    fail(options, fmt::format("'{}' is not an option", printable(argv[optind])));
  }
  return options;
}

Result<std::uint32_t> parse_busy_poll(std::string_view text) {
  const std::optional<std::int64_t> us = parse_integer(text);
  if (!us || *us < 0 || *us > BusyPoll::kMaxUs) {
    return Error{EINVAL,
                 fmt::format("--busy-poll: '{}' is not a number of microseconds from 0 to {}",
                             printable(text), BusyPoll::kMaxUs)};
  }
  return static_cast<std::uint32_t>(*us);
}

std::string usage(std::string_view program) {
  std::string text = fmt::format("Usage: {} [OPTIONS]\nRuns a virtual Ethernet switch.\n", program);
  for (const OptionRow& row : kRows) {
    std::string left = row.letter != 0 ? fmt::format("  -{}, --{}", row.letter, row.name)
                                       : fmt::format("      --{}", row.name);
    for (const std::string_view alias : split_words(row.aliases)) append(left, ", --{}", alias);
    if (!row.argument.empty()) append(left, " {}", row.argument);
    if (left.size() < 36) {
      append(text, "{:<36}{}\n", left, row.help);
    } else {
      append(text, "{}\n{:36}{}\n", left, "", row.help);
    }
  }
  return text;
}

std::string version_text() {
  return "VDE 2.3.2\nLanyard " LANYARD_VERSION
         ", a virtual Ethernet switch compatible with vde_switch. MIT licence.\n";
}

}  // namespace lanyard
