// SPDX-License-Identifier: MIT
#include "switch/network/ip_address.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace lanyard {
namespace {

TEST(Ipv4Address, IsFourDecimalOctetsAndNothingElse) {
  EXPECT_EQ(Ipv4Address::parse("10.0.2.15")->number(), 0x0a00020fU);
  for (const std::string_view wrong :
       {"", "10", "10.0.2", "10.0.2.15.1", "10.0.2.256", "10.0.2.015", "0x0a.0.2.15", " 10.0.2.15",
        "10.0.2.15 ", "10.0.2.-1", "10..2.15", "10.0.2.", "::1", "10.0.2.15/24"}) {
    EXPECT_FALSE(Ipv4Address::parse(wrong)) << wrong;
  }
}

RC_GTEST_PROP(Ipv4Address, ReadsBackWhatItPrints, (std::uint32_t number)) {
  const Ipv4Address address = Ipv4Address::from_number(number);
  RC_ASSERT(Ipv4Address::parse(address.text()) == address);
  RC_ASSERT(Ipv4Address::from_bytes(address.bytes()) == address);
}

TEST(Ipv6Address, IsPrintedAsRfc5952Says) {
  EXPECT_EQ(Ipv6Address::parse("FD17:625C:F037:0002:0000:0000:0000:0003")->text(),
            "fd17:625c:f037:2::3");
  EXPECT_EQ(Ipv6Address::parse("::")->text(), "::");
  EXPECT_EQ(Ipv6Address::parse("::ffff:10.0.2.15")->mapped_v4()->text(), "10.0.2.15");
  EXPECT_FALSE(Ipv6Address::parse("fd00::15")->mapped_v4());
  for (const std::string_view wrong :
       {"", ":", "1::2::3", "fe80::1%eth0", "10.0.2.15", "[::1]", "12345::", "0:0:0:0:0:0:0:0:0"}) {
    EXPECT_FALSE(Ipv6Address::parse(wrong)) << wrong;
  }
}

RC_GTEST_PROP(Ipv6Address, ReadsBackWhatItPrints, (Ipv6Address::Bytes bytes)) {
  const Ipv6Address address(bytes);
  RC_ASSERT(Ipv6Address::parse(address.text()) == address);
}

TEST(Prefixes, ContainTheirAddresses) {
  const Ipv4Prefix prefix = *Ipv4Prefix::parse("192.168.56.1/24");
  EXPECT_EQ(prefix.network().text(), "192.168.56.0");
  EXPECT_EQ(prefix.broadcast().text(), "192.168.56.255");
  EXPECT_EQ(prefix.netmask().text(), "255.255.255.0");
  EXPECT_EQ(prefix.at(100).text(), "192.168.56.100");
  EXPECT_TRUE(prefix.contains(*Ipv4Address::parse("192.168.56.255")));
  EXPECT_FALSE(prefix.contains(*Ipv4Address::parse("192.168.57.0")));
  EXPECT_TRUE(Ipv4Prefix::parse("0.0.0.0/0")->contains(*Ipv4Address::parse("255.255.255.255")));
  EXPECT_TRUE(prefix.overlaps(*Ipv4Prefix::parse("192.168.0.0/16")));
  EXPECT_FALSE(prefix.overlaps(*Ipv4Prefix::parse("192.168.57.0/24")));
  EXPECT_EQ(Ipv4Prefix::parse("10.0.2.15")->length, 32U);
  for (const std::string_view wrong : {"10.0.2.0/33", "10.0.2.0/", "10.0.2.0/024", "/24", "10/8"}) {
    EXPECT_FALSE(Ipv4Prefix::parse(wrong)) << wrong;
  }
}

TEST(Prefixes, CutIpv6WithinAnOctet) {
  const Ipv6Prefix prefix = *Ipv6Prefix::parse("2001:db8:ffff::1/37");
  EXPECT_EQ(prefix.network().text(), "2001:db8:f800::");
  EXPECT_TRUE(prefix.contains(*Ipv6Address::parse("2001:db8:f8ff::")));
  EXPECT_FALSE(prefix.contains(*Ipv6Address::parse("2001:db8:f700::")));
  EXPECT_EQ(Ipv6Prefix::parse("fd00::ff/64")->at(0x101).text(), "fd00::101");
  EXPECT_FALSE(Ipv6Prefix::parse("fd00::/129"));
}

}  // namespace
}  // namespace lanyard
