// SPDX-License-Identifier: MIT
#include "backend/gateway/dhcp_message.h"

#include <gtest/gtest.h>

#include "tests/support/dhcp_world.h"

namespace lanyard {
namespace {

using testing::ip;
using Bytes = std::vector<std::uint8_t>;

DhcpMessage header() {
  DhcpMessage message;
  message.is_reply = true;
  message.xid = 0xdeadbeef;
  message.flags = 0x8000;
  message.yiaddr = ip("10.0.2.15");
  message.siaddr = ip("10.0.2.2");
  message.chaddr = testing::mac_number(1);
  return message;
}

std::vector<DhcpOptionConfig> options(std::initializer_list<DhcpOptionConfig> more = {}) {
  std::vector<DhcpOptionConfig> all{{dhcp_option::message_type, {2}}};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(DhcpMessage, WhatIsBuiltReadsBack) {
  DhcpMessage sent = header();
  sent.file = "pxelinux.0";
  sent.server_name = "boot";
  const auto built = build_dhcp_message(sent, options({{15, dhcp_value("lab")}}), 548);
  EXPECT_EQ(built.bytes.size(), DhcpMessage::kSizeMin) << "padded";
  const auto read = parse_dhcp_message(built.bytes);
  ASSERT_TRUE(read) << read.error().text;
  const DhcpMessage& m = read.value();
  EXPECT_TRUE(m.is_reply);
  EXPECT_EQ(m.type, DhcpType::offer);
  EXPECT_EQ(m.xid, 0xdeadbeef);
  EXPECT_TRUE(m.wants_broadcast());
  EXPECT_EQ(m.yiaddr, sent.yiaddr);
  EXPECT_EQ(m.siaddr, sent.siaddr);
  EXPECT_EQ(m.chaddr, sent.chaddr);
  EXPECT_EQ(m.file, "pxelinux.0");
  EXPECT_EQ(m.server_name, "boot");
  EXPECT_EQ(m.text(15), "lab");
}

TEST(DhcpMessage, OptionsLongerThanTheirLengthByteAreSplit) {
  Bytes value(700);
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = static_cast<std::uint8_t>(i);
  const auto built = build_dhcp_message(header(), options({{224, value}}), 1472);
  EXPECT_TRUE(built.left_out.empty());
  const auto read = parse_dhcp_message(built.bytes);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read.value().option(224), value);
}

TEST(DhcpMessage, WhatHasNoRoomGoesIntoTheUnusedFieldsAndElseIsNamed) {
  std::vector<DhcpOptionConfig> many = options();
  for (std::uint8_t code = 224; code < 240; ++code) many.push_back({code, Bytes(40, code)});
  DhcpMessage sent = header();
  const auto built = build_dhcp_message(sent, many, 548);
  EXPECT_LE(built.bytes.size(), 548U);
  const auto read = parse_dhcp_message(built.bytes);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read.value().options.size() + built.left_out.size(), 16U);
  EXPECT_EQ(built.left_out.size(), 5U);
  EXPECT_TRUE(read.value().file.empty());
  sent.file = "used";
  const auto fewer = build_dhcp_message(sent, many, 548);
  EXPECT_GT(fewer.left_out.size(), built.left_out.size());
  EXPECT_EQ(parse_dhcp_message(fewer.bytes).value().file, "used");
}

TEST(DhcpMessage, EveryCutIsNoticedOrHarmless) {
  const auto whole = build_dhcp_message(header(), options({{15, dhcp_value("lab")}}), 548).bytes;
  const std::size_t end_of_type = DhcpMessage::kHeaderSize + 3;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<long>(size));
    const auto read = parse_dhcp_message(cut);
    if (size < end_of_type) {
      EXPECT_FALSE(read) << size;
    }
    const bool within_option = size > end_of_type && size < end_of_type + 5;
    if (within_option) {
      EXPECT_FALSE(read) << size;
    }
  }
}

TEST(DhcpMessage, SaysWhatIsWrong) {
  const auto whole = build_dhcp_message(header(), options({{50, {1, 2, 3, 4}}}), 548).bytes;
  struct Row {
    std::size_t at;
    std::uint8_t value;
    const char* says;
  };
  for (const Row& row : {Row{0, 3, "neither request nor reply"}, Row{1, 6, "not Ethernet"},
                         Row{2, 16, "not Ethernet"}, Row{236, 0, "magic"}, Row{242, 99, "type 99"},
                         Row{240, 224, "BOOTP"}, Row{244, 5, "instead of 4"},
                         Row{244, 200, "says it has 200 bytes"}}) {
    auto bent = whole;
    bent[row.at] = row.value;
    const auto read = parse_dhcp_message(bent);
    ASSERT_FALSE(read) << row.says;
    EXPECT_NE(read.error().text.find(row.says), std::string::npos) << read.error().text;
  }
}

TEST(DhcpMessage, SearchListsShareTheirEnds) {
  const std::vector<std::string> domains{"eng.apple.com.", "marketing.apple.com", "apple.com",
                                         "bad..name"};
  const Bytes expected{3, 'e', 'n', 'g', 5,   'a', 'p', 'p', 'l', 'e', 3,    'c', 'o',  'm', 0,
                       9, 'm', 'a', 'r', 'k', 'e', 't', 'i', 'n', 'g', 0xc0, 4,   0xc0, 4};
  EXPECT_EQ(dhcp_search_list(domains), expected);  // RFC 3397 2, and one more
}

TEST(DhcpMessage, RoutesHaveOnlyTheBytesTheirPrefixNeeds) {
  const std::vector<DhcpConfig::Route> routes{{{ip("10.17.0.0"), 16}, ip("10.0.2.9")},
                                              {{ip("10.27.129.0"), 25}, ip("10.0.2.8")}};
  const Bytes expected{16, 10, 17, 10, 0, 2, 9, 25, 10, 27, 129, 0, 10, 0, 2, 8, 0, 10, 0, 2, 2};
  EXPECT_EQ(dhcp_routes(routes, ip("10.0.2.2")), expected);
  EXPECT_TRUE(dhcp_routes({}, ip("10.0.2.2")).empty());
}

}  // namespace
}  // namespace lanyard
