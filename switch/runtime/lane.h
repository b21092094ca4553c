// SPDX-License-Identifier: MIT
//
// One data thread: waits, receives a batch from each ready endpoint, forwards it, flushes. It owns
// the plugs' place in the event loop and is the Patchbay that backends see. Nothing that runs in it
// may block: a VDE client's VM stands still while its socket is not read.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "switch/runtime/patchbay.h"

namespace lanyard {

class Lane final : public Patchbay {
 public:
  Lane(Switch& bridge, FramePool& pool, EventLoop& loop, Log& log);
  ~Lane() override;

  // One round of the data path. Console, timers and signals run inside the wait.
  void turn();
  void run();  // until the loop is stopped

  // The two halves of a turn, for several lanes that share a loop: whether the wait may sleep, and
  // what follows it.
  bool has_work() const { return !ready_.empty() || switch_.has_pending(); }
  void serve_ready();

  Result<PortId> reserve(const PlugRequest& request) override;
  Result<Plug*> plug(PortId port, std::unique_ptr<Endpoint> endpoint, Plug::Traits traits,
                     Unplugged unplugged) override;
  void unplug(Plug& plug) override;
  void wake(Plug& plug) override;
  void keep(std::unique_ptr<Service> service) override;
  bool hold(PortId port, bool held) override;
  void commit() override {
    if (on_commit) on_commit();
  }
  EventLoop& loop() override { return loop_; }
  FramePool& pool() override { return pool_; }
  Log& log() override { return log_; }

  // Frames were put into its queue by hand: they go once its endpoint takes some.
  void await_room(Plug& plug);

  // As an operator would: the endpoint's backend is told.
  void close_plug(Plug& plug, UnplugReason reason);

  // What the services tell for a successor, in the order they were made.
  std::vector<HandoverPart> handover(HandoverReason why) const;

  // Ends all services and plugs, in that order; called before the parts they use go away.
  void close_all();

  // Told of what commit() asks for, and when plugs or services have come or gone.
  std::function<void()> on_commit;
  std::function<void()> on_change;
  void note_change() const {
    if (on_change) loop_.run(on_change);
  }

  Duration sweep_period() const { return sweep_period_; }
  void set_sweep_period(Duration period);

 private:
  // A plug's place in the loop.
  struct Cord {
    Plug* plug = nullptr;
    EventLoop::Watch watch;
    Unplugged unplugged;
    bool ready = false;
    bool closing = false;
  };

  void make_ready(Cord& cord);
  void serve(Cord& cord);
  void on_events(Cord& cord, std::uint32_t events);
  void drain(Cord& cord);
  void flush();
  static void watch_for_room(Cord& cord);
  void end_closing();
  void start_sweep();
  void continue_sweep();
  void housekeeping();
  void pace_spanning_tree(bool running);

  Switch& switch_;
  FramePool& pool_;
  EventLoop& loop_;
  Log& log_;
  FrameBatch batch_;
  int next_endpoint_id_ = 1 << 24;
  std::unordered_map<const Plug*, std::unique_ptr<Cord>> cords_;
  std::vector<Cord*> ready_;
  std::vector<Cord*> serving_;
  std::vector<Cord*> closing_;
  std::vector<Cord*> ending_;
  std::vector<std::unique_ptr<Service>> services_;
  Duration sweep_period_ = std::chrono::seconds(2);
  EventLoop::Timer sweep_timer_;
  EventLoop::Timer sweep_slice_timer_;
  EventLoop::Timer housekeeping_timer_;
  EventLoop::Timer spanning_tree_timer_;  // while the tree runs
};

// Lanes that share one loop and thread: one wait, then each is served. Lanes come and go while the
// group turns.
class LaneGroup {
 public:
  void add(Lane& lane) { lanes_.push_back(&lane); }
  void remove(Lane& lane) { std::erase(lanes_, &lane); }
  void turn(EventLoop& loop);

 private:
  std::vector<Lane*> lanes_;
};

}  // namespace lanyard
