// SPDX-License-Identifier: MIT
//
// A configuration file of any bytes: every problem has a place and can be printed, and what has no
// problem reads back from what is written of it, as TOML and as JSON.
#include "switch/network/config_diff.h"
#include "switch/network/config_file.h"
#include "switch/network/config_json.h"
#include "tests/fuzz/plain_text.h"

namespace lanyard::fuzz {
namespace {

void check_round_trip(const Configuration& configuration) {
  const ConfigOutcome again = parse_config(config_text(configuration), "written");
  require(again.problems.empty(), "what is written has no problems");
  require(again.configuration == configuration, "what is written reads back as the same value");
  require(diff(configuration, again.configuration).empty(), "equal values do not differ");
  for (const NetworkConfig& network : configuration.networks) {
    const auto read = network_from_json(to_json(network));
    require(read.ok() && read.value() == network, "JSON reads back as the same value");
  }
}

void run(Input input) {
  const ConfigOutcome outcome = parse_config(as_text(input.rest()), "fuzz");
  for (const ConfigProblem& problem : outcome.problems) {
    require(!problem.text.empty() && is_plain(problem.text), "a problem can be printed");
  }
  if (outcome.problems.empty()) check_round_trip(outcome.configuration);
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lanyard::fuzz::run(lanyard::fuzz::Input({data, size}));
  return 0;
}
