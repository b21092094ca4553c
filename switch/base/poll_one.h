// SPDX-License-Identifier: MIT
//
// Waits for one descriptor, by ppoll(2): a list of allowed system calls has it and no other of its
// family, on every machine, and after a stop (SIGCONT) the kernel starts it again without a call of
// its own. Any thread.
#pragma once

#include <optional>

#include "switch/base/time.h"

namespace lanyard {

// Those of `events` (poll(2)) that it has, and its errors; 0 when there is none after `patience`.
// nullopt: waits for as long as it takes.
short poll_one(int fd, short events, std::optional<Duration> patience);

}  // namespace lanyard
