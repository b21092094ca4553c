// SPDX-License-Identifier: MIT
#include "switch/bridge/port.h"

#include <algorithm>

namespace lanyard {

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

// The one place where frames meet the receiver's limits: offload debts will be settled here too.
void Plug::send(std::span<Outgoing> frames, FramePool& pool) {
  port_.counters.offered += frames.size();
  if (!queue_.empty()) drain(pool);
  const std::size_t frame_max = endpoint_->caps().frame_max;
  const auto fits = [&](const Outgoing& out) { return out.wire_size() <= frame_max; };
  auto at = frames.begin();
  while (at != frames.end()) {
    const auto run_end = std::find_if_not(at, frames.end(), fits);
    if (run_end != at) transmit({at, run_end});
    at = std::find_if(run_end, frames.end(), fits);
    port_.counters.drops.count(Drop::exceeds_receiver, static_cast<std::uint64_t>(at - run_end));
  }
}

void Plug::transmit(std::span<Outgoing> frames) {
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

bool Plug::drain(FramePool& pool) {
  // Bounded, so that one plug with a long queue does not hold up the turn.
  for (int rounds = 0; rounds < 8 && !queue_.empty(); ++rounds) {
    EgressBatch batch;
    queue_.peek(pool, batch);
    const std::size_t consumed = offer(batch.view());
    const bool full = consumed < batch.size();
    batch.clear();
    queue_.pop(consumed);
    if (full) break;
  }
  return queue_.empty();
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
