// SPDX-License-Identifier: MIT
//
// Networks as small files (*.net): a line a statement, # begins a comment.
//
//   bridge NAME [priority=N] [max_age=N] [delay=N] [stp]
//   bridges N [...]                     b1 to bN
//   cable A B [cost=N]                  up from the start; named A-B, a second one A-B/2
//   ring, mesh                          cables between all bridges so far: in a circle, or all
//   converge N                          runs until all is one tree; fails after N seconds
//   run N                               lets N seconds pass
//   cut A-B, mend A-B                   a cable
//   kill A, revive A                    a bridge, with its cables
//   priority A N
//   root A                              everybody agrees that it is A
//   open A-B, blocked A-B               whether the cable carries frames
//
// After every statement no frame may ever have circulated.
#pragma once

#include <string>

namespace lanyard::testing {

// Runs the script; "" or what went wrong, with its line.
std::string run_net_script(const std::string& path);

}  // namespace lanyard::testing
