// SPDX-License-Identifier: MIT
//
// Does it in a child process first. What a stranger's code does at load cannot be undone in ours:
// it may crash, exit, or never return. So a forked child does the same thing; when it dies, or has
// not said within two seconds that all is well, we do not follow it. The wait is the only place
// where the lane's thread stands still, and only for what is then refused; a good plugin takes a
// few milliseconds. The child must touch nothing it shares with us: no event loop, no log.
// Lane thread only.
#pragma once

#include <functional>
#include <string_view>

#include "switch/base/result.h"
#include "switch/base/time.h"

namespace lanyard {

constexpr Duration kProbeTimeout = std::chrono::seconds(2);

// `attempt` runs in the child; its error is the result. `what` begins the sentence: "x.so".
Result<void> probe(std::string_view what, const std::function<Result<void>()>& attempt,
                   Duration timeout = kProbeTimeout);

}  // namespace lanyard
