// SPDX-License-Identifier: MIT
#include "switch/daemon/networks_options.h"

#include <getopt.h>

#include <array>
#include <vector>

#include "switch/base/text.h"
#include "switch/control/log_ring.h"

namespace lanyard {
namespace {

enum Key : int {
  kHelp = 'h',
  kVersion = 'v',
  kDaemon = 'd',
  kPidFile = 'p',
  kConfig = 256,
  kDefaults,
  kControl,
  kRuntime,
  kState,
  kGateway,
  kLogLevel,
  kBusyPoll,
  kKeeper,
};

constexpr std::array kRows{
    OptionRow{kConfig, 0, "config", "", "FILE", "run the networks of this file"},
    OptionRow{kDefaults, 0, "default-networks", "", "",
              "run the built-in networks: nat, and as root host-only"},
    OptionRow{kControl, 0, "control", "", "SOCKET", "where lanyard(1) finds the daemon"},
    OptionRow{kDaemon, 'd', "daemon", "", "",
              "run in the background; returns when every network is ready"},
    OptionRow{kKeeper, 0, "keeper", "", "",
              "hold guests in a process of its own: they survive a crash and an upgrade"},
    OptionRow{kPidFile, 'p', "pid-file", "pidfile", "FILE", "write the process number to FILE"},
    OptionRow{kRuntime, 0, "runtime-directory", "", "DIRECTORY", "where sockets are made"},
    OptionRow{kState, 0, "state-directory", "", "DIRECTORY", "where leases are kept"},
    OptionRow{kGateway, 0, "gateway", "", "PROGRAM", "the program that serves a network"},
    OptionRow{kLogLevel, 0, "log-level", "", "LEVEL",
              "the least important lines that are logged: error, warning, notice, info, debug"},
    OptionRow{kBusyPoll, 0, "busy-poll", "", "US",
              "look for the next frame so many microseconds before sleeping (0: never)"},
    OptionRow{kHelp, 'h', "help", "", "", "show this help and exit"},
    OptionRow{kVersion, 'v', "version", "", "", "show the version and exit"},
};

void fail(NetworksOptions& options, std::string why) {
  if (options.action != DaemonOptions::Action::run) return;
  options.action = DaemonOptions::Action::usage_error;
  options.complaint = std::move(why);
}

void apply(NetworksOptions& options, int key, const char* argument) {
  const std::string text = argument != nullptr ? argument : "";
  switch (key) {
    case kConfig: options.config_file = text; break;
    case kDefaults: break;  // what runs without a file
    case kControl: options.control_path = text; break;
    case kDaemon: options.daemon = true; break;
    case kKeeper: options.keeper = true; break;
    case kPidFile: options.pid_file = text; break;
    case kRuntime: options.runtime_directory = text; break;
    case kState: options.state_directory = text; break;
    case kGateway: options.gateway_program = text; break;
    case kLogLevel: {
      const std::optional<LogLevel> level = parse_log_level(text);
      if (!level) fail(options, fmt::format("--log-level: '{}' is no level", printable(text)));
      options.log_level = level.value_or(LogLevel::info);
      break;
    }
    case kBusyPoll: {
      const Result<std::uint32_t> us = parse_busy_poll(text);
      if (!us) fail(options, us.error().text);
      options.busy_poll_us = us.ok() ? us.value() : 0;
      break;
    }
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
    default: break;
  }
}

}  // namespace

std::span<const OptionRow> networks_option_rows() {
  return kRows;
}

bool asks_for_networks(std::string_view program, int argc, char* const argv[]) {
  if (program == "vde_switch") return false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--config" || word.starts_with("--config=") || word == "--default-networks") {
      return true;
    }
  }
  return false;
}

NetworksOptions parse_networks_options(int argc, char* const argv[]) {
  NetworksOptions options;
  std::vector<option> longs;
  std::vector<std::string> names;
  names.reserve(kRows.size() * 2);
  std::string shorts = ":";
  bool defaults = false;
  for (const OptionRow& row : kRows) {
    const int takes = row.argument.empty() ? no_argument : required_argument;
    longs.push_back({names.emplace_back(row.name).c_str(), takes, nullptr, row.key});
    if (!row.aliases.empty()) {
      longs.push_back({names.emplace_back(row.aliases).c_str(), takes, nullptr, row.key});
    }
    if (row.letter == 0) continue;
    shorts += row.letter;
    if (takes == required_argument) shorts += ':';
  }
  longs.push_back({nullptr, 0, nullptr, 0});
  optind = 0;  // glibc: start over, also after an earlier call
  int key = 0;
  while ((key = ::getopt_long(argc, argv, shorts.c_str(), longs.data(), nullptr)) != -1) {
    const std::string word = printable(argv[optind - 1]);
    if (key == '?') fail(options, fmt::format("'{}' is not an option", word));
    if (key == ':') fail(options, fmt::format("'{}' needs an argument", word));
    defaults = defaults || key == kDefaults;
    apply(options, key, optarg);
  }
  if (optind < argc) fail(options, fmt::format("'{}' is not an option", printable(argv[optind])));
  if (defaults && !options.config_file.empty()) {
    fail(options, "--config and --default-networks exclude each other");
  }
  return options;
}

std::string networks_usage(std::string_view program) {
  std::string text = fmt::format(
      "Usage: {} --config FILE [OPTIONS]\n       {} --default-networks [OPTIONS]\n"
      "Runs networks for virtual machines. Without either: {} --help\n",
      program, program, program);
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

}  // namespace lanyard
