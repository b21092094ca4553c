// SPDX-License-Identifier: MIT
//
// The command line, compatible with vde_switch's: every long option also with one dash, every
// unambiguous abbreviation, and options nobody knows are complained about and passed over, because
// scripts carry options of other builds. The rows of the table are what --help and the man page
// show. Reading it is pure: a value comes out, nothing is opened. Single thread (getopt's state).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"
#include "switch/base/sandbox.h"
#include "switch/frame/mac_address.h"
#include "switch/runtime/busy_poll.h"

namespace lanyard {

struct OptionRow {
  int key;      // what it is, in the parser
  char letter;  // 0: only a long form
  std::string_view name;
  std::string_view aliases;   // more long forms, separated by blanks
  std::string_view argument;  // empty: takes none
  std::string_view help;
};

// In the order in which --help lists them.
std::span<const OptionRow> option_rows();

struct DaemonOptions {
  enum class Action : std::uint8_t { run, help, usage_error, version };

  Action action = Action::run;
  std::string complaint;              // why, when usage_error; for standard error
  std::vector<std::string> warnings;  // what was passed over, for the log

  std::int64_t ports = 32;
  bool hub = false;
  bool pass_tags = false;
  bool fstp = false;
  std::optional<MacAddress> mac;
  std::int64_t priority = 0x8000;
  std::uint32_t hash_size = 128;

  std::string directory;  // empty: the default
  std::optional<std::string> mode;
  std::optional<std::string> directory_mode;
  std::optional<std::string> group;
  std::vector<std::string> port_groups;

  bool daemon = false;
  bool keeper = false;
  bool no_stdin = false;
  std::string pid_file;
  std::string rc_file;
  std::string console_path;
  mode_t console_mode = 0600;
  std::optional<std::string> console_group;

  SandboxMode sandbox = SandboxMode::off;

  std::vector<std::string> taps;
  std::vector<std::string> plugs;  // backend URLs

  std::uint32_t busy_poll_us = BusyPoll::kSwitchUs;
};

DaemonOptions parse_options(int argc, char* const argv[]);

// Microseconds, 0 to BusyPoll::kMaxUs.
Result<std::uint32_t> parse_busy_poll(std::string_view text);

std::string usage(std::string_view program);
std::string version_text();

}  // namespace lanyard
