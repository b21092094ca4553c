// SPDX-License-Identifier: MIT
#include "switch/frame/segment_joiner.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "switch/frame/settler.h"
#include "tests/support/large_packet.h"
#include "tests/support/memory_endpoint.h"

namespace lanyard {
namespace {

using testing::Bytes;
using testing::gathered;
using testing::LargePacket;

// Over IPv4.
constexpr std::size_t kSourcePortAt = 34;
constexpr std::size_t kTcpSumAt = 50;
constexpr std::size_t kUdpSumAt = 40;

LargePacket two_segments() {
  LargePacket packet;
  packet.payload = 2 * packet.segment_size;
  packet.flags = 0x18;  // PSH, ACK
  return packet;
}

void add_settled(const Outgoing& out, FramePool& pool, std::vector<Bytes>& wires) {
  EgressBatch batch;
  Settler settler(pool);
  if (out.frame->offload.owes_nothing()) {
    wires.push_back(gathered(out).bytes);
    return;
  }
  settler.begin(out);
  for (bool more = true; more;) {
    more = settler.next(batch);
    for (const Outgoing& one : batch) wires.push_back(gathered(one).bytes);
    batch.clear();
  }
}

std::vector<Bytes> wires_of(const LargePacket& packet, FramePool& pool) {
  std::vector<Bytes> wires;
  add_settled(Outgoing::untagged(packet.frame(pool)), pool, wires);
  return wires;
}

// What a batch of these frames becomes.
class Joined {
 public:
  explicit Joined(const std::vector<Bytes>& wires, bool tagged = false,
                  std::size_t frame_max = kMaxFrameSize) {
    for (const Bytes& wire : wires) {
      FrameRef frame = pool_.make();
      std::copy(wire.begin(), wire.end(), frame->segments[0].data);
      frame->set_bytes(frame->segments[0].data, static_cast<std::uint32_t>(wire.size()));
      frame->vlan = 7;
      in_.push(tagged ? Outgoing::with_tag(std::move(frame))
                      : Outgoing::untagged(std::move(frame)));
    }
    SegmentJoiner joiner(pool_, {frame_max, true});
    joined_ = joiner.join(in_.view(), out_);
    if (!joined_) {
      EXPECT_TRUE(out_.empty());
    }
  }

  std::vector<std::size_t> sizes() {
    std::vector<std::size_t> all;
    for (const Outgoing& out : result()) all.push_back(out.frame->size);
    return all;
  }
  std::vector<Bytes> settled() {
    std::vector<Bytes> wires;
    for (const Outgoing& out : result()) {
      EXPECT_TRUE(is_sound(*out.frame));
      add_settled(out, pool_, wires);
    }
    return wires;
  }
  std::span<Outgoing> result() { return joined_ ? out_.view() : in_.view(); }
  bool joined() const { return joined_; }

 private:
  FramePool pool_;
  EgressBatch in_;
  EgressBatch out_;
  bool joined_ = false;
};

Bytes with_source_port(Bytes wire, std::uint16_t port, std::size_t sum_at = kTcpSumAt) {
  const std::size_t before = testing::u16_of(wire, kSourcePortAt);
  std::size_t sum = (~testing::u16_of(wire, sum_at) & 0xffff) + (~before & 0xffff) + port;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
  wire[kSourcePortAt] = static_cast<std::uint8_t>(port >> 8);
  wire[kSourcePortAt + 1] = static_cast<std::uint8_t>(port);
  wire[sum_at] = static_cast<std::uint8_t>(sum >> 8);
  wire[sum_at + 1] = static_cast<std::uint8_t>(sum);
  return wire;
}

TEST(SegmentJoiner, MakesOneFrameOfConsecutiveSegments) {
  FramePool pool;
  LargePacket packet = two_segments();
  for (const int kind : {0, 1, 2, 3}) {
    packet.ipv6 = (kind & 1) != 0;
    packet.udp = (kind & 2) != 0;
    Joined batch(wires_of(packet, pool));
    ASSERT_EQ(batch.result().size(), 1U);
    EXPECT_EQ(gathered(batch.result()[0]).bytes, packet.bytes());
    EXPECT_EQ(batch.result()[0].frame->offload, packet.offload());
    EXPECT_EQ(batch.result()[0].frame->vlan, 7);
  }
}

RC_GTEST_PROP(SegmentJoiner, IsUndoneByCutting, ()) {
  const auto number = [](int from, int to) {
    return static_cast<std::size_t>(*rc::gen::inRange(from, to));
  };
  FramePool pool;
  LargePacket packet;
  packet.ipv6 = number(0, 2) != 0;
  packet.udp = number(0, 2) != 0;
  packet.options = 4 * number(0, 11);
  packet.segment_size = static_cast<std::uint16_t>(number(100, 3000));
  packet.payload = packet.segment_size * number(1, 20) + number(0, 100);
  packet.flags = static_cast<std::uint8_t>(number(0, 4) == 0 ? number(0, 256) : 0x10);
  packet.sequence = static_cast<std::uint32_t>(number(0, 0x7fffffff)) * 2U;
  packet.id = static_cast<std::uint16_t>(number(0, 65536));
  const std::vector<Bytes> wires = wires_of(packet, pool);
  Joined batch(wires, number(0, 2) != 0, number(0, 2) != 0 ? 9000 : kMaxFrameSize);
  RC_ASSERT(batch.settled().size() == wires.size());
  for (const Outgoing& out : batch.result()) RC_ASSERT(out.frame->size <= kMaxFrameSize);
  std::vector<Bytes> expected = wires;
  // A tag is in front of what was cut, too.
  std::vector<Bytes> got;
  for (Bytes& wire : batch.settled()) {
    if (wire[12] == 0x81 && wire[13] == 0x00) wire.erase(wire.begin() + 12, wire.begin() + 16);
    got.push_back(wire);
  }
  RC_ASSERT(got == expected);
}

TEST(SegmentJoiner, DoesNotJoinWhatCuttingWouldNotGiveBack) {
  struct Case {
    const char* what;
    std::size_t at;  // of the second segment
    std::uint8_t flip;
    bool repair;  // the checksums are made right again
  };
  // Ethernet 14, IPv4 20, TCP 20 and 12 of options.
  const std::vector<Case> cases = {
      {"another destination address", 5, 1, false},
      {"another type of service", 15, 4, true},
      {"an identification that does not count", 19, 9, true},
      {"may be fragmented", 20, 0x40, true},
      {"another time to live", 22, 1, true},
      {"a bad IP checksum", 25, 1, false},
      {"a gap", 41, 1, true},
      {"another acknowledgement", 45, 1, true},
      {"FIN", 47, 1, true},
      {"SYN", 47, 2, true},
      {"RST", 47, 4, true},
      {"URG", 47, 0x20, true},
      {"ECE", 47, 0x40, true},
      {"CWR", 47, 0x80, true},
      {"another window", 49, 1, true},
      {"a bad TCP checksum", 51, 1, false},
      {"an urgent pointer", 53, 1, true},
      {"other options", 54, 8, true},
      {"changed payload", 70, 1, false},
  };
  FramePool pool;
  const std::vector<Bytes> good = wires_of(two_segments(), pool);
  for (const Case& one : cases) {
    std::vector<Bytes> wires = good;
    Bytes& second = wires[1];
    second[one.at] ^= one.flip;
    if (one.repair) {
      second[24] = second[25] = second[50] = second[51] = 0;
      const std::size_t ip = ~testing::plain_sum(second, 14, 34) & 0xffff;
      second[24] = static_cast<std::uint8_t>(ip >> 8), second[25] = static_cast<std::uint8_t>(ip);
      const std::size_t length = second.size() - 34;
      const std::size_t tcp = ~testing::plain_sum(second, 34, second.size(),
                                                  testing::plain_sum(second, 26, 34, length + 6)) &
                              0xffff;
      second[50] = static_cast<std::uint8_t>(tcp >> 8), second[51] = static_cast<std::uint8_t>(tcp);
    }
    Joined batch(wires);
    EXPECT_FALSE(batch.joined()) << one.what;
  }
}

TEST(SegmentJoiner, NothingFollowsAPushOrAShortSegment) {
  FramePool pool;
  LargePacket packet = two_segments();
  packet.payload = 3 * packet.segment_size;
  std::vector<Bytes> wires = wires_of(packet, pool);
  LargePacket more = packet;
  more.sequence += static_cast<std::uint32_t>(packet.payload);
  more.id = static_cast<std::uint16_t>(packet.id + 3);
  for (const Bytes& wire : wires_of(more, pool)) wires.push_back(wire);
  const std::size_t whole = packet.header_size() + packet.payload;
  EXPECT_EQ(Joined(wires).sizes(), (std::vector<std::size_t>{whole, whole}));

  packet.flags = more.flags = 0x10;
  packet.payload -= 10;
  more.sequence -= 10;
  wires = wires_of(packet, pool);
  for (const Bytes& wire : wires_of(more, pool)) wires.push_back(wire);
  EXPECT_EQ(Joined(wires).sizes(), (std::vector<std::size_t>{whole - 10, whole}));
}

TEST(SegmentJoiner, KeepsFlowsApartAndTheOrderOfEach) {
  FramePool pool;
  LargePacket packet;
  packet.flags = 0x10;
  packet.payload = 5 * packet.segment_size;
  const std::vector<Bytes> wires = wires_of(packet, pool);
  const Bytes other(60, 0x55);
  std::vector<Bytes> mixed;
  for (std::uint16_t i = 0; i < 5; ++i) {
    for (std::uint16_t port = 1; port <= 3; ++port) {
      mixed.push_back(with_source_port(wires[i], port));
    }
    mixed.push_back(other);
  }
  Joined batch(mixed);
  EXPECT_EQ(batch.result().size(), 3U + 5U);
  std::map<std::size_t, std::vector<Bytes>> by_port;
  for (const Bytes& wire : batch.settled()) {
    if (wire != other) by_port[testing::u16_of(wire, kSourcePortAt)].push_back(wire);
  }
  for (std::uint16_t port = 1; port <= 3; ++port) {
    ASSERT_EQ(by_port[port].size(), 5U);
    for (std::size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(by_port[port][i], with_source_port(wires[i], port));
    }
  }
}

TEST(SegmentJoiner, WhatMayBeOfTheFlowAndIsNotUnderstoodEndsIt) {
  FramePool pool;
  LargePacket packet = two_segments();
  packet.payload = 4 * packet.segment_size;
  std::vector<Bytes> wires = wires_of(packet, pool);
  Bytes fragment = wires[0];
  fragment[20] = 0x20;
  wires.insert(wires.begin() + 2, fragment);
  EXPECT_EQ(Joined(wires).result().size(), 3U);
}

TEST(SegmentJoiner, StaysWithinWhatTheReceiverTakesAndAnIpPacketHolds) {
  FramePool pool;
  LargePacket packet = two_segments();
  packet.payload = 8 * packet.segment_size;
  const std::vector<Bytes> wires = wires_of(packet, pool);
  const std::size_t two = packet.header_size() + 2U * packet.segment_size;
  EXPECT_EQ(Joined(wires, false, two).result().size(), 4U);
  EXPECT_EQ(Joined(wires, false, two - 1).result().size(), 8U);
  EXPECT_EQ(Joined(wires, true, two + 3).result().size(), 8U);

  packet.segment_size = 9000;
  packet.payload = std::size_t{7} * packet.segment_size;
  std::vector<Bytes> many = wires_of(packet, pool);
  packet.sequence += static_cast<std::uint32_t>(packet.payload);
  packet.id = static_cast<std::uint16_t>(packet.id + 7);
  many.back()[47] &= 0xf7;
  for (const Bytes& wire : wires_of(packet, pool)) many.push_back(wire);
  for (const std::size_t size : Joined(many).sizes()) EXPECT_LE(size, 65535U + 14U);
}

TEST(SegmentJoiner, DoesNotJoinDatagramsThatCuttingWouldNotGiveBack) {
  struct Case {
    const char* what;
    std::size_t at;  // of the second datagram
    std::uint8_t flip;
  };
  // Ethernet 14, IPv4 20, UDP 8.
  const std::vector<Case> cases = {
      {"another port", 37, 1},
      {"a UDP length that is not the packet's", 39, 1},
      {"a bad UDP checksum", 41, 1},
      {"changed payload", 50, 1},
  };
  FramePool pool;
  LargePacket packet = two_segments();
  packet.udp = true;
  const std::vector<Bytes> good = wires_of(packet, pool);
  EXPECT_TRUE(Joined(good).joined());
  for (const Case& one : cases) {
    std::vector<Bytes> wires = good;
    wires[1][one.at] ^= one.flip;
    EXPECT_FALSE(Joined(wires).joined()) << one.what;
  }
  std::vector<Bytes> unsummed = good;
  for (Bytes& wire : unsummed) wire[40] = wire[41] = 0;
  EXPECT_FALSE(Joined(unsummed).joined()) << "there is no checksum";
}

// A thousand machines behind a TAP get their addresses by such replies, and most DHCP clients read
// from packet sockets, which show a joined frame uncut.
TEST(SegmentJoiner, DatagramsToManyAndDhcpStayAsTheyAre) {
  FramePool pool;
  LargePacket packet = two_segments();
  packet.udp = true;
  std::vector<Bytes> to_many = wires_of(packet, pool);
  for (Bytes& wire : to_many) wire[0] |= 1;
  EXPECT_FALSE(Joined(to_many).joined());
  for (const int port : {67, 68}) {
    std::vector<Bytes> dhcp = wires_of(packet, pool);
    for (Bytes& wire : dhcp)
      wire = with_source_port(wire, static_cast<std::uint16_t>(port), kUdpSumAt);
    EXPECT_FALSE(Joined(dhcp).joined()) << port;
  }
  std::vector<Bytes> other = wires_of(packet, pool);
  for (Bytes& wire : other) wire = with_source_port(wire, 69, kUdpSumAt);
  EXPECT_TRUE(Joined(other).joined());
}

// As a TAP gives them: the guest's kernel leaves the checksum to its interface.
TEST(SegmentJoiner, JoinsDatagramsThatOweTheirChecksumWhereDatagramsAreJoined) {
  for (const bool v6 : {false, true}) {
    FramePool pool;
    LargePacket packet = two_segments();
    packet.udp = true;
    packet.ipv6 = v6;
    packet.payload = 700;
    packet.segment_size = 0;
    EgressBatch in;
    in.push(Outgoing::untagged(packet.frame(pool)));
    packet.id = static_cast<std::uint16_t>(packet.id + 1);
    packet.payload = 300;
    in.push(Outgoing::untagged(packet.frame(pool)));
    EgressBatch out;
    SegmentJoiner without(pool, {kMaxFrameSize, false});
    EXPECT_FALSE(without.join(in.view(), out));
    SegmentJoiner joiner(pool, {kMaxFrameSize, true});
    ASSERT_TRUE(joiner.join(in.view(), out));
    ASSERT_EQ(out.size(), 1U);
    packet.id = static_cast<std::uint16_t>(packet.id - 1);
    packet.payload = 1000;
    packet.segment_size = 700;
    EXPECT_EQ(out[0].frame->offload, packet.offload());
    EXPECT_TRUE(is_sound(*out[0].frame));
  }
}

TEST(SegmentJoiner, LeavesAloneWhatOwesWorkAlready) {
  FramePool pool;
  EgressBatch in;
  EgressBatch out;
  LargePacket packet = two_segments();
  in.push(Outgoing::untagged(packet.frame(pool)));
  packet.sequence += static_cast<std::uint32_t>(packet.payload);
  in.push(Outgoing::untagged(packet.frame(pool)));
  SegmentJoiner joiner(pool, {kMaxFrameSize, true});
  EXPECT_FALSE(joiner.join(in.view(), out));
}

}  // namespace
}  // namespace lanyard
