// SPDX-License-Identifier: MIT
//
// Cables to whatever libvdeplug knows: vxlan://, udp://, ptp://, cmd://, vlan://1{...}. The library
// waits, in opening and in sending, so it gets a thread of its own (cable_ends.h). Lane thread
// only.
#pragma once

#include <memory>
#include <string>

#include "backend/cable_ends.h"

namespace lanyard {

// ENOTSUP when this was built without the library.
Result<std::unique_ptr<CableAttempt>> begin_plug_library(const std::string& url, EventLoop& loop,
                                                         CableDone done);

}  // namespace lanyard
