// SPDX-License-Identifier: MIT
//
// A TAP interface of the kernel, attached: created or found by name, and agreed with about what may
// stand in front of its frames. It is apart from the backend that carries them because it is the
// privileged half: another process may do it and pass the descriptor on.
//
// What makes it hard: a TAP that somebody else has made may have been made with other flags, and it
// is attached with the same ones or not at all. A TAP we create gets a MAC address derived from its
// name and this machine, so that the guests' ARP entries for the host survive a restart. The thread
// that sets things up.
#pragma once

#include <functional>
#include <string>

#include "switch/base/fd.h"
#include "switch/base/log.h"
#include "switch/base/result.h"

namespace lanyard {

// What was agreed with the kernel about one TAP.
struct TapOffloads {
  bool header = false;  // the virtio header is in front of every frame
  bool tcp = false;
  bool udp = false;
};

struct AttachedTap {
  UniqueFd fd;
  std::string name;  // as the kernel has it
  TapOffloads offloads;
};

// With the virtio header when `offload` wants it and the kernel has it. The log hears of what works
// and will surprise somebody.
Result<AttachedTap> attach_tap(const std::string& name, bool offload, Log& log);

// That, or who does it instead of this process.
using AttachTap =
    std::function<Result<AttachedTap>(const std::string& name, bool offload, Log& log)>;

// For whoever attaches to it next and knows nothing of headers.
void forget_tap_offloads(int fd);

}  // namespace lanyard
