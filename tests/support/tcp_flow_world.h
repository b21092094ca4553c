// SPDX-License-Identifier: MIT
//
// A TcpFlow between a guest and a socket that exist only here, in a time that is moved by hand. The
// guest is as much of a TCP as RFC 9293 asks of one; what happens to segments on the way is the
// test's to say.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "backend/gateway/tcp_flow.h"

namespace lanyard::testing {

using Octets = std::vector<std::uint8_t>;

// The byte at a place of a stream: neighbours differ, and so do places 256 or 65536 apart.
inline std::uint8_t byte_at(std::size_t place) {
  return static_cast<std::uint8_t>(place * 31 + (place >> 8) * 7 + (place >> 16));
}
inline Octets bytes_from(std::size_t begin, std::size_t count) {
  Octets bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = byte_at(begin + i);
  return bytes;
}

struct Wire {
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint16_t window = 0;
  std::uint8_t flags = 0;
  TcpOptions options;
  Octets payload;
  TcpSack sack{};
};

// RFC 2018 3.
inline Octets options_of(const TcpSack& sack) {
  if (sack.empty()) return {};
  Octets options{1, 1, 5, static_cast<std::uint8_t>(2 + 8 * sack.blocks().size())};
  for (const TcpRange& block : sack.blocks()) {
    options.resize(options.size() + 8);
    store_u32(options, options.size() - 8, block.begin);
    store_u32(options, options.size() - 4, block.end);
  }
  return options;
}

// A socket: what the other end has sent and not been asked for, and room for what it will read.
class FakeSocket final : public TcpHost {
 public:
  std::ptrdiff_t send(std::span<const iovec> parts) override {
    if (error != 0) return -error;
    std::size_t taken = 0;
    for (const iovec& part : parts) {
      const std::size_t now = std::min(part.iov_len, room);
      const auto* const from = static_cast<const std::uint8_t*>(part.iov_base);
      received.insert(received.end(), from, from + now);
      room -= now;
      taken += now;
    }
    full = full || room == 0;
    return taken == 0 ? -EAGAIN : static_cast<std::ptrdiff_t>(taken);
  }
  std::ptrdiff_t receive(std::span<std::uint8_t> into) override {
    ++reads;
    std::size_t now = std::min(into.size(), written - given);
    if (given < urgent) now = std::min(now, urgent - given);
    if (now == 0) return error != 0 ? -error : (closed ? 0 : -EAGAIN);
    for (std::size_t i = 0; i < now; ++i) into[i] = byte_at(given + i);
    given += now;
    return static_cast<std::ptrdiff_t>(now);
  }
  void end_sending() override { ++ends; }

  std::size_t written = 0;  // by the other end
  std::size_t given = 0;
  std::size_t urgent = 0;  // a read ends before this byte
  bool closed = false;
  int error = 0;
  std::size_t room = std::size_t{1} << 20;
  bool full = false;
  Octets received;
  int ends = 0;
  int reads = 0;
};

class FakeLink final : public TcpLink {
 public:
  bool has_room() const override { return room; }
  void send(const TcpHeader& header, std::span<std::uint8_t> payload, bool has_headroom) override {
    // Who may write there does.
    if (has_headroom) std::fill_n(payload.data() - kTcpHeadroom, kTcpHeadroom, std::uint8_t{0xee});
    sent.push_back({header.sequence,
                    header.acknowledgement,
                    header.window,
                    header.flags,
                    header.options,
                    {payload.begin(), payload.end()},
                    header.sack});
  }
  std::vector<Wire> take() { return std::exchange(sent, {}); }

  bool room = true;
  std::vector<Wire> sent;
};

constexpr std::uint32_t kGuestFirst = 0xffffff00;  // so that numbers wrap
constexpr std::uint32_t kOurFirst = 0xfffffe00;

inline TcpFlow::Opening opening_of(std::uint16_t segment_size = 1460) {
  return {kGuestFirst, kOurFirst, 65535, {segment_size, std::uint8_t{0}}, 1460};
}

// A flow and the two sides of it.
struct FlowWorld {
  explicit FlowWorld(const TcpFlow::Opening& opening = opening_of())
      : flow(std::make_unique<TcpFlow>(memory, counters, opening)) {}

  void settle() { flow->settle(socket, link, now); }
  // As far as the guest's acknowledgement of our SYN.
  void open() {
    flow->connected();
    settle();
    link.take();
    from_guest({kGuestFirst + 1, kOurFirst + 1, 65535, kTcpAck, {}, {}});
    settle();
    link.take();
  }
  // The payload stays in `kept`, as a batch's frames would.
  void from_guest(Wire segment) {
    kept.push_back(std::move(segment));
    const Wire& in = kept.back();
    const Octets options = options_of(in.sack);
    flow->segment({in.sequence, in.acknowledgement, in.window, in.flags, in.payload, options}, now);
  }
  void acknowledge(std::size_t bytes, std::uint16_t window = 65535) {
    from_guest({kGuestFirst + 1 + guest_sent,
                kOurFirst + 1 + static_cast<std::uint32_t>(bytes),
                window,
                kTcpAck,
                {},
                {}});
  }
  void acknowledge_selectively(std::size_t bytes, std::initializer_list<TcpRange> blocks) {
    Wire wire{kGuestFirst + 1 + guest_sent,
              kOurFirst + 1 + static_cast<std::uint32_t>(bytes),
              65535,
              kTcpAck,
              {},
              {}};
    for (const TcpRange& block : blocks) wire.sack.add(block);
    from_guest(std::move(wire));
  }
  void data(std::size_t begin, std::size_t count, std::uint8_t more_flags = 0) {
    from_guest({kGuestFirst + 1 + static_cast<std::uint32_t>(begin),
                kOurFirst + 1,
                65535,
                static_cast<std::uint8_t>(kTcpAck | more_flags),
                {},
                bytes_from(begin, count)});
    guest_sent = std::max(guest_sent, static_cast<std::uint32_t>(begin + count));
  }
  void host_writes(std::size_t bytes) {
    socket.written += bytes;
    flow->readable();
  }
  void host_closes() {
    socket.closed = true;
    flow->readable();
  }
  // Time goes on to the next deadline, if there is one.
  bool wait() {
    const Time deadline = flow->deadline();
    if (deadline == Time::max()) return false;
    now = std::max(now, deadline);
    settle();
    return true;
  }

  TcpMemory memory;
  NatCounters counters;
  FakeSocket socket;
  FakeLink link;
  std::unique_ptr<TcpFlow> flow;
  std::deque<Wire> kept;
  std::uint32_t guest_sent = 0;  // bytes
  Time now = std::chrono::seconds(1);
};

}  // namespace lanyard::testing
