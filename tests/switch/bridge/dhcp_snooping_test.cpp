// SPDX-License-Identifier: MIT
#include "switch/bridge/dhcp_snooping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/hostile_packets.h"

namespace lanyard {
namespace {

using namespace testing::hostile;  // NOLINT: it is the vocabulary of this file
using testing::Bytes;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::kAlice;
using testing::kBroadcast;

IpAddress address(std::string_view text) {
  return IpAddress::parse(text).value();
}

TEST(DhcpSnooping, HearsAnAck) {
  const auto heard = snoop_dhcp_ack(dhcp(2, 5, kAlice, "10.0.0.9", 600));
  ASSERT_TRUE(heard);
  EXPECT_EQ(*heard, (SnoopedDhcp{kAlice, {address("10.0.0.9"), 600}}));
}

TEST(DhcpSnooping, HearsNothingElse) {
  EXPECT_FALSE(snoop_dhcp_ack(dhcp(2, 2, kAlice, "10.0.0.9"))) << "an offer is no lease";
  EXPECT_FALSE(snoop_dhcp_ack(dhcp(2, 5, kAlice, "0.0.0.0"))) << "nothing is given";
  EXPECT_FALSE(snoop_dhcp_ack(dhcp(2, 5, kBroadcast, "10.0.0.9"))) << "to nobody";
  Bytes no_cookie = dhcp(2, 5, kAlice, "10.0.0.9");
  no_cookie[236] ^= 1;
  EXPECT_FALSE(snoop_dhcp_ack(no_cookie));
  const Bytes whole = dhcp(2, 5, kAlice, "10.0.0.9");
  for (std::size_t size = 0; size + 1 < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(snoop_dhcp_ack(cut)) << size << " bytes";
  }
}

TEST(DhcpSnooping, HearsWhatIsGivenBack) {
  const auto heard = snoop_dhcp_return(dhcp(1, 7, kAlice, "10.0.0.9"));
  ASSERT_TRUE(heard);
  EXPECT_EQ(heard->lease, (SnoopedLease{address("10.0.0.9"), 0}));
  EXPECT_FALSE(snoop_dhcp_return(dhcp(1, 3, kAlice, "10.0.0.9")));
}

TEST(DhcpSnooping, HearsAReplyOfDhcpv6) {
  const Bytes whole = dhcpv6("fd00::9", 700);
  EXPECT_THAT(snoop_dhcpv6_reply(whole), ElementsAre(SnoopedLease{address("fd00::9"), 700}));
  Bytes advertise = whole;
  advertise[0] = 2;
  EXPECT_THAT(snoop_dhcpv6_reply(advertise), IsEmpty());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THAT(snoop_dhcpv6_reply(cut), IsEmpty()) << size << " bytes";
  }
}

}  // namespace
}  // namespace lanyard
