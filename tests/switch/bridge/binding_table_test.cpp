// SPDX-License-Identifier: MIT
#include "switch/bridge/binding_table.h"

#include <gtest/gtest.h>

#include "tests/support/frame_builder.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using testing::kAlice;
using testing::kBob;

IpAddress address(std::uint32_t number) {
  return Ipv4Address::from_number(0x0a000000 + number);
}

Binding leased(std::uint32_t number, MacAddress mac, PortId port,
               Time expires = Binding::kForEver) {
  Binding binding;
  binding.address = address(number);
  binding.vlan = 0;
  binding.mac = mac;
  binding.port = port;
  binding.origin = Binding::Origin::dhcp;
  binding.expires = expires;
  return binding;
}

TEST(BindingTable, AllowsWhoWasBoundAndNobodyElse) {
  BindingTable table;
  table.lease(leased(1, kAlice, 3, seconds(100)), Time{0});
  EXPECT_TRUE(table.allows(address(1), 0, kAlice, 3, seconds(99)));
  EXPECT_FALSE(table.allows(address(1), 0, kAlice, 3, seconds(100))) << "it has ended";
  EXPECT_FALSE(table.allows(address(1), 0, kBob, 3, Time{0}));
  EXPECT_FALSE(table.allows(address(1), 0, kAlice, 4, Time{0}));
  EXPECT_FALSE(table.allows(address(1), 10, kAlice, 3, Time{0})) << "another VLAN";
  EXPECT_FALSE(table.allows(address(2), 0, kAlice, 3, Time{0}));
}

TEST(BindingTable, AnOperatorHasTheLastWord) {
  BindingTable table;
  table.lease(leased(1, kAlice, 3), Time{0});
  ASSERT_TRUE(table.say(address(1), kBob, kPortNone).ok());
  EXPECT_FALSE(table.allows(address(1), 0, kAlice, 3, Time{0}));
  EXPECT_TRUE(table.allows(address(1), 77, kBob, 9, Time{0})) << "at any port, in any VLAN";
  EXPECT_TRUE(table.unsay(address(1)));
  EXPECT_FALSE(table.unsay(address(1)));
  EXPECT_TRUE(table.allows(address(1), 0, kAlice, 3, Time{0}));
}

TEST(BindingTable, TheFirstToAskHasIt) {
  BindingTable table;
  EXPECT_TRUE(table.claim(address(1), 0, kAlice, 3, Time{0}));
  EXPECT_TRUE(table.claim(address(1), 0, kAlice, 3, Time{0}));
  EXPECT_FALSE(table.claim(address(1), 0, kBob, 4, Time{0}));
  table.forget_port(3);
  EXPECT_TRUE(table.claim(address(1), 0, kBob, 4, Time{0})) << "Alice has gone";
}

TEST(BindingTable, GivesBackOnlyWhatIsOnesOwn) {
  BindingTable table;
  table.lease(leased(1, kAlice, 3), Time{0});
  table.give_back(address(1), 0, kBob, 3);
  table.give_back(address(1), 0, kAlice, 4);
  EXPECT_EQ(table.size(), 1U);
  table.give_back(address(1), 0, kAlice, 3);
  EXPECT_EQ(table.size(), 0U);
}

TEST(BindingTable, WhoFillsHisShareLosesHisOwn) {
  BindingTable table;
  ASSERT_TRUE(table.claim(address(1), 0, kAlice, 3, Time{0}));
  for (std::uint32_t i = 100; i < 100 + 2 * BindingTable::kPerPort; ++i) {
    table.claim(address(i), 0, kBob, 4, seconds(i));
  }
  EXPECT_EQ(table.size(), BindingTable::kPerPort + 1);
  EXPECT_TRUE(table.allows(address(1), 0, kAlice, 3, seconds(9999)));
  EXPECT_FALSE(table.allows(address(100), 0, kBob, 4, seconds(9999))) << "the least used";
  EXPECT_TRUE(table.allows(address(99 + 2 * BindingTable::kPerPort), 0, kBob, 4, seconds(9999)));
}

TEST(BindingTable, IsRestoredAsItWas) {
  BindingTable table;
  ASSERT_TRUE(table.say(address(5), kBob, 2).ok());
  table.lease(leased(1, kAlice, 3, seconds(50)), Time{0});
  BindingTable successor;
  successor.restore(table.all());
  EXPECT_EQ(successor.all(), table.all());
  successor.forget_port(3);
  EXPECT_EQ(successor.size(), 1U);
}

}  // namespace
}  // namespace lanyard
