// SPDX-License-Identifier: MIT
//
// A guest in the test's process, on frames: as much TCP and UDP as it takes to talk through a
// gateway, and to misbehave. It checks what it is sent (checksums, lengths, what is owed), takes
// nothing into account that it was not told, and answers only in step(). Linux behaviour where that
// matters: it acknowledges what it takes at once and announces the window the test sets.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backend/gateway/guest_directory.h"
#include "backend/gateway/guest_link.h"
#include "backend/gateway/nat.h"
#include "backend/gateway/nat_packet.h"
#include "backend/gateway/tcp_segment.h"

namespace lanyard::testing {

using Octets = std::vector<std::uint8_t>;

inline void put_octets(Octets& to, std::size_t at, std::span<const std::uint8_t> bytes) {
  std::copy(bytes.begin(), bytes.end(), to.begin() + static_cast<std::ptrdiff_t>(at));
}

// A frame with a TCP or UDP packet from a guest, checksums right.
struct PacketRecipe {
  MacAddress from = MacAddress::from_number(0x525400000015);
  MacAddress to = MacAddress::from_number(0x52550a000202);
  IpAddress source;
  IpAddress destination;
  std::uint8_t protocol = kIpProtocolTcp;
  std::uint16_t source_port = 40000;
  std::uint16_t destination_port = 80;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint8_t flags = kTcpAck;
  std::uint16_t window = 65535;
  Octets options;  // of TCP, a multiple of four
  Octets payload;

  Octets frame() const {
    const bool v6 = source.is_v6();
    const std::size_t ip = v6 ? kIpv6HeaderSize : kIpv4HeaderSize;
    const bool tcp = protocol == kIpProtocolTcp;
    const std::size_t header = tcp ? kTcpHeaderSize + options.size() : kUdpHeaderSize;
    Octets f(kIpOffset + ip + header);
    put_octets(f, 0, to.bytes());
    put_octets(f, 6, from.bytes());
    store_u16(f, 12, v6 ? 0x86dd : 0x0800);
    f[14] = v6 ? 0x60 : 0x45;
    const std::size_t at = kIpOffset + ip;
    if (v6) {
      f[20] = protocol;
      f[21] = 64;
      put_octets(f, 22, source.v6().bytes());
      put_octets(f, 38, destination.v6().bytes());
    } else {
      f[22] = 64;
      f[23] = protocol;
      put_octets(f, 26, source.v4().bytes());
      put_octets(f, 30, destination.v4().bytes());
    }
    store_u16(f, at, source_port);
    store_u16(f, at + 2, destination_port);
    if (tcp) {
      store_u32(f, at + 4, sequence);
      store_u32(f, at + 8, acknowledgement);
      f[at + 12] = static_cast<std::uint8_t>(header / 4 << 4);
      f[at + 13] = flags;
      store_u16(f, at + 14, window);
      put_octets(f, at + kTcpHeaderSize, options);
    }
    f.insert(f.end(), payload.begin(), payload.end());
    NatPacket packet;
    packet.frame = f;
    packet.v6 = v6;
    packet.key.protocol = protocol;
    packet.transport_offset = at;
    packet.payload_offset = at + header;
    InternetChecksum sum;
    sum.add(payload);
    packet.payload_sum = sum.sum();
    finish_headers(packet);
    return f;
  }
};

// Nobody but those put in.
class FakeDirectory final : public GuestDirectory {
 public:
  std::vector<IpAddress> addresses_of(std::string_view name) const override {
    const auto found = names.find(std::string(name));
    return found == names.end() ? std::vector<IpAddress>{} : found->second;
  }
  std::optional<std::string> name_of(const IpAddress& address) const override {
    for (const auto& [name, addresses] : names) {
      if (std::find(addresses.begin(), addresses.end(), address) != addresses.end()) return name;
    }
    return std::nullopt;
  }
  std::optional<MacAddress> mac_of(const IpAddress& address) const override {
    const auto found = macs.find(address);
    return found == macs.end() ? std::nullopt : std::optional(found->second);
  }
  std::map<std::string, std::vector<IpAddress>> names;
  std::map<IpAddress, MacAddress> macs;
};

class TcpGuest final : public GuestLink {
 public:
  struct Connection {
    IpAddress guest;
    IpAddress peer;
    std::uint16_t port = 0;
    std::uint16_t peer_port = 0;
    bool established = false;
    bool reset = false;
    bool peer_closed = false;  // its FIN came
    bool want_close = false;   // FIN after what is to be sent
    bool fin_sent = false;
    bool fin_acknowledged = false;
    std::uint32_t next = 1000;  // to send
    std::uint32_t unacknowledged = 1000;
    std::uint32_t expected = 0;
    std::uint16_t window = 65535;  // ours
    std::uint32_t peer_window = 0;
    std::uint8_t peer_shift = 0;
    bool scales = false;  // the peer has said that windows are scaled, as our SYN does
    Octets received;
    Octets to_send;
    std::size_t sent = 0;  // of to_send
    std::size_t segments_in = 0;
    std::size_t largest_in = 0;
    bool owes_ack = false;
  };

  std::vector<Octets> others;  // frames that are no TCP, as they came
  bool room = true;
  bool checks = true;  // what it is sent; not for measuring
  std::size_t segment_size = 1460;
  std::size_t burst = 64;       // segments in one batch
  bool large_segments = false;  // sends up to 64 KiB at once, as with TSO
  std::uint32_t mtu = 1500;
  MacAddress mac = MacAddress::from_number(0x525400000015);
  std::vector<Ipv4Address> arp_requests;
  std::uint64_t frames_in = 0;
  Time (*clock)() = nullptr;  // what `in_nat` is measured with
  Duration in_nat{0};

  Connection& connect(const IpAddress& from, const IpAddress& to, std::uint16_t port) {
    connections.emplace_back();
    Connection& c = connections.back();
    c.guest = from;
    c.peer = to;
    c.port = next_port_++;
    c.peer_port = port;
    queue(c, kTcpSyn);
    c.next = c.unacknowledged + 1;
    return c;
  }
  void listen(std::uint16_t port) { listening_.push_back(port); }

  std::deque<Connection> connections;

  // Answers to what came, and sends what may be sent: one batch to the NAT.
  void step(Nat& nat) {
    std::vector<Octets> in;
    in.swap(inbox_);
    for (Octets& frame : in) receive(frame);
    for (Connection& c : connections) transmit(c);
    std::vector<Octets> out;
    out.swap(outbox_);
    std::vector<Nat::Input> inputs;
    for (Octets& frame : out) inputs.push_back({frame, offload_of(frame)});
    const Time begin = clock ? clock() : Time{0};
    if (!inputs.empty()) nat.input(inputs);
    if (clock) in_nat += clock() - begin;
  }
  void send_raw(Octets frame) { outbox_.push_back(std::move(frame)); }

  // GuestLink
  void send_udp(const GuestDatagram&) override {}
  void send_arp_request(Ipv4Address, Ipv4Address target) override {
    arp_requests.push_back(target);
  }
  void send_icmp6(MacAddress, const Ipv6Address&, const Ipv6Address&,
                  std::span<const std::uint8_t>) override {}
  void send_frame(std::span<const std::uint8_t> frame, const Offload& offload) override {
    ++frames_in;
    if (checks) check(frame, offload);
    if (offload.segmentation == Offload::Segmentation::udp) {
      cut(frame, offload);
    } else {
      inbox_.emplace_back(frame.begin(), frame.end());
    }
  }
  bool has_room() const override { return room; }

 private:
  static bool is_v6(std::span<const std::uint8_t> f) { return load_u16(f, 12) == 0x86dd; }

  Offload offload_of(const Octets& frame) const {
    Offload offload;
    if (large_segments) offload.needs_checksum = true;
    if (large_segments && frame.size() > segment_size + 100) {
      offload.segmentation =
          is_v6(frame) ? Offload::Segmentation::tcp6 : Offload::Segmentation::tcp4;
      offload.segment_size = static_cast<std::uint16_t>(segment_size);
    }
    return offload;
  }

  void check(std::span<const std::uint8_t> frame, const Offload& offload) const {
    const bool v6 = is_v6(frame);
    const std::size_t ip = v6 ? kIpv6HeaderSize : kIpv4HeaderSize;
    ASSERT_EQ(v6 ? load_u16(frame, 18) + kIpv6HeaderSize : load_u16(frame, 16),
              frame.size() - kIpOffset);
    if (!v6) {
      ASSERT_EQ(internet_checksum(frame.subspan(kIpOffset, ip)), 0);
    }
    const std::uint8_t protocol = v6 ? frame[20] : frame[23];
    if (protocol != kIpProtocolTcp) {
      const bool many = offload.segmentation == Offload::Segmentation::udp;
      EXPECT_LE(many ? offload.header_size + offload.segment_size : frame.size(), kIpOffset + mtu);
      if (offload.needs_checksum) {
        const auto udp = frame.subspan(kIpOffset + ip);
        EXPECT_EQ(protocol, kIpProtocolUdp);
        EXPECT_EQ(offload.checksum_start, kIpOffset + ip);
        EXPECT_EQ(offload.checksum_offset, 6);
        EXPECT_EQ(load_u16(udp, 4), udp.size());
        EXPECT_EQ(load_u16(udp, 6), pseudo_header(frame, v6, kIpProtocolUdp, udp.size()).sum());
      }
      return;
    }
    const auto tcp = frame.subspan(kIpOffset + ip);
    const std::size_t header = (tcp[12] >> 4) * 4U;
    if (frame.size() > kIpOffset + mtu) {
      EXPECT_EQ(offload.segmentation,
                v6 ? Offload::Segmentation::tcp6 : Offload::Segmentation::tcp4);
      EXPECT_LE(offload.segment_size, segment_size);
      EXPECT_EQ(offload.header_size, kIpOffset + ip + header);
    }
    InternetChecksum sum = pseudo_header(frame, v6, kIpProtocolTcp, tcp.size());
    if (offload.needs_checksum) {
      EXPECT_EQ(offload.checksum_start, kIpOffset + ip);
      EXPECT_EQ(offload.checksum_offset, 16);
      EXPECT_EQ(load_u16(tcp, 16), sum.sum());
    } else {
      sum.add(tcp);
      EXPECT_EQ(sum.finish(), 0);
    }
  }

  // A frame of many datagrams becomes those, as in a guest's kernel.
  void cut(std::span<const std::uint8_t> frame, const Offload& offload) {
    const auto header = frame.first(offload.header_size);
    for (std::size_t at = header.size(); at < frame.size(); at += offload.segment_size) {
      const auto payload =
          frame.subspan(at, std::min<std::size_t>(offload.segment_size, frame.size() - at));
      Octets& one = inbox_.emplace_back(header.begin(), header.end());
      one.insert(one.end(), payload.begin(), payload.end());
      NatPacket packet;
      packet.frame = one;
      packet.v6 = is_v6(one);
      packet.key.protocol = kIpProtocolUdp;
      packet.payload_offset = header.size();
      packet.transport_offset = header.size() - kUdpHeaderSize;
      InternetChecksum sum;
      sum.add(payload);
      packet.payload_sum = sum.sum();
      finish_headers(packet);
    }
  }

  void receive(const Octets& f) {
    const bool v6 = is_v6(f);
    if ((v6 ? f[20] : f[23]) != kIpProtocolTcp) {
      others.push_back(f);
      return;
    }
    const std::size_t at = kIpOffset + (v6 ? kIpv6HeaderSize : kIpv4HeaderSize);
    const IpAddress source = address_in(f, v6, v6 ? 22 : 26);
    const IpAddress destination = address_in(f, v6, v6 ? 38 : 30);
    const std::uint16_t from = load_u16(f, at);
    const std::uint16_t to = load_u16(f, at + 2);
    const std::uint8_t flags = f[at + 13];
    const std::uint32_t sequence = load_u32(f, at + 4);
    Connection* c = find(destination, to, source, from);
    if (c == nullptr && (flags & kTcpSyn) != 0 &&
        std::find(listening_.begin(), listening_.end(), to) != listening_.end()) {
      connections.emplace_back();
      c = &connections.back();
      c->guest = destination;
      c->peer = source;
      c->port = to;
      c->peer_port = from;
      c->expected = sequence + 1;
      queue(*c, kTcpSyn | kTcpAck);
      c->next = c->unacknowledged + 1;
      return;
    }
    if (c == nullptr) {
      if ((flags & kTcpRst) == 0) stray.push_back(f);
      return;
    }
    segment(*c, flags, sequence, load_u32(f, at + 8), load_u16(f, at + 14),
            std::span(f).subspan(at + (f[at + 12] >> 4) * 4U));
    if ((flags & kTcpSyn) == 0) return;
    const auto options = read_tcp_options(
        std::span(f).subspan(at + kTcpHeaderSize, (f[at + 12] >> 4) * 4U - kTcpHeaderSize));
    c->scales = options.window_shift.has_value();
    c->peer_shift = options.window_shift.value_or(0);
  }

  void segment(Connection& c, std::uint8_t flags, std::uint32_t sequence, std::uint32_t ack,
               std::uint16_t window, std::span<const std::uint8_t> data) {
    if ((flags & kTcpRst) != 0) {
      c.reset = true;
      return;
    }
    if ((flags & kTcpSyn) != 0) {
      c.expected = sequence + 1;
      c.owes_ack = true;
    }
    if ((flags & kTcpAck) != 0) {
      c.established = true;
      c.peer_window = std::uint32_t{window} << c.peer_shift;
      if (sequence_before(c.unacknowledged, ack)) c.unacknowledged = ack;
      if (c.fin_sent && ack == c.next) c.fin_acknowledged = true;
    }
    if (!data.empty()) {
      ++c.segments_in;
      c.largest_in = std::max(c.largest_in, data.size());
      c.owes_ack = true;
      if (sequence == c.expected) {
        const std::size_t room_left = c.window;
        const std::size_t take = std::min(room_left, data.size());
        c.received.insert(c.received.end(), data.begin(),
                          data.begin() + static_cast<std::ptrdiff_t>(take));
        c.expected += static_cast<std::uint32_t>(take);
        if (take < data.size()) return;
      } else if (!sequence_before(sequence, c.expected)) {
        return;  // the FIN is not next either
      }
    }
    if ((flags & kTcpFin) != 0 && sequence + data.size() == c.expected && !c.peer_closed) {
      c.peer_closed = true;
      ++c.expected;
      c.owes_ack = true;
    }
  }

  void transmit(Connection& c) {
    if (c.reset || !c.established) return;
    std::size_t segments = 0;
    while (c.sent < c.to_send.size() && segments < burst) {
      const std::uint32_t in_flight = c.next - c.unacknowledged;
      if (in_flight >= c.peer_window) break;
      const std::size_t most = large_segments ? 64000 : segment_size;
      const std::size_t size = std::min(
          {most, c.to_send.size() - c.sent, static_cast<std::size_t>(c.peer_window - in_flight)});
      const auto from = c.to_send.begin() + static_cast<std::ptrdiff_t>(c.sent);
      queue(c, kTcpAck | kTcpPsh, {from, from + static_cast<std::ptrdiff_t>(size)});
      c.next += static_cast<std::uint32_t>(size);
      c.sent += size;
      ++segments;
    }
    if (c.want_close && !c.fin_sent && c.sent == c.to_send.size()) {
      queue(c, kTcpAck | kTcpFin);
      c.fin_sent = true;
      ++c.next;
    } else if (c.owes_ack && segments == 0) {
      queue(c, kTcpAck);
    }
    c.owes_ack = false;
  }

  void queue(const Connection& c, unsigned flags, Octets payload = {}) {
    PacketRecipe recipe;
    recipe.from = mac;
    recipe.source = c.guest;
    recipe.destination = c.peer;
    recipe.source_port = c.port;
    recipe.destination_port = c.peer_port;
    recipe.sequence = (flags & kTcpSyn) != 0 ? c.unacknowledged : c.next;
    recipe.acknowledgement = c.expected;
    recipe.flags = static_cast<std::uint8_t>(flags);
    recipe.window = c.scales ? static_cast<std::uint16_t>(c.window >> kWindowShift) : c.window;
    if ((flags & kTcpSyn) != 0) {
      recipe.options = {2,
                        4,
                        static_cast<std::uint8_t>(segment_size >> 8),
                        static_cast<std::uint8_t>(segment_size),
                        1,
                        3,
                        3,
                        kWindowShift};
    }
    recipe.payload = std::move(payload);
    outbox_.push_back(recipe.frame());
  }

  Connection* find(const IpAddress& guest, std::uint16_t port, const IpAddress& peer,
                   std::uint16_t peer_port) {
    for (Connection& c : connections) {
      if (c.guest == guest && c.port == port && c.peer == peer && c.peer_port == peer_port) {
        return &c;
      }
    }
    return nullptr;
  }
  static IpAddress address_in(const Octets& f, bool v6, std::size_t at) {
    if (!v6) return Ipv4Address::from_bytes(std::span(f).subspan(at).first<4>());
    Ipv6Address::Bytes octets{};
    std::copy_n(f.begin() + static_cast<std::ptrdiff_t>(at), 16, octets.begin());
    return Ipv6Address(octets);
  }

 public:
  std::vector<Octets> stray;  // segments of no connection

 private:
  static constexpr std::uint8_t kWindowShift = 7;

  std::vector<Octets> inbox_;
  std::vector<Octets> outbox_;
  std::vector<std::uint16_t> listening_;
  std::uint16_t next_port_ = 40000;
};

}  // namespace lanyard::testing
