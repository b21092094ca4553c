// SPDX-License-Identifier: MIT
#include "switch/frame/mac_address.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace lanyard {
namespace {

TEST(MacAddress, ReadsColonsOrDots) {
  const MacAddress expected = MacAddress::from_number(0x52540012abcd);
  for (const char* const text : {"52:54:00:12:ab:cd", "52:54:0:12:AB:CD", "52.54.00.12.ab.cd"}) {
    ASSERT_TRUE(MacAddress::parse(text).has_value()) << text;
    EXPECT_EQ(*MacAddress::parse(text), expected) << text;
  }
}

TEST(MacAddress, RefusesWhatIsNone) {
  for (const char* const text :
       {"", ":", "52", "52:54:00:12:ab", "52:54:00:12:ab:", "52:54:00:12:ab:cd:ef",
        "52:54:00:12:ab:cdx", "x52:54:00:12:ab:cd", "52:54:00:12:ab:0cd", "52:54::12:ab:cd",
        "52:54:00:12:ab.cd", "52.54:00.12.ab.cd", " 52:54:00:12:ab:cd", "52:54:00:12:ab:cd ",
        "52540012abcd", "52-54-00-12-ab-cd", "-2:54:00:12:ab:cd", "0x:54:00:12:ab:cd",
        "52:54:00:12:ab:gg"}) {
    EXPECT_FALSE(MacAddress::parse(text).has_value()) << text;
  }
}

RC_GTEST_PROP(MacAddress, ReadsBackWhatItPrints, (std::uint64_t number)) {
  const MacAddress mac = MacAddress::from_number(number & 0xffffffffffff);
  RC_ASSERT(mac.number() == (number & 0xffffffffffff));
  RC_ASSERT(MacAddress::parse(mac.text()) == mac);
  RC_ASSERT(MacAddress::from_bytes(mac.bytes()) == mac);
}

TEST(MacAddress, KnowsGroupsAndZero) {
  EXPECT_TRUE(MacAddress::from_number(0xffffffffffff).is_group());
  EXPECT_TRUE(MacAddress::from_number(0x0180c2000000).is_group());
  EXPECT_FALSE(MacAddress::from_number(0x020000000001).is_group());
  EXPECT_TRUE(MacAddress().is_zero());
  EXPECT_FALSE(MacAddress::from_number(1).is_zero());
}

TEST(MacAddress, PrintsSixPairs) {
  EXPECT_EQ(MacAddress::from_number(0x0a0b0c).text(), "00:00:00:0a:0b:0c");
}

}  // namespace
}  // namespace lanyard
