// SPDX-License-Identifier: MIT
#include "backend/gateway/neighbour_table.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Evidence = NeighbourTable::Evidence;

constexpr MacAddress kAlice = MacAddress::from_number(0x0200000000a1);
constexpr MacAddress kMallory = MacAddress::from_number(0x0200000000ee);

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

NeighbourTable table_of() {
  NetworkConfig config;
  config.subnet = Ipv4Prefix::parse("10.0.2.0/24");
  config.subnet6 = Ipv6Prefix::parse("fd17::/64");
  NeighbourTable table;
  table.set_network(config);
  return table;
}

TEST(NeighbourTable, KnowsWhoWasSeen) {
  NeighbourTable table = table_of();
  table.learn(ip("10.0.2.15"), kAlice, Evidence::packet, seconds(1));
  table.learn(ip("fd17::15"), kAlice, Evidence::resolution, seconds(1));
  table.learn(ip("fe80::15"), kAlice, Evidence::resolution, seconds(1));
  EXPECT_EQ(table.mac_of(ip("10.0.2.15")), kAlice);
  EXPECT_EQ(table.mac_of(ip("fd17::15")), kAlice);
  EXPECT_EQ(table.mac_of(ip("fe80::15")), kAlice);
  EXPECT_EQ(table.mac_of(ip("10.0.2.16")), std::nullopt);
}

TEST(NeighbourTable, HoldsOnlyStationsOfTheNetwork) {
  NeighbourTable table = table_of();
  for (const char* text : {"192.0.2.1", "10.0.2.0", "10.0.2.255", "2001:db8::1", "0.0.0.0"}) {
    table.learn(ip(text), kAlice, Evidence::resolution, seconds(1));
    EXPECT_EQ(table.mac_of(ip(text)), std::nullopt) << text;
  }
  table.learn(ip("10.0.2.15"), MacAddress::from_number(0x0100000000a1), Evidence::packet,
              seconds(1));
  EXPECT_EQ(table.size(), 0U);
}

TEST(NeighbourTable, APacketDoesNotReplaceAnAnswerUntilThatIsOld) {
  NeighbourTable table = table_of();
  table.learn(ip("10.0.2.15"), kAlice, Evidence::resolution, seconds(1));
  table.learn(ip("10.0.2.15"), kMallory, Evidence::packet, seconds(2));
  EXPECT_EQ(table.mac_of(ip("10.0.2.15")), kAlice);
  table.learn(ip("10.0.2.15"), kMallory, Evidence::packet, seconds(61));
  EXPECT_EQ(table.mac_of(ip("10.0.2.15")), kMallory);
  table.learn(ip("10.0.2.15"), kAlice, Evidence::resolution, seconds(62));
  EXPECT_EQ(table.mac_of(ip("10.0.2.15")), kAlice);
}

TEST(NeighbourTable, ForgetsTheSilentAndStaysBounded) {
  NeighbourTable table = table_of();
  for (std::uint32_t i = 0; i < 10000; ++i) {
    table.learn(Ipv6Prefix::parse("fd17::/64")->at(i + 1), kAlice, Evidence::packet, seconds(1));
  }
  EXPECT_EQ(table.size(), NeighbourTable::kEntriesMax);
  table.learn(ip("10.0.2.15"), kAlice, Evidence::packet, seconds(1) + minutes(10));
  EXPECT_EQ(table.mac_of(ip("10.0.2.15")), kAlice) << "the silent make room";
  table.age(minutes(30));
  EXPECT_EQ(table.size(), 0U);
}

}  // namespace
}  // namespace lanyard
