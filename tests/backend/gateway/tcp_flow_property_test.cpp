// SPDX-License-Identifier: MIT
//
// Connections of the direct TCP engine over ways that lose, repeat and delay segments, to guests
// whose windows shrink and grow and sockets that are slow: every byte arrives, once and in order,
// both sides end, and nothing is held afterwards.
//
// LANYARD_TCP_CASES says how many (10^5 and more by hand; few in every run).
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

#include "tests/support/random.h"
#include "tests/support/tcp_flow_world.h"

namespace lanyard::testing {
namespace {

constexpr Duration kTick = std::chrono::milliseconds(1);
constexpr Duration kGuestTimeout = std::chrono::milliseconds(300);

struct Way {
  unsigned loss = 0;  // of 100
  unsigned again = 0;
  unsigned late = 0;
};

struct Case {
  Way to_guest;
  Way from_guest;
  std::size_t up = 0;
  std::size_t down = 0;
  std::uint16_t segment_size = 1460;
  std::uint8_t shift = 0;
  bool scales = true;
  std::size_t guest_buffer = 65535;
  bool shrinks = false;
  std::uint32_t guest_first = 0;
  std::uint32_t our_first = 0;
  bool guest_closes_early = false;  // before it has everything
};

Way any_way(Random& random) {
  if (random.one_in(3)) return {};
  return {static_cast<unsigned>(random.below(12)), static_cast<unsigned>(random.below(10)),
          static_cast<unsigned>(random.below(30))};
}

Case any_case(Random& random) {
  constexpr std::size_t kSizes[] = {0, 1, 100, 1460, 5000, 40000, 200000};
  constexpr std::uint16_t kSegments[] = {48, 536, 1220, 1460, 8960, 16000};
  Case one;
  one.to_guest = any_way(random);
  one.from_guest = any_way(random);
  one.up = random.below(random.of(kSizes) + 1);
  one.down = random.below(random.of(kSizes) + 1);
  one.segment_size = random.of(kSegments);
  one.scales = !random.one_in(4);
  one.shift = one.scales ? static_cast<std::uint8_t>(random.below(8)) : std::uint8_t{0};
  // Less than a unit of the window could not even be offered.
  one.guest_buffer = (std::size_t{1} << one.shift) + random.below(random.one_in(4) ? 3000 : 200000);
  one.shrinks = random.one_in(3);
  one.guest_first = static_cast<std::uint32_t>(random.number());
  one.our_first = static_cast<std::uint32_t>(random.number());
  if (random.one_in(3)) one.guest_first = 0U - static_cast<std::uint32_t>(random.below(100000));
  one.guest_closes_early = random.one_in(2);
  return one;
}

// A guest's TCP: goes back to what is not acknowledged after a while, keeps what comes early.
class Guest {
 public:
  Guest(const Case& of, Random& random) : case_(of), random_(random), buffer_(of.guest_buffer) {}

  void receive(const Wire& in, Time now) {
    if (reset) return;
    if ((in.flags & kTcpRst) != 0) {
      reset = true;
      return;
    }
    if ((in.flags & kTcpSyn) != 0) {
      if (!established_) expected_ = in.sequence + 1;
      established_ = true;
      owes_ack_ = true;
      if (una_ == case_.guest_first) una_ = next_ = case_.guest_first + 1;
    }
    if (!established_) return;
    const bool in_syn = (in.flags & kTcpSyn) != 0;
    if (!sequence_before(in.acknowledgement, una_) &&
        in.acknowledgement - una_ <= sent_end() - una_) {
      if (in.acknowledgement != una_) timer_ = now + kGuestTimeout;
      una_ = in.acknowledgement;
      if (sequence_before(next_, una_)) next_ = una_;
      window_ = std::uint32_t{in.window}
                << (in_syn || !case_.scales ? 0 : TcpReceiver::kWindowShift);
    }
    take(in);
  }

  // What it sends now.
  std::vector<Wire> act(Time now) {
    std::vector<Wire> out;
    if (reset) return out;
    if (!established_) {
      if (now >= timer_) {
        out.push_back(segment(case_.guest_first, kTcpSyn, 0));
        timer_ = now + kGuestTimeout;
      }
      return out;
    }
    read();
    if (una_ != sent_end() && now >= timer_) {
      next_ = una_;
      timer_ = now + kGuestTimeout;
      probe_ = true;
    }
    send_data(out, now);
    const std::size_t window = offered();
    const bool opens = window > last_window_ && (last_window_ < 1460 || window > 2 * last_window_);
    if (owes_ack_ || opens) out.push_back(segment(next_, kTcpAck, 0));
    owes_ack_ = false;
    return out;
  }

  bool done() const {
    return reset || (established_ && peer_closed && una_ == first_byte() + case_.up + 1);
  }

  Octets received;
  bool peer_closed = false;
  bool reset = false;
  std::uint32_t edge_max = 0;  // the furthest it has offered
  bool has_offered = false;

 private:
  std::uint32_t first_byte() const { return case_.guest_first + 1; }
  std::uint32_t sent_end() const { return sent_end_ == 0 && !established_ ? una_ : sent_max_; }

  void take(const Wire& in) {
    const bool fin = (in.flags & kTcpFin) != 0;
    if (in.payload.empty() && !fin) {
      if (sequence_before(in.sequence, expected_)) owes_ack_ = true;  // a probe
      return;
    }
    owes_ack_ = true;
    if (!in.payload.empty()) early_[in.sequence - case_.our_first] = in.payload;
    if (fin) fin_at_ = in.sequence + static_cast<std::uint32_t>(in.payload.size());
    for (auto at = early_.begin(); at != early_.end();) {
      const std::uint32_t begin = case_.our_first + at->first;
      const std::uint32_t end = begin + static_cast<std::uint32_t>(at->second.size());
      if (!sequence_before(expected_, end)) {
        at = early_.erase(at);
        continue;
      }
      if (sequence_before(expected_, begin)) break;
      const std::size_t known = expected_ - begin;
      const std::size_t room = buffer_ > unread_ ? buffer_ - unread_ : 0;
      const std::size_t count = std::min(at->second.size() - known, room);
      const auto from = at->second.begin() + static_cast<std::ptrdiff_t>(known);
      received.insert(received.end(), from, from + static_cast<std::ptrdiff_t>(count));
      unread_ += count;
      expected_ += static_cast<std::uint32_t>(count);
      if (count < at->second.size() - known) {
        early_.clear();  // thrown away for want of room
        break;
      }
      ++at;
    }
    if (fin_at_ && *fin_at_ == expected_ && !peer_closed) {
      peer_closed = true;
      ++expected_;
    }
  }

  void read() {
    if (random_.one_in(2)) unread_ -= std::min(unread_, random_.below(buffer_ + 1));
    if (case_.shrinks && random_.one_in(20)) shrink();
    // Nobody reads nothing for ever.
    if (random_.one_in(10)) unread_ = 0;
  }

  void shrink() {
    const std::size_t least = std::size_t{1} << case_.shift;
    buffer_ = least + random_.below(case_.guest_buffer - least + 1);
  }

  std::size_t offered() const {
    const std::size_t free = buffer_ > unread_ ? buffer_ - unread_ : 0;
    return std::min<std::size_t>(free >> case_.shift, 65535) << case_.shift;
  }

  void send_data(std::vector<Wire>& out, Time now) {
    const std::uint32_t end = first_byte() + static_cast<std::uint32_t>(case_.up);
    const bool may_close = case_.guest_closes_early || peer_closed;
    for (int i = 0; i < 20; ++i) {
      const std::uint32_t flight = next_ - una_;
      const std::size_t window = probe_ ? std::max<std::size_t>(window_, 1) : window_;
      if (next_ == end + 1 || flight >= window) break;
      const std::size_t most =
          random_.one_in(4) ? std::size_t{60000} : std::min<std::size_t>(case_.segment_size, 1460);
      const std::size_t count = std::min<std::size_t>({most, end - next_, window - flight});
      const bool fin = next_ + count == end && may_close;
      if (count == 0 && !fin) break;
      if (una_ == sent_max_) timer_ = now + kGuestTimeout;
      out.push_back(segment(next_, fin ? kTcpAck | kTcpFin : kTcpAck, count));
      next_ += static_cast<std::uint32_t>(count) + (fin ? 1U : 0U);
      if (sequence_before(sent_max_, next_)) sent_max_ = next_;
      owes_ack_ = false;
    }
    if (window_ == 0 && next_ == una_ && next_ != end + 1 && now >= timer_) {
      timer_ = now + kGuestTimeout;
      probe_ = true;
    } else {
      probe_ = false;
    }
  }

  Wire segment(std::uint32_t sequence, unsigned flags, std::size_t count) {
    Wire wire;
    wire.sequence = sequence;
    wire.flags = static_cast<std::uint8_t>(flags);
    if ((flags & kTcpSyn) != 0) {
      sent_max_ = una_ = next_ = case_.guest_first;
      wire.window = static_cast<std::uint16_t>(std::min<std::size_t>(buffer_, 65535));
      return wire;
    }
    wire.acknowledgement = expected_;
    last_window_ = offered();
    wire.window = static_cast<std::uint16_t>(last_window_ >> case_.shift);
    const auto edge = expected_ + static_cast<std::uint32_t>(last_window_);
    if (!has_offered || sequence_before(edge_max, edge)) edge_max = edge;
    has_offered = true;
    wire.payload = bytes_from(sequence - first_byte(), count);
    return wire;
  }

  const Case& case_;
  Random& random_;
  std::size_t buffer_;
  bool established_ = false;
  std::uint32_t una_ = case_.guest_first;
  std::uint32_t next_ = case_.guest_first;
  std::uint32_t sent_max_ = case_.guest_first;
  std::uint32_t sent_end_ = 0;
  std::uint32_t window_ = 0;
  std::uint32_t expected_ = 0;
  std::map<std::uint32_t, Octets> early_;
  std::optional<std::uint32_t> fin_at_;
  std::size_t unread_ = 0;
  std::size_t last_window_ = 0;
  bool owes_ack_ = false;
  bool probe_ = false;
  Time timer_{0};
};

// Segments under way, by the tick in which they arrive.
class Path {
 public:
  Path(const Way& way, Random& random) : way_(way), random_(random) {}
  void add(Wire wire, std::uint64_t tick) {
    if (random_.below(100) < way_.loss) return;
    if (random_.below(100) < way_.again) under_way_.emplace(tick + 1 + random_.below(5), wire);
    const std::uint64_t delay = random_.below(100) < way_.late ? random_.below(6) : 0;
    under_way_.emplace(tick + 1 + delay, std::move(wire));
  }
  std::vector<Wire> arrived(std::uint64_t tick) {
    std::vector<Wire> in;
    const auto end = under_way_.upper_bound(tick);
    for (auto at = under_way_.begin(); at != end; ++at) in.push_back(std::move(at->second));
    under_way_.erase(under_way_.begin(), end);
    return in;
  }
  bool empty() const { return under_way_.empty(); }

 private:
  Way way_;
  Random& random_;
  std::multimap<std::uint64_t, Wire> under_way_;
};

std::vector<Wire> cut(const Wire& frame, std::size_t segment_size) {
  std::vector<Wire> pieces;
  for (std::size_t at = 0; at == 0 || at < frame.payload.size(); at += segment_size) {
    Wire piece = frame;
    piece.sequence += static_cast<std::uint32_t>(at);
    const auto begin = frame.payload.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t size = std::min(segment_size, frame.payload.size() - at);
    piece.payload.assign(begin, begin + static_cast<std::ptrdiff_t>(size));
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

// Empty when all is well.
std::string play(const Case& one, Random& random) {
  TcpFlow::Opening opening{
      one.guest_first,
      one.our_first,
      static_cast<std::uint16_t>(std::min<std::size_t>(one.guest_buffer, 65535)),
      {one.segment_size, std::nullopt},
      16000};
  if (one.scales) opening.options.window_shift = one.shift;
  FlowWorld world(opening);
  world.flow->connected();
  world.socket.room = random.below(30000);
  Guest guest(one, random);
  Path down(one.to_guest, random);
  Path up(one.from_guest, random);
  // A guest with room for few bytes reads them one segment after the other.
  const std::uint64_t ticks = 600'000 + 200 * (one.down / one.guest_buffer);
  for (std::uint64_t tick = 0; tick < ticks; ++tick) {
    world.now += kTick;
    world.kept.clear();
    for (Wire& wire : up.arrived(tick)) world.from_guest(std::move(wire));
    if (world.socket.written < one.down && random.one_in(3)) {
      world.host_writes(std::min(one.down - world.socket.written, 1 + random.below(70000)));
    }
    const bool may_close = one.guest_closes_early || random.one_in(50);
    if (world.socket.written == one.down && !world.socket.closed && may_close) world.host_closes();
    if (random.one_in(3)) {
      world.socket.room += random.below(50000);
      if (std::exchange(world.socket.full, false)) world.flow->writable();
    }
    world.settle();
    for (const Wire& frame : world.link.take()) {
      for (Wire& piece : cut(frame, world.flow->sender().segment_size())) {
        const auto end = piece.sequence + static_cast<std::uint32_t>(piece.payload.size());
        if (guest.has_offered && !one.shrinks && !piece.payload.empty() &&
            sequence_before(guest.edge_max, end)) {
          return "more was sent than the window allows";
        }
        down.add(std::move(piece), tick);
      }
    }
    for (const Wire& wire : down.arrived(tick)) guest.receive(wire, world.now);
    for (Wire& wire : guest.act(world.now)) up.add(std::move(wire), tick);
    if (world.flow->ended()) break;
  }
  if (guest.received != bytes_from(0, guest.received.size())) return "the guest got other bytes";
  if (world.socket.received != bytes_from(0, world.socket.received.size())) {
    return "the host got other bytes";
  }
  if (world.flow->state() != TcpFlow::State::closed) {
    return "it did not end: state " + std::to_string(static_cast<int>(world.flow->state())) +
           ", host has " + std::to_string(world.socket.received.size()) + ", guest has " +
           std::to_string(guest.received.size());
  }
  if (guest.received.size() != one.down) return "the guest has not everything";
  if (world.socket.received.size() != one.up) return "the host has not everything";
  if (world.socket.ends != 1) return "the host was told of the end not once";
  world.flow.reset();
  if (world.memory.used() != 0 || world.memory.granted() != 0) return "memory is held";
  return {};
}

TEST(TcpFlowProperty, EveryByteArrivesOnceAndBothSidesEnd) {
  Random random;
  const std::uint64_t cases = environment_number("LANYARD_TCP_CASES", 300);
  for (std::uint64_t i = 0; i < cases; ++i) {
    const std::uint64_t seed = random.number();
    Random own(seed);
    const Case one = any_case(own);
    ASSERT_EQ(play(one, own), "") << "case " << i << " of " << random.how_to_repeat() << ": up "
                                  << one.up << ", down " << one.down << ", segment size "
                                  << one.segment_size << ", buffer " << one.guest_buffer;
  }
}

}  // namespace
}  // namespace lanyard::testing
