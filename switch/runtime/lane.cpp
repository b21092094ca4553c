// SPDX-License-Identifier: MIT
#include "switch/runtime/lane.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "switch/base/text.h"
#include "switch/bridge/spanning_tree.h"
#include "switch/frame/frame_pool.h"

namespace lanyard {
namespace {

// Enough for batches to form, little enough that a frame waits well under a millisecond.
constexpr std::size_t kFlushThreshold = 512;
// Nodes of the MAC table looked at in one go: some 100 us.
constexpr std::size_t kSweepSlice = 8192;
constexpr Duration kSweepPause = std::chrono::milliseconds(1);
constexpr Duration kHousekeepingPeriod = std::chrono::seconds(5);
constexpr Duration kSpanningTreeTick = std::chrono::seconds(1);

}  // namespace

Lane::Lane(Switch& bridge, FramePool& pool, EventLoop& loop, Log& log)
    : switch_(bridge), pool_(pool), loop_(loop), log_(log) {
  switch_.set_time(loop_.now());
  set_sweep_period(sweep_period_);
  SpanningTree& tree = switch_.spanning_tree();
  tree.on_running = [this](bool running) { pace_spanning_tree(running); };
  pace_spanning_tree(tree.running());
  housekeeping_timer_ = loop_.every(kHousekeepingPeriod, [this] { housekeeping(); });
}

Lane::~Lane() {
  close_all();
  switch_.spanning_tree().on_running = nullptr;
}

void Lane::run() {
  while (!loop_.stopped()) turn();
}

void Lane::turn() {
  loop_.run_once(has_work());
  serve_ready();
}

void Lane::serve_ready() {
  switch_.set_time(loop_.now());
  serving_.swap(ready_);
  for (Cord* cord : serving_) {
    cord->ready = false;
    if (!cord->closing && !loop_.run([&] { serve(*cord); })) {
      batch_.clear();
      // There may be more than its descriptor tells.
      make_ready(*cord);
    }
    if (switch_.pending_frames() >= kFlushThreshold) loop_.run([&] { flush(); });
  }
  serving_.clear();
  loop_.run([&] { flush(); });
  end_closing();
}

void Lane::serve(Cord& cord) {
  Endpoint& endpoint = cord.plug->endpoint();
  const Rx rx = endpoint.receive(batch_);
  if (cord.plug->waiting_writable && endpoint.has_room_when_readable()) drain(cord);
  for (const auto& frame : batch_) loop_.carried(frame->size);
  switch_.forward(cord.plug->port(), batch_);
  if (rx == Rx::more) make_ready(cord);
  if (rx == Rx::closed) close_plug(*cord.plug, UnplugReason::peer_left);
}

void Lane::drain(Cord& cord) {
  switch (cord.plug->drain(pool_)) {
    case Plug::Drained::empty: cord.plug->waiting_writable = false; break;
    case Plug::Drained::endpoint_full: break;
    case Plug::Drained::for_another_turn: make_ready(cord); break;
  }
}

void Lane::flush() {
  std::vector<Plug*>& backlogged = switch_.flush();
  for (Plug* plug : backlogged) {
    const auto cord = cords_.find(plug);
    if (cord != cords_.end() && !cord->second->closing) watch_for_room(*cord->second);
  }
  backlogged.clear();
}

void Lane::on_events(Cord& cord, std::uint32_t events) {
  if (cord.closing) return;
  if ((events & EPOLLOUT) != 0 && cord.plug->drain(pool_) == Plug::Drained::empty) {
    cord.plug->waiting_writable = false;
    cord.watch.set_events(EPOLLIN);
  }
  if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) make_ready(cord);
}

void Lane::make_ready(Cord& cord) {
  if (cord.ready) return;
  ready_.push_back(&cord);
  cord.ready = true;
}

Result<PortId> Lane::reserve(const PlugRequest& request) {
  Result<Port*> port = switch_.port_for(request);
  if (!port) return port.error();
  return port.value()->id();
}

Result<Plug*> Lane::plug(PortId id, std::unique_ptr<Endpoint> endpoint, Plug::Traits traits,
                         Unplugged unplugged) {
  if (switch_.port(id) == nullptr) {
    return Error{ENXIO, fmt::format("port {} does not exist", id)};
  }
  // An end must not fail for want of memory, nor another try, so all that they take is there.
  for (auto* list : {&closing_, &ending_, &ready_, &serving_}) {
    if (list->capacity() <= cords_.size()) list->reserve(2 * cords_.size() + 2);
  }
  auto cord = std::make_unique<Cord>();
  Cord* const at = cord.get();
  const int fd = endpoint->wait_fd();
  if (fd >= 0) {
    Result<EventLoop::Watch> watch =
        loop_.watch(fd, EPOLLIN, [this, at](std::uint32_t events) { on_events(*at, events); });
    if (!watch) return watch.error();
    cord->watch = watch.take();
  }
  cord->unplugged = std::move(unplugged);
  // A backend without an ID of its own gets one no descriptor has.
  if (traits.id < 0) traits.id = next_endpoint_id_++;
  // Its place in the list comes first: a plug without a cord would stay for ever.
  auto place = cords_.extract(cords_.emplace(nullptr, std::move(cord)).first);
  cords_.reserve(cords_.size() + 1);
  Plug& plug = switch_.plug(*switch_.port(id), std::move(endpoint), std::move(traits));
  at->plug = &plug;
  place.key() = &plug;
  cords_.insert(std::move(place));
  note_change();
  return &plug;
}

void Lane::unplug(Plug& plug) {
  const auto found = cords_.find(&plug);
  if (found == cords_.end() || found->second->closing) return;
  Cord& cord = *found->second;
  cord.closing = true;
  plug.closing = true;
  cord.watch.reset();
  closing_.push_back(&cord);
}

void Lane::close_plug(Plug& plug, UnplugReason reason) {
  const auto found = cords_.find(&plug);
  if (found == cords_.end() || found->second->closing) return;
  const Unplugged unplugged = std::move(found->second->unplugged);
  unplug(plug);
  if (unplugged) unplugged(reason);
}

// Plugs end between turns, when nothing on the way of a frame can still refer to them.
void Lane::end_closing() {
  if (closing_.empty()) return;
  note_change();
  // The end of one may be that of another, which waits for the next turn.
  ending_.swap(closing_);
  for (Cord* cord : ending_) {
    if (cord->ready) std::erase(ready_, cord);
    Plug* const plug = cord->plug;
    loop_.run([&] { switch_.unplug(*plug); });
    cords_.erase(plug);
  }
  ending_.clear();
}

void Lane::wake(Plug& plug) {
  const auto found = cords_.find(&plug);
  if (found != cords_.end() && !found->second->closing) make_ready(*found->second);
}

void Lane::await_room(Plug& plug) {
  const auto found = cords_.find(&plug);
  if (found == cords_.end() || found->second->closing) return;
  plug.waiting_writable = true;
  watch_for_room(*found->second);
}

void Lane::watch_for_room(Cord& cord) {
  if (cord.plug->endpoint().has_room_when_readable()) return;
  cord.watch.set_events(EPOLLIN | EPOLLOUT);
}

void Lane::keep(std::unique_ptr<Service> service) {
  services_.push_back(std::move(service));
  note_change();
}

std::vector<HandoverPart> Lane::handover(HandoverReason why) const {
  std::vector<HandoverPart> parts;
  for (const auto& service : services_) {
    if (std::optional<HandoverPart> part = service->handover(why)) {
      parts.push_back(std::move(*part));
    }
  }
  return parts;
}

bool Lane::hold(PortId id, bool held) {
  Port* const port = switch_.port(id);
  note_change();
  return port != nullptr && std::exchange(port->reserved, held);
}

void Lane::close_all() {
  services_.clear();
  for (auto& [plug, cord] : cords_) {
    if (!cord->closing) unplug(*cord->plug);
  }
  end_closing();
}

void Lane::set_sweep_period(Duration period) {
  sweep_period_ = period;
  sweep_timer_ = loop_.every(period, [this] { start_sweep(); });
}

void Lane::start_sweep() {
  if (!sweep_slice_timer_) continue_sweep();
}

void Lane::continue_sweep() {
  switch_.set_time(loop_.now());
  if (switch_.sweep_macs(kSweepSlice)) {
    sweep_slice_timer_.reset();
  } else {
    sweep_slice_timer_ = loop_.after(kSweepPause, [this] { continue_sweep(); });
  }
}

void LaneGroup::turn(EventLoop& loop) {
  const auto has_work = [](const Lane* lane) { return lane->has_work(); };
  loop.run_once(std::any_of(lanes_.begin(), lanes_.end(), has_work));
  // By index: a callback may add lanes.
  for (std::size_t i = 0; i < lanes_.size(); ++i) lanes_[i]->serve_ready();
}

void Lane::pace_spanning_tree(bool running) {
  if (!running) return spanning_tree_timer_.reset();
  spanning_tree_timer_ = loop_.every(kSpanningTreeTick, [this] {
    switch_.set_time(loop_.now());
    switch_.spanning_tree().tick(loop_.now());
  });
}

void Lane::housekeeping() {
  switch_.release_idle_queues();
  pool_.trim();
}

}  // namespace lanyard
