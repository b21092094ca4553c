// SPDX-License-Identifier: MIT
#include "backend/gateway/guest_output.h"

#include <gtest/gtest.h>

#include "tests/support/nat_world.h"

namespace lanyard::testing {
namespace {

struct Wire final : GuestLink {
  struct Sent {
    Octets frame;
    Offload offload;
  };
  std::vector<Sent> sent;
  bool room = true;
  void send_udp(const GuestDatagram&) override {}
  void send_arp_request(Ipv4Address, Ipv4Address) override {}
  void send_icmp6(MacAddress, const Ipv6Address&, const Ipv6Address&,
                  std::span<const std::uint8_t>) override {}
  void send_frame(std::span<const std::uint8_t> frame, const Offload& offload) override {
    sent.push_back({{frame.begin(), frame.end()}, offload});
  }
  bool has_room() const override { return room; }
};

// A segment from a server to the guest, as the engine makes it.
struct Segment {
  Octets frame;
  NatPacket packet;
  Segment(std::uint32_t sequence, std::size_t size, unsigned flags = kTcpAck,
          std::uint32_t acknowledgement = 5, bool v6 = false, std::uint16_t port = 4000) {
    PacketRecipe recipe;
    recipe.source = v6 ? kRouter6 : kRouter4;
    recipe.destination = v6 ? kGuest6 : kGuest4;
    recipe.destination_port = port;
    recipe.sequence = sequence;
    recipe.acknowledgement = acknowledgement;
    recipe.flags = static_cast<std::uint8_t>(flags);
    recipe.payload = numbered_bytes(size);
    frame = recipe.frame();
    packet.frame = frame;
    packet.v6 = v6;
    packet.key.protocol = kIpProtocolTcp;
    packet.key.guest_port = port;
    packet.transport_offset = v6 ? 54 : 34;
    packet.payload_offset = packet.transport_offset + 20;
    packet.sequence = sequence;
    packet.acknowledgement = acknowledgement;
    packet.flags = recipe.flags;
    packet.window = recipe.window;
  }
};

struct World {
  Wire wire;
  NatCounters counters;
  GuestOutput output{wire, 1500, counters};
  void send(const Segment& segment, std::uint16_t segment_size = 1460) {
    output.send_tcp(segment.packet, segment_size);
  }
};

TEST(GuestOutput, JoinsAWindowIntoOneFrameThatOwesItsCut) {
  for (const bool v6 : {false, true}) {
    World world;
    for (std::uint32_t i = 0; i < 4; ++i) {
      world.send({i * 16060, 16060, i == 3 ? kTcpAck | kTcpPsh : unsigned{kTcpAck}, 5, v6}, 1440);
    }
    EXPECT_TRUE(world.wire.sent.empty());
    world.output.flush();
    ASSERT_EQ(world.wire.sent.size(), 1U);
    const auto& [frame, offload] = world.wire.sent[0];
    const std::size_t headers = v6 ? 74 : 54;
    EXPECT_EQ(frame.size(), headers + 64240);
    EXPECT_EQ(offload.segment_size, 1440);
    EXPECT_EQ(offload.header_size, headers);
    EXPECT_EQ(offload.segmentation, v6 ? Offload::Segmentation::tcp6 : Offload::Segmentation::tcp4);
    EXPECT_TRUE(offload.needs_checksum);
    EXPECT_EQ(frame[headers - 20 + 13], kTcpAck | kTcpPsh);
  }
}

TEST(GuestOutput, JoinsOnlyWhatContinues) {
  struct {
    const char* name;
    Segment second;
    std::size_t frames;
  } rows[] = {{"next", {1100, 100}, 1},
              {"with FIN", {1100, 100, kTcpAck | kTcpFin}, 1},
              {"acknowledges more", {1100, 100, kTcpAck, 6}, 1},
              {"acknowledges less", {1100, 100, kTcpAck, 4}, 2},
              {"gap", {1101, 100}, 2},
              {"again", {1000, 100}, 2},
              {"FIN alone", {1100, 0, kTcpAck | kTcpFin}, 2},
              {"RST", {1100, 100, kTcpRst | kTcpAck}, 2},
              {"another flow", {1100, 100, kTcpAck, 5, false, 4001}, 2},
              {"too much", {1100, 65400}, 2}};
  for (auto& row : rows) {
    SCOPED_TRACE(row.name);
    World world;
    world.send({1000, 100});
    world.send(row.second);
    world.output.flush();
    EXPECT_EQ(world.wire.sent.size(), row.frames);
  }
}

TEST(GuestOutput, AnOldAcknowledgementIsVoidARepeatedOneIsNot) {
  World world;
  for (const std::uint32_t ack : {10U, 20U, 30U, 30U}) world.send({7, 0, kTcpAck, ack});
  world.output.flush();
  ASSERT_EQ(world.wire.sent.size(), 2U);
  for (const auto& sent : world.wire.sent) EXPECT_EQ(load_u32(sent.frame, 42), 30U);
}

TEST(GuestOutput, FitsTheSmallerOfMtuAndSegmentSize) {
  struct {
    std::uint32_t mtu;
    std::uint16_t segment_size;
    std::size_t payload;
    std::uint16_t expected;  // 0: not cut
  } const rows[] = {{1500, 1460, 1460, 0},    {1500, 1460, 1461, 1460}, {1500, 0, 5000, 1460},
                    {1280, 1460, 5000, 1240}, {9000, 1460, 5000, 1460}, {9000, 8960, 8960, 0}};
  for (const auto& row : rows) {
    World world;
    world.output.set_mtu(row.mtu);
    world.send({1, row.payload}, row.segment_size);
    world.output.flush();
    EXPECT_EQ(world.wire.sent.at(0).offload.segment_size, row.expected);
  }
}

TEST(GuestOutput, FragmentsAFragmentToo) {
  World world;
  PacketRecipe recipe;
  recipe.source = kRouter4;
  recipe.destination = kGuest4;
  recipe.protocol = kIpProtocolUdp;
  recipe.payload = numbered_bytes(3000);
  Octets frame = recipe.frame();
  store_u16(frame, 20, 0x2000 | 10);  // in the middle of something
  store_u16(frame, 24, 0);
  store_u16(frame, 24, internet_checksum(std::span(frame).subspan(14, 20)));
  world.output.send_datagram(frame);
  ASSERT_EQ(world.wire.sent.size(), 3U);
  std::size_t at = 10;
  for (const auto& sent : world.wire.sent) {
    EXPECT_LE(sent.frame.size(), 1514U);
    EXPECT_EQ(load_u16(sent.frame, 20), 0x2000 | at);
    EXPECT_EQ(internet_checksum(std::span(sent.frame).subspan(14, 20)), 0);
    at += (sent.frame.size() - 34) / 8;
  }
}

TEST(GuestOutput, WaitsForRoomInOrder) {
  World world;
  world.wire.room = false;
  for (std::uint32_t i = 0; i < 10; ++i) {
    world.send({i, 0, kTcpAck, 5});
    world.output.flush();
  }
  EXPECT_TRUE(world.wire.sent.empty());
  EXPECT_TRUE(world.output.congested());
  world.wire.room = true;
  world.output.resume();
  ASSERT_EQ(world.wire.sent.size(), 10U);
  for (std::uint32_t i = 0; i < 10; ++i) EXPECT_EQ(load_u32(world.wire.sent[i].frame, 38), i);
  EXPECT_FALSE(world.output.congested());
  EXPECT_EQ(world.output.queued_bytes(), 0U);
}

TEST(GuestOutput, TheQueueHasABound) {
  World world;
  world.wire.room = false;
  for (std::uint32_t i = 0; i < 400; ++i) {
    world.send({i * 60000, 60000});
    world.output.flush();
  }
  EXPECT_LE(world.output.queued_bytes(), GuestOutput::kQueueBytesMax);
  EXPECT_GT(world.counters[NatEvent::output_queue_full], 100U);
}

}  // namespace
}  // namespace lanyard::testing
