// SPDX-License-Identifier: MIT
#include "backend/gateway/udp_flow_table.h"

#include <gtest/gtest.h>

#include "tests/support/nat_world.h"

namespace lanyard::testing {
namespace {

using std::chrono::seconds;

FlowKey key_of(std::uint16_t guest_port, std::uint16_t target_port = 5000) {
  FlowKey key;
  key.guest = address_key(kGuest4);
  key.target = address_key(addr("192.0.2.1"));
  key.guest_port = guest_port;
  key.target_port = target_port;
  key.protocol = kIpProtocolUdp;
  return key;
}

// Opens a flow and lets its sides speak: "<" is a datagram to the guest, ">" one from it.
UdpFlow& spoken(UdpFlowTable& table, const FlowKey& key, std::string_view words, int at_s) {
  const auto direction = [](char word) {
    return word == '>' ? Direction::from_guest : Direction::to_guest;
  };
  UdpFlow& flow = table.insert(key, direction(words[0]), seconds(at_s));
  for (const char word : words) table.used(flow, direction(word), 10, seconds(at_s));
  return flow;
}

TEST(UdpFlowTable, KnowsConversationsFromQuestions) {
  struct Row {
    std::string_view words;
    std::uint16_t port;
    UdpFlow::Class kind;
  };
  const Row rows[] = {
      {">", 5000, UdpFlow::Class::fresh},        {">>>>", 5000, UdpFlow::Class::fresh},
      {"><", 5000, UdpFlow::Class::fresh},       {"><<<", 5000, UdpFlow::Class::fresh},
      {"><>", 5000, UdpFlow::Class::conversing}, {"<><", 5000, UdpFlow::Class::conversing},
      {"><", 53, UdpFlow::Class::query},         {"><><", 53, UdpFlow::Class::conversing},
  };
  for (const Row& row : rows) {
    UdpFlowTable table;
    const UdpFlow& flow = spoken(table, key_of(1, row.port), row.words, 1);
    EXPECT_EQ(flow.kind, row.kind) << row.words;
    EXPECT_EQ(flow.bytes_out + flow.bytes_in, 10 * row.words.size());
    EXPECT_EQ(table.find(key_of(1, row.port)), &flow);
  }
}

// RFC 4787 REQ-5; any datagram, either way, begins the silence anew (REQ-6).
TEST(UdpFlowTable, SilenceEndsFlowsByTheirClass) {
  struct Row {
    std::string_view words;
    std::uint16_t port;
    int life_s;
  };
  const Row rows[] = {{">", 5000, 300}, {"><>", 5000, 300}, {">", 53, 10}, {"><>", 53, 300}};
  for (const Row& row : rows) {
    UdpFlowTable table;
    UdpFlow& flow = spoken(table, key_of(1, row.port), row.words, 1000);
    table.used(flow, flow.last, 1, seconds(1005));
    unsigned gone = 0;
    const auto count = [&](const UdpFlow&) { ++gone; };
    table.expire(seconds(1005 + row.life_s - 1), count);
    EXPECT_EQ(gone, 0U) << row.words;
    table.expire(seconds(1005 + row.life_s), count);
    EXPECT_EQ(gone, 1U) << row.words;
    EXPECT_EQ(table.size(), 0U);
    EXPECT_EQ(table.find(key_of(1, row.port)), nullptr);
  }
}

TEST(UdpFlowTable, TheLongestSilentQuestionMakesRoomAndNoConversation) {
  UdpFlowTable table;
  spoken(table, key_of(1), "><>", 1);
  UdpFlow& early = spoken(table, key_of(2), ">", 2);
  spoken(table, key_of(3), "><", 3);
  spoken(table, key_of(4, 53), ">", 4);
  table.used(early, Direction::from_guest, 1, seconds(5));
  std::vector<std::uint16_t> order;
  while (UdpFlow* flow = table.expendable()) {
    order.push_back(flow->key.guest_port);
    table.erase(FlowKey(flow->key));
  }
  EXPECT_EQ(order, (std::vector<std::uint16_t>{4, 3, 2}));
  EXPECT_EQ(table.size(), 1U);
}

TEST(UdpFlowTable, IsFullAtItsBound) {
  UdpFlowTable table;
  for (std::uint32_t i = 0; i < UdpFlowTable::kFlowsMax; ++i) {
    EXPECT_FALSE(table.full());
    table.insert(key_of(static_cast<std::uint16_t>(i)), Direction::from_guest, seconds(1));
  }
  EXPECT_TRUE(table.full());
}

}  // namespace
}  // namespace lanyard::testing
