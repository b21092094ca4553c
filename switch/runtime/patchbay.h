// SPDX-License-Identifier: MIT
//
// All that a backend may ask of the switch it serves. Lane thread only.
#pragma once

#include <functional>
#include <memory>

#include "switch/base/log.h"
#include "switch/base/result.h"
#include "switch/bridge/switch.h"
#include "switch/runtime/event_loop.h"
#include "switch/runtime/handover.h"

namespace lanyard {

// A part of a backend that lives on beside its endpoints: a listener, a reconnector.
class Service {
 public:
  virtual ~Service() = default;

  // What a successor process needs to go on with this service and its plugs (see handover.h); its
  // kind is a backend's. nullopt: nothing of it survives the process.
  virtual std::optional<HandoverPart> handover(HandoverReason /*why*/) const {
    return std::nullopt;
  }
};

enum class UnplugReason : std::uint8_t {
  peer_left,    // the backend said so, or the endpoint reported the end
  by_operator,  // port/epclose
  shutting_down,
};

class Patchbay {
 public:
  using Unplugged = std::function<void(UnplugReason)>;

  virtual ~Patchbay() = default;

  // Which port the request may have; the answer holds until the caller returns to the loop.
  virtual Result<PortId> reserve(const PlugRequest& request) = 0;
  // Plugs in. `unplugged` is called when the plug is gone, whoever ended it but the caller's own
  // unplug(). The reference is good until then.
  virtual Result<Plug*> plug(PortId port, std::unique_ptr<Endpoint> endpoint, Plug::Traits traits,
                             Unplugged unplugged) = 0;
  // Takes effect at the end of the turn; the endpoint sees no further frame from now on.
  virtual void unplug(Plug& plug) = 0;
  // receive() has work that the wait_fd cannot show.
  virtual void wake(Plug& plug) = 0;
  virtual void keep(std::unique_ptr<Service> service) = 0;
  // Keeps the port for parts of the daemon while nothing is plugged into it, or lets clients have
  // it again. What it was before.
  virtual bool hold(PortId port, bool held) = 0;
  // What has been plugged in until now outlives this process, if anything does: asked for before a
  // client is told that it is in.
  virtual void commit() {}

  virtual EventLoop& loop() = 0;
  virtual FramePool& pool() = 0;
  virtual Log& log() = 0;
};

}  // namespace lanyard
