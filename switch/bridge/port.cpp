// SPDX-License-Identifier: MIT
#include "switch/bridge/port.h"

#include <algorithm>

#include "switch/frame/segment_joiner.h"
#include "switch/frame/settler.h"

namespace lanyard {
namespace {

// Whether a receiver takes over what a frame owes.
bool can_pass(const Caps& caps, const Offload& offload) {
  if (offload.owes_nothing()) return true;
  switch (offload.segmentation) {
    case Offload::Segmentation::none: return caps.checksum;
    case Offload::Segmentation::tcp4:
    case Offload::Segmentation::tcp6: return caps.tcp_segmentation;
    case Offload::Segmentation::udp: return caps.udp_segmentation;
    case Offload::Segmentation::malformed: break;  // never admitted
  }
  return false;
}

}  // namespace

Plug::Plug(Port& port, std::unique_ptr<Endpoint> endpoint, Traits traits,
           std::size_t queue_bytes_max)
    : port_(port),
      endpoint_(std::move(endpoint)),
      traits_(std::move(traits)),
      queue_(queue_bytes_max) {}

Plug::~Plug() {
  port_.counters.drops.count(Drop::unplugged, queue_.frames());
}

// How many of the first frames the endpoint is done with, counted as sent or lost.
std::size_t Plug::offer(std::span<const Outgoing> frames) {
  const Transmitted done = endpoint_->transmit(frames);
  port_.counters.transmitted += done.consumed - done.lost;
  if (done.lost != 0) port_.counters.drops.count(done.why, done.lost);
  return done.consumed;
}

// The one place where frames meet the receiver's limits.
void Plug::send(std::span<Outgoing> frames, FramePool& pool) {
  if (!queue_.empty()) drain(pool);
  const Caps caps = endpoint_->caps();
  if (caps.tcp_segmentation && frames.size() > 1) {
    send_joined(frames, caps, pool);
  } else {
    send_within(frames, caps, pool);
  }
}

// To a receiver of large frames what came as segments goes as few as possible.
void Plug::send_joined(std::span<Outgoing> frames, const Caps& caps, FramePool& pool) {
  EgressBatch joined;
  SegmentJoiner joiner(pool, {caps.frame_max, caps.udp_segmentation});
  send_within(joiner.join(frames, joined) ? joined.view() : frames, caps, pool);
}

void Plug::send_within(std::span<Outgoing> frames, const Caps& caps, FramePool& pool) {
  const auto other = std::find_if_not(frames.begin(), frames.end(), [&](const Outgoing& out) {
    return out.wire_size() <= caps.frame_max && can_pass(caps, out.frame->offload);
  });
  const auto plain = static_cast<std::size_t>(other - frames.begin());
  if (plain != 0) transmit(frames.first(plain));
  if (plain != frames.size()) send_fitted(frames.subspan(plain), caps, pool);
}

// The long way: settles debts the receiver cannot take over and drops what is too long for it. A
// large frame is judged by the segments it becomes.
void Plug::send_fitted(std::span<Outgoing> frames, const Caps& caps, FramePool& pool) {
  EgressBatch fitted;
  const auto flush = [&] {
    if (!fitted.empty()) transmit(fitted.view());
    fitted.clear();
  };
  Settler settler(pool);
  for (const Outgoing& out : frames) {
    const bool passes = can_pass(caps, out.frame->offload);
    if ((passes ? out.wire_size() : Settler::longest(out)) > caps.frame_max) {
      ++port_.counters.offered;
      port_.counters.drops.count(Drop::exceeds_receiver);
      continue;
    }
    if (passes) {
      fitted.push(out.share());
    } else {
      settler.begin(out);
      while (settler.next(fitted)) flush();
    }
    if (fitted.room() == 0) flush();
  }
  flush();
}

void Plug::transmit(std::span<const Outgoing> frames) {
  port_.counters.offered += frames.size();
  // Order is kept: nothing overtakes what is queued.
  std::size_t done = queue_.empty() ? offer(frames) : 0;
  for (; done < frames.size(); ++done) {
    if (!queue_.push(frames[done])) {
      port_.counters.drops.count(Drop::queue_full);
    }
  }
}

void Plug::discard_queue(Drop why) {
  port_.counters.drops.count(why, queue_.frames());
  queue_.clear();
}

Plug::Drained Plug::drain(FramePool& pool) {
  // Bounded, so that one plug with a long queue does not hold up the turn.
  for (int rounds = 0; rounds < 8 && !queue_.empty(); ++rounds) {
    EgressBatch batch;
    queue_.peek(pool, batch);
    const std::size_t consumed = offer(batch.view());
    const bool full = consumed < batch.size();
    batch.clear();
    queue_.pop(consumed);
    if (full) return Drained::endpoint_full;
  }
  return queue_.empty() ? Drained::empty : Drained::for_another_turn;
}

Plug& Port::add_plug(std::unique_ptr<Plug> plug) {
  plugs_.insert(plugs_.begin(), std::move(plug));
  return *plugs_.front();
}

std::unique_ptr<Plug> Port::take_plug(const Plug& plug) {
  const auto at =
      std::find_if(plugs_.begin(), plugs_.end(), [&](const auto& p) { return p.get() == &plug; });
  if (at == plugs_.end()) return nullptr;
  std::unique_ptr<Plug> taken = std::move(*at);
  plugs_.erase(at);
  return taken;
}

Plug* Port::find_plug(int endpoint_id) const {
  for (const auto& plug : plugs_) {
    if (plug->traits().id == endpoint_id) return plug.get();
  }
  return nullptr;
}

}  // namespace lanyard
