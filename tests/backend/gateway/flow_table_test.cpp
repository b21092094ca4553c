// SPDX-License-Identifier: MIT
#include "backend/gateway/flow_table.h"

#include <gtest/gtest.h>

#include "tests/support/nat_world.h"

namespace lanyard::testing {
namespace {

using std::chrono::seconds;

FlowKey key_of(std::uint16_t guest_port, std::uint8_t protocol = kIpProtocolTcp,
               const char* target = "192.0.2.1") {
  FlowKey key;
  key.guest = address_key(kGuest4);
  key.target = address_key(addr(target));
  key.guest_port = guest_port;
  key.target_port = 80;
  key.protocol = protocol;
  return key;
}

NatPacket segment(unsigned flags, std::uint32_t sequence, std::uint32_t acknowledgement,
                  std::span<std::uint8_t> payload = {}) {
  NatPacket packet;
  packet.key = key_of(1);
  packet.flags = static_cast<std::uint8_t>(flags);
  packet.sequence = sequence;
  packet.acknowledgement = acknowledgement;
  packet.window = 60000;
  packet.frame = payload;
  return packet;
}

TEST(AddressKey, IsTheSameAddressAgain) {
  for (const char* text : {"0.0.0.0", "10.0.2.15", "255.255.255.255", "::", "::1", "fd00:2::15"}) {
    EXPECT_EQ(address_of(address_key(addr(text))), addr(text));
  }
}

TEST(FlowTable, FollowsTheStatesOfAConnection) {
  FlowTable table;
  FlowEntry& flow = table.insert(key_of(1), seconds(1));
  Octets data(100);
  const auto guest = [&](NatPacket packet) { note_from_guest(flow, packet, seconds(2)); };
  const auto engine = [&](NatPacket packet) { note_to_guest(flow, packet, seconds(2)); };
  guest(segment(kTcpSyn, 100, 0));
  EXPECT_EQ(flow.state(), "SYN_SENT");
  EXPECT_EQ(flow.guest_next, 101U);
  engine(segment(kTcpSyn | kTcpAck, 1, 101));
  EXPECT_EQ(flow.state(), "SYN_SENT");
  guest(segment(kTcpAck, 101, 2));
  EXPECT_EQ(flow.state(), "ESTABLISHED");
  guest(segment(kTcpAck, 101, 2, data));
  engine(segment(kTcpAck, 2, 201, std::span(data).first(40)));
  EXPECT_EQ(flow.bytes_out, 100U);
  EXPECT_EQ(flow.bytes_in, 40U);
  EXPECT_EQ(flow.guest_next, 201U);
  EXPECT_EQ(flow.engine_next, 42U);
  EXPECT_EQ(flow.engine_window, 60000U);
  engine(segment(kTcpFin | kTcpAck, 42, 201));
  EXPECT_EQ(flow.state(), "CLOSE_WAIT");
  guest(segment(kTcpFin | kTcpAck, 201, 43));
  EXPECT_EQ(flow.state(), "CLOSING");
}

TEST(FlowTable, FlowsEndWithTheirSocket) {
  FlowTable table;
  table.attach(table.insert(key_of(1), seconds(1)), 7);
  table.attach(table.insert(key_of(2, kIpProtocolUdp), seconds(1)), 8);
  table.attach(table.insert(key_of(2, kIpProtocolUdp, "192.0.2.2"), seconds(1)), 8);
  unsigned gone = 0;
  const auto count = [&](const FlowEntry&) { ++gone; };
  table.close_socket(8, count);
  EXPECT_EQ(gone, 2U);
  table.close_socket(8, count);
  table.close_socket(7, count);
  EXPECT_EQ(gone, 3U);
  EXPECT_EQ(table.size(), 0U);
}

TEST(FlowTable, SilentConnectionsAreFoundByTheirState) {
  struct Row {
    bool established, guest_fin, engine_fin;
    int idle_after_s;
  };
  constexpr Row rows[] = {
      {false, false, false, 240}, {true, false, false, 7440}, {true, true, false, 240},
      {true, false, true, 240},   {true, true, true, 240},
  };
  for (const Row& row : rows) {
    FlowTable table;
    FlowEntry& flow = table.insert(key_of(1), seconds(1000));
    table.attach(flow, 7);
    flow.established = row.established;
    flow.guest_fin = row.guest_fin;
    flow.engine_fin = row.engine_fin;
    const auto idle = [&](int second) {
      return table.idle_connections(seconds(second), seconds(7440), seconds(240)).size();
    };
    EXPECT_EQ(idle(1000 + row.idle_after_s - 1), 0U) << row.idle_after_s;
    EXPECT_EQ(idle(1000 + row.idle_after_s), 1U) << row.idle_after_s;
    // Any packet, either way, begins the silence anew.
    note_from_guest(flow, segment(kTcpAck, 1, 1), seconds(1001));
    EXPECT_EQ(idle(1000 + row.idle_after_s), 0U) << row.idle_after_s;
    note_to_guest(flow, segment(kTcpAck, 1, 1), seconds(1002));
    EXPECT_EQ(idle(1001 + row.idle_after_s), 0U) << row.idle_after_s;
  }
  FlowTable table;
  table.attach(table.insert(key_of(1, kIpProtocolUdp), seconds(0)), 7);
  table.insert(key_of(2), seconds(0));  // ends by expire()
  EXPECT_TRUE(table.idle_connections(seconds(100000), seconds(7440), seconds(240)).empty());
}

TEST(FlowTable, OnlyWhatHasNoEndOfItsOwnExpires) {
  FlowTable table;
  table.attach(table.insert(key_of(1), seconds(0)), 7);
  table.insert(key_of(2), seconds(0));
  table.attach(table.insert(key_of(3, kIpProtocolUdp), seconds(0)), 8);
  table.insert(key_of(4, kIpProtocolUdp), seconds(100));
  unsigned gone = 0;
  const auto count = [&](const FlowEntry&) { ++gone; };
  table.expire(seconds(299), count);
  EXPECT_EQ(gone, 0U);
  table.expire(seconds(300), count);
  EXPECT_EQ(gone, 2U);
  EXPECT_NE(table.find(key_of(1)), nullptr);
  EXPECT_NE(table.find(key_of(4, kIpProtocolUdp)), nullptr);
}

}  // namespace
}  // namespace lanyard::testing
