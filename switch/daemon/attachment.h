// SPDX-License-Identifier: MIT
//
// One thing that hangs on a network (a socket for VMs, the host's TAP, the gateway's frames) and
// can be taken off it without the others noticing: a patchbay that knows what was plugged in
// through it. Backends open into it as they do into a lane; with it go their services and plugs.
// Lane thread only.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "switch/runtime/lane.h"

namespace lanyard {

class Attachment final : public Patchbay {
 public:
  // `plugged` is told of every plug that is made.
  Attachment(Lane& lane, std::function<void(Plug&)> plugged)
      : lane_(lane), log_(lane.log()), plugged_(std::move(plugged)) {}
  ~Attachment() override;
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  Result<PortId> reserve(const PlugRequest& request) override { return lane_.reserve(request); }
  Result<Plug*> plug(PortId port, std::unique_ptr<Endpoint> endpoint, Plug::Traits traits,
                     Unplugged unplugged) override;
  void unplug(Plug& plug) override;
  void wake(Plug& plug) override { lane_.wake(plug); }
  void keep(std::unique_ptr<Service> service) override {
    services_.push_back(std::move(service));
    lane_.note_change();
  }
  bool hold(PortId port, bool held) override { return lane_.hold(port, held); }
  void commit() override { lane_.commit(); }
  EventLoop& loop() override { return lane_.loop(); }
  FramePool& pool() override { return lane_.pool(); }
  // What its services tell for a successor, under the daemon's own word for where they are.
  std::vector<HandoverPart> handover(HandoverReason why, const std::string& place) const;
  const std::set<Plug*>& plugs() const { return plugs_; }
  Log& log() override { return log_; }

 private:
  // What goes right with a part is the daemon's to say, in its own words.
  class Quiet final : public Log {
   public:
    explicit Quiet(Log& next) : next_(next) {}
    void write(LogLevel level, std::string_view line) override {
      if (level <= LogLevel::notice) next_.write(level, line);
    }

   private:
    Log& next_;
  };

  Lane& lane_;
  Quiet log_;
  std::function<void(Plug&)> plugged_;
  std::vector<std::unique_ptr<Service>> services_;
  std::set<Plug*> plugs_;
};

}  // namespace lanyard
