// SPDX-License-Identifier: MIT
//
// A plugin's endpoint as the switch's. Lane thread only.
#pragma once

#include <string>

#include "plugins/lanyard_plugin.h"
#include "switch/bridge/endpoint.h"
#include "switch/frame/frame_pool.h"

namespace lanyard {

class NativePlugin;

class NativeEndpoint final : public Endpoint {
 public:
  NativeEndpoint(NativePlugin& plugin, const lanyard_endpoint& table, void* endpoint,
                 std::string label);
  ~NativeEndpoint() override { end(); }

  std::string label() const override { return label_; }
  Caps caps() const override;
  int wait_fd() const override { return wait_fd_; }
  Rx receive(FrameBatch& into) override;
  Transmitted transmit(std::span<const Outgoing> frames) override;

  // The plugin hears that it is over; nothing of it is called any more.
  void end();

 private:
  NativePlugin* plugin_;  // null when over
  lanyard_endpoint table_;
  void* endpoint_;
  std::string label_;
  int wait_fd_;
};

}  // namespace lanyard
