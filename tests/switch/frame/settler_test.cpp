// SPDX-License-Identifier: MIT
#include "switch/frame/settler.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/support/large_packet.h"
#include "tests/support/memory_endpoint.h"

namespace lanyard {
namespace {

using testing::Bytes;
using testing::gathered;
using testing::LargePacket;

std::vector<Bytes> settled(const Outgoing& out, FramePool& pool) {
  std::vector<Bytes> wires;
  EgressBatch batch;
  Settler settler(pool);
  settler.begin(out);
  for (bool more = true; more;) {
    more = settler.next(batch);
    for (const Outgoing& one : batch) {
      EXPECT_TRUE(one.frame->offload.owes_nothing());
      wires.push_back(gathered(one).bytes);
      EXPECT_EQ(one.wire_size(), wires.back().size());
    }
    batch.clear();
  }
  return wires;
}

std::string fault_of(const LargePacket& packet, const std::vector<Bytes>& wires) {
  std::size_t done = 0;
  for (std::size_t i = 0; i < wires.size(); ++i) {
    const std::string fault = packet.fault(wires[i], i, done);
    if (!fault.empty()) return fmt::format("segment {} of {} {}", i, wires.size(), fault);
    done += wires[i].size() - packet.header_size();
  }
  return done == packet.payload ? "" : "payload is missing";
}

LargePacket any_packet() {
  const auto number = [](int from, int to) {
    return static_cast<std::size_t>(*rc::gen::inRange(from, to));
  };
  LargePacket packet;
  packet.ipv6 = number(0, 2) != 0;
  packet.udp = number(0, 2) != 0;
  packet.options = 4 * number(0, 11);
  packet.ip_options = packet.ipv6 ? 0 : 4 * number(0, 11);
  packet.extensions = packet.ipv6 ? number(0, 4) : 0;
  packet.tags = number(0, 3);
  packet.payload = 1 + number(0, number(0, 3) == 0 ? 65'000 : 6'000);
  packet.segment_size = static_cast<std::uint16_t>(
      number(0, 5) == 0 ? 0 : packet.payload / 2000 + 1 + number(0, 3000));
  packet.flags = static_cast<std::uint8_t>(number(0, 256));
  packet.traffic_class = static_cast<std::uint8_t>(number(0, 4));
  packet.sequence = static_cast<std::uint32_t>(number(0, 0x7fffffff)) * 2U + 1U;
  packet.id = static_cast<std::uint16_t>(number(0, 65536));
  return packet;
}

RC_GTEST_PROP(Settler, CutsAnyPacketIntoWhatTheNetworkExpects, ()) {
  FramePool pool;
  const LargePacket packet = any_packet();
  const auto cuts = *rc::gen::container<std::vector<std::size_t>>(
      3, rc::gen::map(rc::gen::inRange(1, 9000), [](int n) { return std::size_t(n); }));
  const Outgoing out = Outgoing::untagged(packet.frame(pool, cuts));
  RC_ASSERT(is_sound(*out.frame));
  const bool shared = *rc::gen::arbitrary<bool>();
  const FrameRef other = shared ? out.frame.share() : FrameRef();
  const Bytes before = gathered(out).bytes;
  const std::vector<Bytes> wires = settled(out, pool);
  RC_ASSERT(fault_of(packet, wires) == "");
  if (shared || packet.segment_size != 0) RC_ASSERT(gathered(out).bytes == before);
}

RC_GTEST_PROP(Settler, KnowsTheLongestOfItsFramesBefore, ()) {
  FramePool pool;
  const LargePacket packet = any_packet();
  Outgoing out = Outgoing::with_tag(packet.frame(pool));
  const std::size_t expected = Settler::longest(out);
  std::size_t longest = 0;
  for (const Bytes& wire : settled(out, pool)) longest = std::max(longest, wire.size());
  RC_ASSERT(longest == expected);
}

TEST(Settler, KeepsTheTagBesideEachSegment) {
  FramePool pool;
  const LargePacket packet;
  FrameRef frame = packet.frame(pool);
  frame->vlan = 10;
  frame->priority = 0xa000;
  const auto wires = settled(Outgoing::with_tag(std::move(frame)), pool);
  ASSERT_EQ(wires.size(), 4U);
  for (const Bytes& wire : wires) {
    EXPECT_EQ(Bytes(wire.begin() + 12, wire.begin() + 16), (Bytes{0x81, 0x00, 0xa0, 0x0a}));
  }
}

TEST(Settler, CutsWhatHadItsTagTakenOut) {
  FramePool pool;
  LargePacket packet;
  packet.tags = 1;
  FrameRef frame = packet.frame(pool);
  frame->pop_tag();
  ASSERT_TRUE(is_sound(*frame));
  packet.tags = 0;
  EXPECT_EQ(fault_of(packet, settled(Outgoing::untagged(std::move(frame)), pool)), "");
}

TEST(Settler, PaysAnOnlyOwnersChecksumInPlace) {
  FramePool pool;
  LargePacket packet;
  packet.segment_size = 0;
  const Outgoing out = Outgoing::untagged(packet.frame(pool));
  EXPECT_EQ(fault_of(packet, settled(out, pool)), "");
  EXPECT_TRUE(out.frame->offload.owes_nothing());
  EXPECT_EQ(packet.fault(gathered(out).bytes, 0, 0), "");
}

TEST(Settler, MakesNoUdpChecksumOfZero) {
  FramePool pool;
  LargePacket packet;
  packet.udp = true;
  packet.payload = 2;
  packet.segment_size = 0;
  // Two bytes of payload that bring the sum to what complements to zero.
  FrameRef frame = packet.frame(pool);
  std::uint8_t* const payload = frame->segments[0].data + packet.header_size();
  const Bytes all(frame->segments[0].data, frame->segments[0].data + frame->size);
  const std::size_t missing =
      0xffff - testing::plain_sum(all, packet.transport_at(), all.size() - 2);
  payload[0] = static_cast<std::uint8_t>(missing >> 8);
  payload[1] = static_cast<std::uint8_t>(missing);
  const auto wires = settled(Outgoing::untagged(std::move(frame)), pool);
  EXPECT_EQ(testing::u16_of(wires.at(0), packet.transport_at() + 6), 0xffffU);
}

TEST(Settler, GivesAllItsFramesBack) {
  FramePool pool;
  LargePacket packet;
  packet.payload = 60'000;
  packet.segment_size = 50;
  settled(Outgoing::untagged(packet.frame(pool)), pool);
  EXPECT_EQ(pool.buffers_idle(), pool.buffers_total());
}

// ---- what is refused ----

struct Lie {
  const char* name;
  void (*tell)(Frame& frame, const LargePacket& packet);
};

std::uint8_t* bytes_of(Frame& frame) {
  return frame.segments[0].data;
}

const Lie kLies[] = {
    {"no segment size", [](Frame& f, const LargePacket&) { f.offload.segment_size = 0; }},
    {"segments without checksums",
     [](Frame& f, const LargePacket&) { f.offload.needs_checksum = false; }},
    {"a checksum elsewhere", [](Frame& f, const LargePacket&) { ++f.offload.checksum_offset; }},
    {"a transport header earlier",
     [](Frame& f, const LargePacket&) { --f.offload.checksum_start; }},
    {"headers that end early", [](Frame& f, const LargePacket&) { f.offload.header_size -= 4; }},
    {"headers that end late", [](Frame& f, const LargePacket&) { f.offload.header_size += 4; }},
    {"headers beyond the first piece",
     [](Frame& f, const LargePacket& p) {
       f.segments[1] = {f.segments[0].data + p.header_size() - 1, f.segments[0].size};
       f.segments[0].size = static_cast<std::uint32_t>(p.header_size() - 1);
       f.segment_count = 2;
     }},
    {"headers without a payload",
     [](Frame& f, const LargePacket& p) {
       f.set_bytes(bytes_of(f), static_cast<std::uint32_t>(p.header_size()));
     }},
    {"a packet longer than the frame",
     [](Frame& f, const LargePacket&) { f.set_bytes(bytes_of(f), f.size - 1); }},
    {"a packet shorter than the frame",
     [](Frame& f, const LargePacket&) { f.set_bytes(bytes_of(f), f.size + 1); }},
    {"another type", [](Frame& f, const LargePacket&) { bytes_of(f)[13] ^= 0x06; }},
    {"another version",
     [](Frame& f, const LargePacket& p) { bytes_of(f)[p.network_at()] ^= 0x10; }},
    {"another protocol",
     [](Frame& f, const LargePacket& p) { bytes_of(f)[p.network_at() + (p.ipv6 ? 6 : 9)] ^= 1; }},
    {"what nobody can mean",
     [](Frame& f, const LargePacket&) { f.offload = Offload::malformed(); }},
};

TEST(SoundDebts, AreAllButLies) {
  for (const bool ipv6 : {false, true}) {
    for (const bool udp : {false, true}) {
      LargePacket packet;
      packet.ipv6 = ipv6;
      packet.udp = udp;
      for (const Lie& lie : kLies) {
        FramePool pool;
        const FrameRef frame = packet.frame(pool);
        EXPECT_TRUE(is_sound(*frame));
        lie.tell(*frame, packet);
        EXPECT_FALSE(is_sound(*frame))
            << lie.name << (ipv6 ? ", IPv6" : ", IPv4") << (udp ? ", UDP" : ", TCP");
      }
    }
  }
}

TEST(SoundDebts, OfIpv4AreOfWholePackets) {
  FramePool pool;
  const LargePacket packet;
  const FrameRef frame = packet.frame(pool);
  bytes_of(*frame)[packet.network_at() + 6] |= 0x20;
  EXPECT_FALSE(is_sound(*frame)) << "a fragment";
}

TEST(SoundDebts, OfIpv6EndTheirExtensionsWhereTheTransportBegins) {
  FramePool pool;
  LargePacket packet;
  packet.ipv6 = true;
  packet.extensions = 2;
  const FrameRef frame = packet.frame(pool);
  EXPECT_TRUE(is_sound(*frame));
  bytes_of(*frame)[packet.network_at() + 41] = 1;
  EXPECT_FALSE(is_sound(*frame)) << "a header that goes past the next";
  bytes_of(*frame)[packet.network_at() + 41] = 0;
  bytes_of(*frame)[packet.network_at() + 40] = 44;
  EXPECT_FALSE(is_sound(*frame)) << "a fragment";
}

TEST(SoundDebts, OfAChecksumLieInTheFirstPiece) {
  FramePool pool;
  LargePacket packet;
  packet.segment_size = 0;
  const FrameRef frame = packet.frame(pool, {packet.header_size()});
  EXPECT_TRUE(is_sound(*frame));
  frame->offload.checksum_offset = static_cast<std::uint16_t>(packet.options + 19);
  EXPECT_FALSE(is_sound(*frame));
  frame->offload.checksum_offset = 0;
  frame->offload.checksum_start = 12;
  EXPECT_FALSE(is_sound(*frame)) << "in the Ethernet header";
}

// ---- in front of a frame ----

TEST(VirtioHeaderOf, FollowsTheTag) {
  FramePool pool;
  const LargePacket packet;
  const Outgoing out = Outgoing::with_tag(packet.frame(pool));
  const Bytes wire = gathered(out).bytes;
  const VirtioReading reading = read_virtio_header(virtio_header_of(out), wire, wire.size());
  EXPECT_EQ(reading.fault, VirtioFault::none);
  EXPECT_EQ(reading.offload.checksum_start, packet.transport_at() + 4);
  EXPECT_EQ(reading.offload.header_size, packet.header_size() + 4);
  EXPECT_EQ(reading.offload.segment_size, packet.segment_size);
}

TEST(VirtioHeaderOf, TellsOfCongestion) {
  FramePool pool;
  LargePacket packet;
  packet.flags = 0x90;
  EXPECT_EQ(virtio_header_of(Outgoing::untagged(packet.frame(pool)))[1], 0x81);
  packet.flags = 0x10;
  EXPECT_EQ(virtio_header_of(Outgoing::untagged(packet.frame(pool)))[1], 0x01);
  EXPECT_EQ(virtio_header_of(Outgoing::untagged(pool.make())), VirtioHeader{});
}

}  // namespace
}  // namespace lanyard
