// SPDX-License-Identifier: MIT
//
// The command line. The input is the arguments, one a line.
#include "switch/daemon/options.h"

#include <getopt.h>

#include <bit>
#include <string>
#include <vector>

#include "switch/base/text.h"
#include "tests/fuzz/plain_text.h"

namespace lanyard::fuzz {
namespace {

constexpr std::size_t kArgumentsMax = 64;

std::vector<std::string> arguments_of(Input input) {
  std::vector<std::string> arguments{"vde_switch"};
  while (!input.empty() && arguments.size() < kArgumentsMax) {
    const std::string_view line = as_text(input.until('\n'));
    arguments.emplace_back(line.substr(0, line.find('\0')));
  }
  return arguments;
}

DaemonOptions parse(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  return parse_options(static_cast<int>(arguments.size()), argv.data());
}

void check(const DaemonOptions& options, const std::vector<std::string>& arguments) {
  require(options.ports >= 1 && options.ports <= 65534, "the number of ports is in its range");
  require(std::has_single_bit(options.hash_size), "the hash size is a power of two");
  require(options.console_mode <= 07777, "the console's mode is one");
  for (const auto& mode : {options.mode, options.directory_mode}) {
    require(!mode || parse_mode(*mode).has_value(), "a mode that is kept is one");
  }
  require((options.action == DaemonOptions::Action::usage_error) == !options.complaint.empty(),
          "a usage error says why, and nothing else does");
  require(is_plain(options.complaint), "the complaint can be printed");
  for (const std::string& warning : options.warnings) {
    require(!warning.empty() && is_plain(warning), "a warning can be printed");
  }
  const std::size_t repeated =
      options.taps.size() + options.plugs.size() + options.port_groups.size();
  require(repeated < arguments.size(), "an argument counts once");
}

bool same(const DaemonOptions& a, const DaemonOptions& b) {
  return a.action == b.action && a.complaint == b.complaint && a.warnings == b.warnings &&
         a.ports == b.ports && a.hub == b.hub && a.mac == b.mac && a.directory == b.directory &&
         a.mode == b.mode && a.group == b.group && a.console_path == b.console_path &&
         a.taps == b.taps && a.plugs == b.plugs && a.port_groups == b.port_groups;
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  opterr = 0;  // getopt's own complaints would only fill the screen
  const std::vector<std::string> arguments = arguments_of(Input({data, size}));
  const lanyard::DaemonOptions options = parse(arguments);
  check(options, arguments);
  require(same(options, parse(arguments)), "a command line always means the same");
  return 0;
}
