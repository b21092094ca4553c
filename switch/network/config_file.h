// SPDX-License-Identifier: MIT
//
// The configuration as a TOML file (lanyard.toml(5)): read, with every problem and its place, and
// written.
//
// What makes it hard: a file says little and a Configuration holds all of it, so most values come
// from others (the router from the subnet, the range of addresses from both). A value is written
// only where the defaults would not lead to it; what is written reads back as the same value.
// Any thread; `read_config_file` waits for the disk.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "switch/network/network_config.h"

namespace lanyard {

// Bytes; a longer file is refused before it is parsed.
constexpr std::size_t kConfigSizeMax = 1 << 20;

struct ConfigProblem {
  std::string file;
  unsigned line = 0;  // 0: the file as a whole
  unsigned column = 0;
  std::string text;  // a sentence that says what would help

  std::string message() const;  // "FILE:LINE:COLUMN: TEXT"
  friend bool operator==(const ConfigProblem&, const ConfigProblem&) = default;
};

struct ConfigOutcome {
  Configuration configuration;          // only to be used when there are no problems
  std::vector<ConfigProblem> problems;  // all of them, in the order of the file
};

// What runs when there is no file: "nat", and "host-only" when interfaces may be made, with the
// addresses of VirtualBox.
Configuration default_configuration(bool privileged);

ConfigOutcome parse_config(std::string_view text, const std::string& file);
ConfigOutcome read_config_file(const std::string& path);

// TOML that reads back as the same value.
std::string config_text(const Configuration& configuration);

// Every key of the file as it is written there, with what it means: "network.NAME.dhcp.ranges".
struct ConfigKey {
  std::string key;
  std::string help;
};
std::vector<ConfigKey> config_keys();

}  // namespace lanyard
