// SPDX-License-Identifier: MIT
//
// The command line of a daemon that runs networks: `lanyardd --config FILE`. It has its own small
// table, because here nothing has to be what vde_switch does: an option nobody knows is an error.
// Pure; single thread (getopt's state).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "switch/base/log.h"
#include "switch/daemon/options.h"

namespace lanyard {

// In the order in which --help lists them.
std::span<const OptionRow> networks_option_rows();

struct NetworksOptions {
  DaemonOptions::Action action = DaemonOptions::Action::run;
  std::string complaint;  // why, when usage_error

  std::string config_file;  // empty: the built-in networks
  std::string control_path;
  std::string pid_file;
  std::string runtime_directory;
  std::string state_directory;
  std::string gateway_program;
  std::uint32_t busy_poll_us = 0;
  LogLevel log_level = LogLevel::info;
  bool daemon = false;
  bool keeper = false;
};

// Whether the arguments ask for networks and not for one switch.
bool asks_for_networks(std::string_view program, int argc, char* const argv[]);

NetworksOptions parse_networks_options(int argc, char* const argv[]);

std::string networks_usage(std::string_view program);

}  // namespace lanyard
