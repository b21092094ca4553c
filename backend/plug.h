// SPDX-License-Identifier: MIT
//
// The `plug` backend: a cable to another VDE switch, or to whatever libvdeplug knows, kept plugged
// in (kept_cable.h). Lane thread only.
#pragma once

#include <functional>
#include <optional>

#include "backend/plug_target.h"
#include "switch/frame/ethernet.h"
#include "switch/runtime/backend.h"

namespace lanyard {

struct PlugSettings {
  PlugTarget target;
  std::optional<PortId> port;
  // A vde_switch cuts frames that are longer, and forwards them as if they were whole.
  std::uint32_t frame_max = 1518;
  std::uint32_t version = 3;  // of the VDE handshake
  bool reconnects = true;
};

// The values of plug://TARGET?...
Result<PlugSettings> read_plug_settings(const BackendOptions& options);

// Plugs it in as soon as the other side is there. Without `reconnects`, `ended` hears why the cable
// is gone or never came to be.
Result<void> open_plug(const PlugSettings& settings, Patchbay& patchbay,
                       std::function<void(const Error&)> ended = nullptr);

}  // namespace lanyard
