// SPDX-License-Identifier: MIT
//
// What somebody who has taken a process over would try, tried from inside its sandbox: each attempt
// is made so that it does no harm where nothing holds it back. For a process that ends afterwards.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lanyard {

struct ProbeOutcome {
  std::string_view what;
  int code = 0;  // errno; 0: it was done
  bool refused = false;
};

enum class ProbeNetwork : std::uint8_t { internet, none };  // what a role may speak

// Everything that no role may do, and sockets of the Internet for who does not speak it.
std::vector<ProbeOutcome> probe_sandbox(ProbeNetwork network);

// A line each, and whether all were refused.
std::string probe_text(const std::vector<ProbeOutcome>& outcomes);
bool all_refused(const std::vector<ProbeOutcome>& outcomes);

}  // namespace lanyard
