// SPDX-License-Identifier: MIT
//
// The client's side of the VDE handshake: how a cable gets into another switch.
//
// What makes it hard: nothing here may wait, since the data thread runs it, and the other side is a
// vde_switch that says nothing at all when it refuses. So each step is an event, silence has a
// deadline, and whatever has been made (our data socket has a name in the file system for as long
// as the handshake lasts) goes with the object. What the answer says is a stranger's word: a name
// to connect to, nothing more. Lane thread only.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/cable_ends.h"
#include "backend/plug_target.h"
#include "backend/vde_wire.h"
#include "switch/base/fd.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

// The bytes of a request, of version 1 or 3. Version 1 knows no port but 0.
std::vector<std::uint8_t> make_vde_request(const VdeRequest& request);

// The name of the switch's data socket in its answer: a path, or all of an abstract name.
Result<std::string> parse_vde_reply(std::span<const std::uint8_t, kVdeReplySize> reply);

struct PlugHandshakeSettings {
  VdeAddress address;
  std::uint32_t version = 3;
};

// An error when it is over before it began.
Result<std::unique_ptr<CableAttempt>> begin_plug_handshake(const PlugHandshakeSettings& settings,
                                                           EventLoop& loop, CableDone done);

}  // namespace lanyard
