// SPDX-License-Identifier: MIT
//
// What a gateway makes of its process before the first byte of a guest comes in: it gives up what
// it does not need. Called once, before any thread exists.
#pragma once

#include "switch/base/result.h"

namespace lanyard {

constexpr int kFrameDescriptor = 3;
constexpr int kControlDescriptor = 4;
constexpr int kListenersDescriptor = 5;

// No new privileges, no core file and no debugger of the same user, no capability but that of
// binding low ports (if it was there), no descriptor beyond those three, as many of its own as the
// system allows. Broken pipes are errors, and an interrupt from the terminal is the daemon's
// business.
Result<void> prepare_process();

// Gives free memory back to the system, but for what the next few flows will want. Takes up to some
// milliseconds after many flows ended.
void trim_heap();

}  // namespace lanyard
