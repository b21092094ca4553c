// SPDX-License-Identifier: MIT
//
// netem: bad cables. Each port that has been given one (netem/cable N) loses, delays, doubles,
// damages and slows down frames as wirefilter does, with wirefilter's words and values; left to
// right is into the switch, right to left is out to the station.
//
// What makes it hard: every figure must come out as asked. So rates are kept by virtual clocks that
// never lose the remainder, a frame's time of departure is computed once, when it comes, and one
// timer stands for the earliest; nothing depends on when the timer is late.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "plugins/netem_plugin.h"

namespace netem {

void Netem::frames(lanyard_batch* batch) {
  const auto found = cables_.find(batch->port);
  if (found == cables_.end()) return;
  const Time now = host_->now_ns(host_);
  for (std::uint32_t i = 0; i < batch->count; ++i) frame(found->second, batch, i, now);
}

void Netem::frame(Cable& cable, lanyard_batch* batch, std::uint32_t index, Time now) {
  lanyard_frame* const frame = lanyard_frame_at(batch, index);
  const std::size_t side = batch->direction == LANYARD_INGRESS ? 0 : 1;
  Channel& channel = cable.channels[side];
  const std::uint32_t bytes = frame->length + (frame->tagged ? 4 : 0) + kStreamHeader;
  const double mtu = value(cable, kMtu, side).mean;
  // A large packet is as long as the segments it becomes.
  const std::uint32_t longest =
      frame->segmentation != LANYARD_WHOLE && frame->segment_size != 0
          ? std::min<std::uint32_t>(bytes, frame->header_size + frame->segment_size + kStreamHeader)
          : bytes;
  if (cable.cut || (mtu > 0 && longest > mtu) || is_lost(cable, side)) {
    ++channel.lost;
    frame->verdict = LANYARD_DROP;
    return;
  }
  const std::size_t count = copies(cable, side);
  damage(cable, side, batch, index);
  std::uint64_t original = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double capacity = draw(cable, kCapacity, side);
    if (capacity > 0 && static_cast<double>(channel.queued_bytes + bytes) > capacity) {
      ++channel.lost;
      if (i == 0 && original == 0) frame->verdict = LANYARD_DROP;
      break;
    }
    const Time leaves = departure(cable, side, bytes, now);
    const bool in_turn = !cable.fifo || channel.queued_bytes == 0;
    const bool at_once = leaves <= now && in_turn && count == 1;
    ++channel.passed;
    if (at_once) return blink(cable, batch->port, side, bytes);
    const std::uint64_t held =
        i == 0 ? host_->hold(host_, batch, index) : host_->copy(host_, original);
    if (held == 0) {
      ++channel.lost;
      if (i == 0) frame->verdict = LANYARD_DROP;
      break;
    }
    if (i == 0) original = held;
    channel.queued_bytes += bytes;
    enqueue({leaves, order_++, held, bytes, batch->port, static_cast<std::uint8_t>(side)});
  }
}

// Independently of each other, or in bursts (a two-state model): with the loss p and the mean
// length b of a burst, bad ends with 1/b and begins with p / (b (1 - p)).
bool Netem::is_lost(Cable& cable, std::size_t side) {
  const double loss = draw(cable, kLoss, side) / 100;
  const double burst = draw(cable, kLostBurst, side);
  Channel& channel = cable.channels[side];
  if (loss <= 0) {
    channel.bad = false;
    return false;
  }
  if (loss >= 1) return true;
  if (burst <= 0) return random_.uniform() < loss;
  const double change = channel.bad ? 1 / burst : loss / (burst * (1 - loss));
  if (random_.uniform() < change) channel.bad = !channel.bad;
  return channel.bad;
}

std::size_t Netem::copies(const Cable& cable, std::size_t side) {
  std::size_t count = 1;
  // Each copy may be doubled again; without an end if it always is.
  while (count < kCopiesMax && value(cable, kDup, side).mean > 0 &&
         random_.uniform() * 100 < draw(cable, kDup, side)) {
    ++count;
  }
  return count;
}

Time Netem::departure(Cable& cable, std::size_t side, std::uint32_t bytes, Time now) {
  Channel& channel = cable.channels[side];
  auto at = static_cast<double>(now);
  const double speed = draw(cable, kSpeed, side);
  const double bandwidth = draw(cable, kBandwidth, side);
  if (speed > 0) {
    channel.input_clock = std::max(channel.input_clock, at) + bytes * kSecond / speed;
    at = channel.input_clock;
  }
  if (bandwidth > 0) {
    channel.wire_clock = std::max(channel.wire_clock, at) + bytes * kSecond / bandwidth;
    at = channel.wire_clock;
  }
  const double delay_ms = draw(cable, kDelay, side);
  if (delay_ms > 0) at += delay_ms * 1e6;
  constexpr double kLongest = 3600 * kSecond;
  Time leaves = now;
  if (at > static_cast<double>(now)) {
    leaves = now + static_cast<Time>(std::min(at - static_cast<double>(now), kLongest) + 0.5);
  }
  if (cable.fifo) leaves = std::max(leaves, channel.last_out);
  channel.last_out = std::max(channel.last_out, leaves);
  return leaves;
}

void Netem::damage(Cable& cable, std::size_t side, lanyard_batch* batch, std::uint32_t index) {
  const double bits_in_a_megabyte = draw(cable, kNoise, side);
  if (bits_in_a_megabyte <= 0) return;
  const std::uint32_t length = lanyard_frame_at(batch, index)->length;
  const std::uint64_t flips = random_.poisson(bits_in_a_megabyte * length / (1024.0 * 1024));
  if (flips == 0 || length == 0 || host_->writable(host_, batch, index) < 0) return;
  std::uint8_t* const bytes = lanyard_frame_at(batch, index)->data;
  for (std::uint64_t i = 0; i < flips; ++i) {
    const std::uint64_t bit = random_.next() % (std::uint64_t{length} * 8);
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << (bit % 8)));
  }
}

void Netem::enqueue(const Departure& departure) {
  departures_.push(departure);
  arm();
}

// The timer stands for the earliest departure.
void Netem::arm() {
  if (departures_.empty()) return;
  const Time at = departures_.top().at;
  if (timer_ != 0) {
    if (timer_at_ <= at) return;
    host_->remove_timer(host_, timer_);
  }
  const Time now = host_->now_ns(host_);
  timer_at_ = at;
  timer_ = host_->add_timer(
      host_, at > now ? at - now : 0, 0, [](void* self) { static_cast<Netem*>(self)->depart(); },
      this);
}

void Netem::depart() {
  timer_ = 0;
  const Time now = host_->now_ns(host_);
  while (!departures_.empty() && departures_.top().at <= now) {
    const Departure one = departures_.top();
    departures_.pop();
    if (const auto cable = cables_.find(one.port); cable != cables_.end()) {
      Channel& channel = cable->second.channels[one.side];
      channel.queued_bytes -= std::min<std::uint64_t>(channel.queued_bytes, one.bytes);
      blink(cable->second, one.port, one.side, one.bytes);
    }
    host_->release(host_, one.held, LANYARD_PASS);
  }
  arm();
}

// Tells whoever watches the cable's lamp; nobody waits for him.
void Netem::blink(const Cable& cable, std::uint16_t port, std::size_t side, std::uint32_t bytes) {
  if (cable.blink_socket.empty()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  cable.blink_socket.copy(address.sun_path, sizeof address.sun_path - 1);
  const std::string id = cable.blink_id.empty() ? std::to_string(port) : cable.blink_id;
  std::array<char, 128> line{};
  const int size = std::snprintf(line.data(), line.size(), "%s %s %u\n", id.c_str(),
                                 side == 0 ? "LR" : "RL", bytes);
  const ssize_t sent =
      ::sendto(blink_fd_, line.data(), static_cast<std::size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), sizeof address);
  static_cast<void>(sent);  // he is not there, or slow
}

// ---- the plugin ----

Netem::~Netem() {
  if (blink_fd_ >= 0) ::close(blink_fd_);
}

int Netem::start() {
  lanyard_filter filter{};
  filter.size = sizeof filter;
  filter.directions = LANYARD_INGRESS | LANYARD_EGRESS;
  filter.priority = 100;  // the cable is outside of all else
  filter.frames = [](void* self, lanyard_batch* batch) {
    static_cast<Netem*>(self)->frames(batch);
  };
  if (const int error = host_->add_filter(host_, &filter); error < 0) return error;
  lanyard_category category{};
  category.size = sizeof category;
  category.tag = 0401;
  category.path = "netem/markov";
  category.help = "netem: Markov state change (with netem/markov-debug 1)";
  category_ = host_->add_category(host_, &category);
  return add_words();
}

// What is under way arrives now.
void Netem::stop() {
  while (!departures_.empty()) {
    host_->release(host_, departures_.top().held, LANYARD_PASS);
    departures_.pop();
  }
}

}  // namespace netem

namespace {

using netem::Netem;

int start_plugin(const lanyard_host* host, void** self) {
  auto netem = std::make_unique<Netem>(host);
  if (const int error = netem->start(); error < 0) return error;
  *self = netem.release();
  return 0;
}

void stop_plugin(void* self) {
  const std::unique_ptr<Netem> netem(static_cast<Netem*>(self));
  netem->stop();
}

}  // namespace

LANYARD_PLUGIN("netem", "bad cables, with wirefilter's words", start_plugin, stop_plugin);
